"""Runs as jobs: one cell, cost weight and seed, every way to choose."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

import numpy as np

from bandit.types import Context
from bench.experiments.conversations.bills import Market, serve
from bench.experiments.conversations.cells import (
    Bar,
    Cell,
    Score,
    bar_of,
    known_means,
    oracles,
    rules,
    score,
)
from bench.experiments.conversations.choosers import Beliefs, fixed, given
from bench.experiments.conversations.products import OURS, OURS_VW, Product
from bench.experiments.conversations.replays import Learned, replay_of
from bench.lab.embeddings import ContextMaps, embed_stream
from bench.lab.jobs import Embeddings
from bench.lab.processes import progress_bar, run_jobs
from bench.lab.streams import draw

BELIEFS: Final = {OURS: "learned", OURS_VW: "learned with VW"}
"""Products by whose beliefs rules choose too, and what these beliefs are called."""


@dataclass(frozen=True, slots=True)
class Run:
    """cell: index among those compared."""

    cell: int
    cost_weight: float
    seed: int


Scores = Mapping[str, Score]


@dataclass(frozen=True, slots=True)
class Given:
    """Material that all runs share; embeddings: by stream."""

    cells: Sequence[Cell]
    turns: int
    products: Sequence[Product]
    embeddings: Mapping[str, Embeddings]


@dataclass(slots=True)
class ConversationRuns:
    """Runs one job after the other."""

    given: Given
    maps: ContextMaps = field(default_factory=lambda: ContextMaps(shipped=False))
    contexts: dict[tuple[Hashable, Hashable], dict[int, Context]] = field(default_factory=dict)

    def run(self, job: Run) -> Scores:
        cell = self.given.cells[job.cell]
        market = cell.market(self.given.turns, job.seed)
        bar = bar_of(market, job.cost_weight)
        known = known_means(cell, market, job.cost_weight / bar.unit_usd)
        found = {
            name: score(market, serve(market, choose), bar, job.cost_weight)
            for name, choose in oracles(known).items()
        }
        for product in self.given.products:
            learned = self._learned(job, market, bar, product)
            found[product.name] = score(
                market, serve(market, given(learned.arm)), bar, job.cost_weight
            )
            if product.name in BELIEFS:
                beliefs = Beliefs(market, learned.quality, learned.output, known.rate)
                for name, choose in rules(beliefs, BELIEFS[product.name]).items():
                    found[name] = score(market, serve(market, choose), bar, job.cost_weight)
        return found

    def _learned(self, job: Run, market: Market, bar: Bar, product: Product) -> Learned:
        cell = self.given.cells[job.cell]
        stream, name = cell.stream, cell.stream.spec.name
        vectors = self.given.embeddings[name]
        mapped = self.maps.of(stream, draw(stream, job.seed), vectors, job.seed)
        costs_usd = [serve(market, fixed(i)).cost_usd for i in range(len(market.usd))]
        means_usd = [float(np.mean(cost_usd)) for cost_usd in costs_usd]
        return replay_of(
            cell,
            market,
            bar,
            product,
            cost_weight=job.cost_weight,
            seed=job.seed,
            context_map=mapped.map,
            embeddings=vectors,
            contexts=self._contexts(job, product),
            mean_usd=dict(zip(stream.data.arms, means_usd, strict=True)),
        ).run()

    def _contexts(self, job: Run, product: Product) -> dict[int, Context]:
        """Returns contexts that runs share, those of one stream of turns at a time."""
        talks = talks_of(self.given.cells[job.cell], job.seed)
        if all(kept[0] != talks for kept in self.contexts):
            self.contexts.clear()
        key = talks, (product.application, product.conversation, product.earlier)
        return self.contexts.setdefault(key, {})


def talks_of(cell: Cell, seed: int) -> Hashable:
    """Returns a key of the turns of a run: prices do not tell them apart."""
    return cell.stream.spec.name, replace(cell.terms, name="", read=0.0, write=0.0), seed


def run_all(
    cells: Sequence[Cell],
    todo: Sequence[Run],
    turns: int,
    products: Sequence[Product],
    processes: int,
) -> dict[Run, Scores]:
    """Embed what is asked, and run every job."""
    seeds = sorted({run.seed for run in todo})
    streams = {cell.stream.spec.name: cell.stream for cell in cells}
    with progress_bar() as progress:
        vectors = {name: embed_stream(s, seeds, progress) for name, s in streams.items()}
        material = Given(cells, turns, products, vectors)
        near = sorted(todo, key=lambda run: repr(talks_of(cells[run.cell], run.seed)))
        done = run_jobs(partial(ConversationRuns, material), near, processes, progress)
        return {run: done[run] for run in todo}
