"""Tables of conversations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from bench.experiments.conversations.cells import Cell, Score
from bench.experiments.conversations.marks import mark_of, marks_section, rule_of
from bench.experiments.conversations.products import BLIND, KEPT, OURS, OURS_VW
from bench.experiments.conversations.runs import BELIEFS, Run, Scores
from bench.lab.report import document, table

TITLE: Final = "Conversations with a prompt cache"
NOTE: Final = (
    "*Gain*: mean reward on the second half less that of the best fixed arm with its own warm "
    "cache; reward: quality less λ · cost / unit, unit: mean cost per turn of the dearest fixed "
    "arm. *Worst*: the least gain of a seed. *Switches*: turns answered by another arm than the "
    "turn before. *Cached*: of the input tokens. *Solved*: USD per solved turn. The oracle knows "
    "the mean outcomes of every task; T: turns ahead that it values."
)
HEADER: Final = ("way to choose", "gain", "worst", "switches", "cached", "solved, m$")
SUMMED: Final = (
    *("oracle, T = 0", "oracle, T = 1", "oracle, T = 3", rule_of(OURS)),
    *(f"capped switches, {BELIEFS[OURS]}", BLIND, KEPT, OURS, OURS_VW),
)


def markdown(cells: Sequence[Cell], done: Mapping[Run, Scores], turns: int, seeds: int) -> str:
    weights = list(dict.fromkeys(run.cost_weight for run in done))
    sections = [
        _section(cell, weight, [done[Run(i, weight, seed)] for seed in range(seeds)])
        for i, cell in enumerate(cells)
        for weight in weights
    ]
    summary = _summary(cells, weights, done, seeds)
    marks = _marks(cells, weights, done, seeds)
    return document(TITLE, NOTE, f"{turns} turns, {seeds} seeds.", [summary, *marks, *sections])


def _marks(
    cells: Sequence[Cell], weights: Sequence[float], done: Mapping[Run, Scores], seeds: int
) -> list[list[str]]:
    found = []
    for name in (name for name in BELIEFS if name in next(iter(done.values()))):
        marks = [
            mark_of(
                title(cell, weight), [done[Run(i, weight, seed)] for seed in range(seeds)], name
            )
            for i, cell in enumerate(cells)
            for weight in weights
        ]
        found.append(marks_section(name, marks))
    return found


def _summary(
    cells: Sequence[Cell], weights: Sequence[float], done: Mapping[Run, Scores], seeds: int
) -> list[str]:
    """Returns the gains of every cell side by side, and their means."""
    names = [name for name in SUMMED if name in next(iter(done.values()))]
    lines, means = [], []
    for i, cell in enumerate(cells):
        for weight in weights:
            runs = [done[Run(i, weight, seed)] for seed in range(seeds)]
            gains = [float(np.mean([run[name].gain for run in runs])) for name in names]
            means.append(gains)
            lines.append([title(cell, weight), *(f"{gain:+.4f}" for gain in gains)])
    lines.append(["mean", *(f"{gain:+.4f}" for gain in np.mean(means, axis=0))])
    return ["## Gains", "", *table(("cell", *names), lines, numeric=True)]


def title(cell: Cell, weight: float) -> str:
    terms = cell.terms
    return f"{cell.stream.spec.name}, {terms.name}, cached at {terms.read:g}, λ = {weight:g}"


def _section(cell: Cell, weight: float, runs: Sequence[Scores]) -> list[str]:
    rows = [_cells(name, [run[name] for run in runs]) for name in runs[0]]
    return [f"## {title(cell, weight)}", "", *table(HEADER, rows, numeric=True)]


def _cells(name: str, scores: Sequence[Score]) -> list[str]:
    gains = [score.gain for score in scores]
    solved_usd = float(np.mean([score.solved_usd for score in scores]))
    return [
        name,
        f"{np.mean(gains):+.4f}",
        f"{min(gains):+.4f}",
        f"{np.mean([score.switches for score in scores]):.1%}",
        f"{np.mean([score.cached for score in scores]):.0%}",
        f"{1_000 * solved_usd:.3f}",
    ]
