"""Cells of the comparison: a set, terms, a cost weight; what each way to choose came to there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bench.experiments.conversations.bills import Chooser, Market, ServedTurns, serve
from bench.experiments.conversations.choosers import (
    Beliefs,
    blind,
    capped,
    first_kept,
    fixed,
    horizon,
    stay_or_switch,
)
from bench.experiments.conversations.talks import Numbers, draw_talks, question_tokens, tasks_of
from bench.experiments.conversations.terms import Rates, Terms, usd_per_token
from bench.lab.figures import second_half
from bench.lab.recorded import Rows
from bench.lab.streams import Stream, draw

HORIZONS = (0, 1, 3)


@dataclass(frozen=True, slots=True)
class Cell:
    """A set with its prices under terms. tasks, question, output: of every recorded row."""

    stream: Stream
    rates: Mapping[str, Rates]
    terms: Terms
    tasks: Rows
    question: Numbers

    @property
    def usd(self) -> Numbers:
        return np.array(usd_per_token(self.stream.data.arms, self.rates, self.terms))

    def output(self) -> Numbers:
        """Returns tokens of every recorded answer, at least 1: what its cost leaves for it."""
        data, usd = self.stream.data, self.usd
        left_usd = data.cost_usd - self.question[:, None] * usd[:, 0]
        tokens: Numbers = np.maximum(left_usd / usd[:, 1], 1.0)
        return tokens

    def market(self, turns: int, seed: int) -> Market:
        data, pool = self.stream.data, draw(self.stream, seed).rows
        talks = draw_talks(pool, self.tasks, self.question, self.terms, turns=turns, seed=seed)
        return Market(
            talks, self.terms, data.quality[talks.row], self.output()[talks.row], self.usd
        )


def cell_of(stream: Stream, rates: Mapping[str, Rates], terms: Terms, task_column: str) -> Cell:
    data = stream.data
    return Cell(stream, rates, terms, tasks_of(data, task_column), question_tokens(data))


@dataclass(frozen=True, slots=True)
class Bar:
    """The best fixed arm on the second half, with its own warm cache; unit_usd: one unit of cost.

    The unit is the mean cost per turn of the dearest fixed arm.
    """

    unit_usd: float
    arm: int
    reward: float


@dataclass(frozen=True, slots=True)
class Score:
    """One way to choose on one seed; gain, quality and cost of the second half."""

    gain: float
    quality: float
    cost_usd: float
    switches: float
    cached: float

    @property
    def solved_usd(self) -> float:
        """Returns cost per solved turn; a quality in between counts in part."""
        return self.cost_usd / max(self.quality, 1e-9)


def bar_of(market: Market, cost_weight: float) -> Bar:
    half, arms = second_half(len(market.talks)), range(len(market.usd))
    cost_usd = np.column_stack([serve(market, fixed(arm)).cost_usd for arm in arms])
    unit_usd = float(cost_usd.mean(axis=0).max())
    means = market.quality[half].mean(axis=0) - cost_weight / unit_usd * cost_usd[half].mean(axis=0)
    return Bar(unit_usd, int(means.argmax()), float(means.max()))


def score(market: Market, served: ServedTurns, bar: Bar, cost_weight: float) -> Score:
    half, each = second_half(len(market.talks)), np.arange(len(market.talks))
    quality = market.quality[each, served.arm][half]
    cost_usd = served.cost_usd[half]
    reward = float(quality.mean()) - cost_weight / bar.unit_usd * float(cost_usd.mean())
    return Score(
        gain=reward - bar.reward,
        quality=float(quality.mean()),
        cost_usd=float(cost_usd.mean()),
        switches=float(served.switched[half].mean()),
        cached=float(served.cached[half].sum() / market.talks.tokens[half].sum()),
    )


def known_means(cell: Cell, market: Market, rate: float) -> Beliefs:
    """Returns the true mean outcomes of every turn's task."""
    pool = cell.stream.data.rows_where(cell.stream.spec.where)
    quality, output = (
        _means_by_task(values, cell.tasks, pool)[market.talks.task]
        for values in (cell.stream.data.quality, cell.output())
    )
    return Beliefs(market, quality, output, rate)


def _means_by_task(values: Numbers, tasks: Rows, pool: Rows) -> Numbers:
    """Returns (tasks, k); 0 where no row of the pool is of a task."""
    sums = np.zeros((int(tasks.max()) + 1, values.shape[1]))
    np.add.at(sums, tasks[pool], values[pool])
    counts = np.bincount(tasks[pool], minlength=len(sums))
    return sums / np.maximum(counts, 1)[:, None]


def rules(beliefs: Beliefs, of: str) -> dict[str, Chooser]:
    """Returns the ways to choose that learn nothing, by name; of: whose beliefs these are."""
    plain = blind(beliefs)
    return {
        f"mean price, {of}": plain,
        f"stay or switch, {of}": stay_or_switch(beliefs, plain),
        f"capped switches, {of}": capped(beliefs, plain),
    }


def oracles(beliefs: Beliefs) -> dict[str, Chooser]:
    """Returns ways to choose of one who knows the mean outcomes of every task."""
    ahead = {f"oracle, T = {t}": horizon(beliefs, t) for t in HORIZONS}
    kept = {"first kept, oracle": first_kept(horizon(beliefs, 0))}
    return {**rules(beliefs, "oracle"), **kept, **ahead}
