"""LinUCB with disjoint linear models, an upper confidence bound on quality.

Li, Chu, Langford and Schapire 2010, A contextual-bandit approach to personalized news article
recommendation, algorithm 1.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from bandit.context.view import View
from bandit.models.ridge import Ridge
from bandit.models.running_means import cost_ratio
from bandit.policies.base import Asked, Expected, LearningPolicy, Part
from bandit.settings import PolicySettings
from bandit.types import Outcome, Vector

NAME: Final = "linucb"
MOST_RATIO: Final = 6.0
"""Costs above this multiple of the prior one are learned as if they were that multiple."""


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
