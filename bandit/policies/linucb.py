"""LinUCB with disjoint linear models, an upper confidence bound on quality.

Li, Chu, Langford and Schapire 2010, A contextual-bandit approach to personalized news article
recommendation, algorithm 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from bandit.context.view import ContextView
from bandit.models.running_means import cost_ratio
from bandit.policies.base import ExpectedMeans, LearningPolicy
from bandit.policies.snapshot_policy import PolicyQuery
from bandit.settings import PolicySettings, bounded, check_bounds
from bandit.snapshots.parts import SlotPart, SnapshotPart
from bandit.types import Outcome, Vector

NAME: Final = "linucb"
MOST_RATIO: Final = 6.0
"""Costs above this multiple of the prior one are learned as if they were that multiple."""


@dataclass(frozen=True, slots=True)
class LinucbOptions:
    """alpha: standard deviations of optimism. ridge: lambda of the regression."""

    alpha: float = bounded(0.3, 0, 100)
    ridge: float = bounded(1.0, 1e-3, 1e6)

    def __post_init__(self) -> None:
        check_bounds(self, "linucb")


class SlotRidge(SlotPart):
    """Ridge regression of y - offset on x for each slot, by the inverse (Sherman-Morrison).

    inverse: (slots, width, width) of A = ridge I + sum w x x'; moment: (slots, width) sum w x y.
    """

    stored = ("inverse", "moment")

    def __init__(self, width: int, ridge: float, offset: float) -> None:
        self._blank = np.eye(width) / ridge
        self._offset = offset
        self._inverse: NDArray[np.float64] = np.zeros((0, width, width))
        self._moment: NDArray[np.float64] = np.zeros((0, width))

    def grow(self, slots: int) -> None:
        held = len(self._moment)
        super().grow(slots)
        self._inverse[held:] = self._blank

    def add(self, slot: int, x: Vector, y: float, weight: float) -> None:
        inverse = self._inverse[slot]
        reached = inverse @ x
        # The outer product of one vector stays symmetric to the last bit.
        scale = weight / (1.0 + weight * max(0.0, float(x @ reached)))
        inverse -= scale * np.multiply.outer(reached, reached)
        self._moment[slot] += weight * (y - self._offset) * x

    def mean(self, rows: NDArray[np.intp], x: Vector) -> Vector:
        """Return x' A^-1 b + offset, (k,); the offset for rows of -1."""
        return np.array([self._offset + self._product(row, x) for row in rows.tolist()])

    def width(self, rows: NDArray[np.intp], x: Vector) -> Vector:
        """Return sqrt(x' A^-1 x), (k,)."""
        inverses = (self._blank if row < 0 else self._inverse[row] for row in rows.tolist())
        return np.sqrt([max(0.0, float(x @ inverse @ x)) for inverse in inverses])

    def _product(self, row: int, x: Vector) -> float:
        return 0.0 if row < 0 else float(x @ self._inverse[row] @ self._moment[row])


class LinucbPolicy(LearningPolicy):
    """Largest w_q min(quality + alpha width, 1) - burden; cost in context, the rest as usual.

    x = [1, projection, features].
    """

    def __init__(
        self, name: str, settings: PolicySettings, context_version: str, rng: Generator
    ) -> None:
        super().__init__(name, settings, context_version, rng)
        width = 1 + settings.shape.axes + settings.shape.features
        self._options = settings.options_of(LinucbOptions)
        self._quality = SlotRidge(width, self._options.ridge, offset=0.75)
        self._ratio = SlotRidge(width, self._options.ridge, offset=1.0)

    def _expect(self, query: PolicyQuery) -> ExpectedMeans:
        x, rest = _x(query.view), super()._expect(query)
        quality = np.clip(self._quality.mean(query.rows, x), 0.0, 1.0)
        ratio = np.clip(self._ratio.mean(query.rows, x), 0.0, MOST_RATIO)
        return ExpectedMeans(quality, query.costs_usd(ratio), rest.latency_ms, rest.failure)

    def _settled(self, query: PolicyQuery, expected: ExpectedMeans) -> Vector:
        alpha, x = self._options.alpha, _x(query.view)
        bound = self._quality.mean(query.rows, x) + alpha * self._quality.width(query.rows, x)
        weighed = query.weights.quality * np.minimum(bound, 1.0)
        best = int((weighed - self._burden(query, expected)).argmax())
        shares: Vector = np.eye(len(query.rows))[best]
        return shares

    def _parts(self) -> Mapping[str, SnapshotPart]:
        return {**super()._parts(), "quality": self._quality, "ratio": self._ratio}

    def _learn_more(self, slot: int, outcome: Outcome, view: ContextView) -> None:
        x, weight = _x(view), outcome.weight
        if outcome.quality is not None:
            self._quality.add(slot, x, outcome.quality, weight)
        ratio = cost_ratio(outcome)
        if ratio is not None:
            self._ratio.add(slot, x, min(ratio, MOST_RATIO), weight)


def _x(view: ContextView) -> Vector:
    return np.concatenate([[1.0], view.projection, view.features])
