"""LinUCB with disjoint linear models, an upper confidence bound on quality.

Li, Chu, Langford and Schapire 2010, A contextual-bandit approach to personalized news article
recommendation, algorithm 1.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bandit.policies.base import Asked, Expected, LearningPolicy, Part, Rows
from bandit.running import cost_ratio
from bandit.settings import PolicySettings
from bandit.statistics import shaped
from bandit.types import Outcome, Vector
from bandit.view import View

NAME: Final = "linucb"
MOST_RATIO: Final = 6.0
"""Costs above this multiple of the prior one are learned as if they were that multiple."""


class Ridge:
    """Ridge regression of y - offset on x for each slot, by the inverse (Sherman-Morrison).

    inverse: (slots, width, width) of A = ridge I + sum w x x'; moment: (slots, width) sum w x y.
    """

    def __init__(self, width: int, ridge: float, offset: float) -> None:
        self._blank = np.eye(width) / ridge
        self._offset = offset
        self._inverse = np.zeros((0, width, width))
        self._moment = np.zeros((0, width))

    def grow(self, slots: int) -> None:
        missing = slots - len(self._moment)
        if missing > 0:
            blanks = np.tile(self._blank, (missing, 1, 1))
            self._inverse = np.concatenate([self._inverse, blanks])
            self._moment = np.pad(self._moment, ((0, missing), (0, 0)))

    def add(self, slot: int, x: Vector, y: float, weight: float) -> None:
        inverse = self._inverse[slot]
        reached = inverse @ x
        # The outer product of one vector stays symmetric to the last bit.
        scale = weight / (1.0 + weight * max(0.0, float(x @ reached)))
        inverse -= scale * np.multiply.outer(reached, reached)
        self._moment[slot] += weight * (y - self._offset) * x

    def mean(self, rows: Rows, x: Vector) -> Vector:
        """X' A^-1 b + offset, (k,); the offset for rows of -1."""
        return np.array([self._offset + self._product(row, x) for row in rows.tolist()])

    def width(self, rows: Rows, x: Vector) -> Vector:
        """sqrt(x' A^-1 x), (k,)."""
        inverses = (self._blank if row < 0 else self._inverse[row] for row in rows.tolist())
        return np.sqrt([max(0.0, float(x @ inverse @ x)) for inverse in inverses])

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {"inverse": self._inverse, "moment": self._moment}

    def restore(self, arrays: dict[str, NDArray[Any]], slots: int) -> None:
        width = len(self._blank)
        self._inverse = shaped(arrays["inverse"], (slots, width, width)).copy()
        self._moment = shaped(arrays["moment"], (slots, width)).copy()

    def _product(self, row: int, x: Vector) -> float:
        return 0.0 if row < 0 else float(x @ self._inverse[row] @ self._moment[row])


class LinucbPolicy(LearningPolicy):
    """Largest w_q min(quality + alpha width, 1) - burden; cost in context, the rest as usual.

    x = [1, projection, features].
    """

    def __init__(
        self,
        name: str,
        settings: PolicySettings,
        context_version: str,
        rng: np.random.Generator,
    ) -> None:
        super().__init__(name, settings, context_version, rng)
        width = 1 + settings.shape.axes + settings.shape.features
        ridge = settings.options.linucb.ridge
        self._quality = Ridge(width, ridge, offset=0.75)
        self._ratio = Ridge(width, ridge, offset=1.0)

    def _expect(self, asked: Asked) -> Expected:
        x, rest = _x(asked.view), super()._expect(asked)
        quality = np.clip(self._quality.mean(asked.rows, x), 0.0, 1.0)
        ratio = np.clip(self._ratio.mean(asked.rows, x), 0.0, MOST_RATIO)
        return Expected(quality, ratio * asked.prices, rest.latency_ms, rest.failure)

    def _settled(self, asked: Asked, expected: Expected) -> Vector:
        alpha, x = self._settings.options.linucb.alpha, _x(asked.view)
        bound = self._quality.mean(asked.rows, x) + alpha * self._quality.width(asked.rows, x)
        weighed = asked.weights.quality * np.minimum(bound, 1.0)
        best = int((weighed - self._burden(expected, asked.weights)).argmax())
        shares: Vector = np.eye(len(asked.rows))[best]
        return shares

    def _parts(self) -> dict[str, Part]:
        return super()._parts() | {"quality": self._quality, "ratio": self._ratio}

    def _learn(self, slot: int, outcome: Outcome, view: View) -> None:
        x, weight = _x(view), outcome.weight
        if outcome.quality is not None:
            self._quality.add(slot, x, outcome.quality, weight)
        ratio = cost_ratio(outcome)
        if ratio is not None:
            self._ratio.add(slot, x, min(ratio, MOST_RATIO), weight)


def _x(view: View) -> Vector:
    return np.concatenate([[1.0], view.projection, view.features])
