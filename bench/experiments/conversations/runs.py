"""Runs as jobs: one cell, cost weight and seed, every way to choose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

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

LEARNED = "learned"


@dataclass(frozen=True, slots=True)
class Run:
    """cell: index among those compared."""

    cell: int
    cost_weight: float
    seed: int


Scores = Mapping[str, Score]


@dataclass(frozen=True, slots=True)
class Given:
    """What all runs share; embeddings: by stream."""

    cells: Sequence[Cell]
    turns: int
    products: Sequence[Product]
    embeddings: Mapping[str, Embeddings]


@dataclass(slots=True)
class ConversationRuns:
    """Runs one job after the other."""

    given: Given
    maps: ContextMaps = field(default_factory=lambda: ContextMaps(shipped=False))

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
            if product.name == self._base:
                beliefs = Beliefs(market, learned.quality, learned.output, known.rate)
                for name, choose in rules(beliefs, LEARNED).items():
                    found[name] = score(market, serve(market, choose), bar, job.cost_weight)
        return found

    @property
    def _base(self) -> str:
        """Returns the name of the product by whose beliefs the rules choose."""
        names = [product.name for product in self.given.products]
        return OURS if OURS in names else OURS_VW

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
            mean_usd=dict(zip(stream.data.arms, means_usd, strict=True)),
        ).run()


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
        return run_jobs(partial(ConversationRuns, material), todo, processes, progress)
