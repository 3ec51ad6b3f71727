"""Runs as jobs: one cell, cost weight and seed, every way to choose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from bench.experiments.conversations.bills import serve
from bench.experiments.conversations.cells import Cell, Score, bar_of, known_means, oracles, score
from bench.lab.processes import progress_bar, run_jobs


@dataclass(frozen=True, slots=True)
class Run:
    """cell: index among those compared."""

    cell: int
    cost_weight: float
    seed: int


Scores = Mapping[str, Score]


class ConversationRuns:
    """Runs one job after the other."""

    def __init__(self, cells: Sequence[Cell], turns: int) -> None:
        self._cells = cells
        self._turns = turns

    def run(self, job: Run) -> Scores:
        cell = self._cells[job.cell]
        market = cell.market(self._turns, job.seed)
        bar = bar_of(market, job.cost_weight)
        known = known_means(cell, market, job.cost_weight / bar.unit_usd)
        return {
            name: score(market, serve(market, choose), bar, job.cost_weight)
            for name, choose in oracles(known).items()
        }


def run_all(
    cells: Sequence[Cell], todo: Sequence[Run], turns: int, processes: int
) -> dict[Run, Scores]:
    with progress_bar() as progress:
        return run_jobs(partial(ConversationRuns, cells, turns), todo, processes, progress)
