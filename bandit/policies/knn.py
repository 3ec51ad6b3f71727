"""What came of the most similar prompts so far."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit.context.view import View
from bandit.models.recent_outcomes import Memory
from bandit.models.running_means import COST_RATIO, QUALITY, cost_ratio
from bandit.policies.base import Asked, Expected, Part
from bandit.policies.sampling import SamplingPolicy, shrunk_variance
from bandit.settings import PolicySettings
from bandit.types import Outcome, Vector

NAME: Final = "knn"


class KnnPolicy(SamplingPolicy):
    """Mean quality and cost of each action's k nearest outcomes by projection.

    Shrunk towards the action's overall means; the memory is bounded, the overall means are not.
    """

    def __init__(
        self,
        name: str,
        settings: PolicySettings,
        context_version: str,
        rng: np.random.Generator,
    ) -> None:
        super().__init__(name, settings, context_version, rng)
        axes, options = settings.shape.axes, settings.options.knn
        self._options = options
        self._quality = Memory(axes, options.memory)
        self._ratio = Memory(axes, options.memory)

    def _expect(self, asked: Asked) -> Expected:
        overall, rest = self._means.means(asked.rows), super()._expect(asked)
        quality = self._shrunk(self._quality, asked, overall[:, QUALITY])
        ratio = self._shrunk(self._ratio, asked, overall[:, COST_RATIO])
        return Expected(quality, ratio * asked.prices, rest.latency_ms, rest.failure)

    def _variance(self, asked: Asked, expected: Expected) -> Vector:  # noqa: ARG002 - not of the mean
        held = np.bincount(self._quality.slots, minlength=len(self._slots) + 1)[asked.rows]
        near = np.minimum(held, self._options.neighbours)
        overall = self._means.counts(asked.rows)[:, QUALITY]
        return self._noise.value * shrunk_variance(near, self._options.shrink, overall)

    def _shrunk(self, memory: Memory, asked: Asked, overall: Vector) -> Vector:
        shrink = self._options.shrink
        squares = ((memory.x - asked.view.projection.astype(np.float32)) ** 2).sum(axis=1)
        sums = np.array([self._sums(memory, squares, row) for row in asked.rows.tolist()])
        shrunk: Vector = (sums[:, 0] + shrink * overall) / (sums[:, 1] + shrink)
        return shrunk

    def _sums(self, memory: Memory, squares: NDArray[np.float32], row: int) -> tuple[float, float]:
        """Sum of weight times y and of weight over the nearest outcomes of a slot."""
        mine = np.flatnonzero(memory.slots == row)
        if len(mine) > self._options.neighbours:
            nearest = np.argpartition(squares[mine], self._options.neighbours - 1)
            mine = mine[nearest[: self._options.neighbours]]
        y, weight = memory.targets[mine].T
        return float((y * weight).sum()), float(weight.sum())

    def _parts(self) -> dict[str, Part]:
        return super()._parts() | {"quality": self._quality, "ratio": self._ratio}

    def _learn(self, slot: int, outcome: Outcome, view: View) -> None:
        super()._learn(slot, outcome, view)
        if outcome.quality is not None:
            self._quality.add(view.projection, slot, outcome.quality, outcome.weight)
        ratio = cost_ratio(outcome)
        if ratio is not None:
            self._ratio.add(view.projection, slot, ratio, outcome.weight)
