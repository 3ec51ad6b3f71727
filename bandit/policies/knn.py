"""The outcomes of the most similar prompts so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from bandit.context.view import ContextView
from bandit.models.ring_buffer import OutcomeBuffer
from bandit.models.running_means import COST_RATIO, QUALITY, cost_ratio
from bandit.policies.base import ExpectedMeans
from bandit.policies.sampling import SamplingPolicy, shrunk_variance
from bandit.policies.snapshot_policy import PolicyQuery
from bandit.settings import MAX_MEMORY, PolicySettings, bounded, check_bounds
from bandit.snapshots.parts import SnapshotPart
from bandit.types import Outcome, Vector

NAME: Final = "knn"


@dataclass(frozen=True, slots=True)
class KnnOptions:
    """neighbours: outcomes of an action that are averaged. memory: outcomes kept in all.

    shrink: made-up neighbours at the action's overall mean.
    """

    neighbours: int = bounded(30, 1, 10_000)
    memory: int = bounded(2_000, 1, MAX_MEMORY)
    shrink: float = bounded(20.0, 1e-3, 1e6)

    def __post_init__(self) -> None:
        check_bounds(self, "knn")


class KnnPolicy(SamplingPolicy):
    """Mean quality and cost of each action's k nearest outcomes by projection.

    Shrunk towards the action's overall means; the memory is bounded, the overall means are not.
    """

    def __init__(
        self, name: str, settings: PolicySettings, context_version: str, rng: Generator
    ) -> None:
        super().__init__(name, settings, context_version, rng)
        self._options = settings.options_of(KnnOptions)
        self._quality = OutcomeBuffer(settings.shape.axes, self._options.memory)
        self._ratio = OutcomeBuffer(settings.shape.axes, self._options.memory)

    def _expect(self, query: PolicyQuery) -> ExpectedMeans:
        overall, rest = self._means.means(query.rows), super()._expect(query)
        quality = self._shrunk(self._quality, query, overall[:, QUALITY])
        ratio = self._shrunk(self._ratio, query, overall[:, COST_RATIO])
        return ExpectedMeans(quality, query.costs_usd(ratio), rest.latency_ms, rest.failure)

    def _variance(self, query: PolicyQuery) -> Vector:
        held = np.bincount(self._quality.slots, minlength=len(self._slots) + 1)[query.rows]
        near = np.minimum(held, self._options.neighbours)
        overall = self._means.counts(query.rows)[:, QUALITY]
        return self._noise.value * shrunk_variance(near, self._options.shrink, overall)

    def _shrunk(self, memory: OutcomeBuffer, query: PolicyQuery, overall: Vector) -> Vector:
        shrink = self._options.shrink
        squares = ((memory.x - query.view.projection.astype(np.float32)) ** 2).sum(axis=1)
        sums = np.array([self._sums(memory, squares, row) for row in query.rows.tolist()])
        shrunk: Vector = (sums[:, 0] + shrink * overall) / (sums[:, 1] + shrink)
        return shrunk

    def _sums(
        self, memory: OutcomeBuffer, squares: NDArray[np.float32], row: int
    ) -> tuple[float, float]:
        """Sum weight times y, and weight, over the nearest outcomes of a slot."""
        mine = np.flatnonzero(memory.slots == row)
        if len(mine) > self._options.neighbours:
            nearest = np.argpartition(squares[mine], self._options.neighbours - 1)
            mine = mine[nearest[: self._options.neighbours]]
        y, weight = memory.targets[mine].T
        return float((y * weight).sum()), float(weight.sum())

    def _parts(self) -> Mapping[str, SnapshotPart]:
        return {**super()._parts(), "quality": self._quality, "ratio": self._ratio}

    def _learn_more(self, slot: int, outcome: Outcome, view: ContextView) -> None:
        super()._learn_more(slot, outcome, view)
        if outcome.quality is not None:
            self._quality.add(view.projection, slot, outcome.quality, outcome.weight)
        ratio = cost_ratio(outcome)
        if ratio is not None:
            self._ratio.add(view.projection, slot, ratio, outcome.weight)
