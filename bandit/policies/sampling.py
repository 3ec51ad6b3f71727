"""Probability matching: draw qualities, count how often each action is best."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bandit.choice import count_best
from bandit.context.view import View
from bandit.models.running_means import QUALITY
from bandit.models.sufficient_statistics import shaped
from bandit.policies.base import Asked, Expected, LearningPolicy, Part
from bandit.settings import PolicySettings
from bandit.types import Outcome, Vector

_START: Final = 0.12
_STRENGTH: Final = 10.0
_LEAST: Final = 1e-4


class Noise:
    """Variance of quality around what was expected, pooled over the actions.

    The mean squared residual of running means that did not hold the outcome yet, with ten made-up
    ones of the variance assumed at the start.
    """

    def __init__(self) -> None:
        self._sums: Vector = np.array([_START * _STRENGTH, _STRENGTH])

    @property
    def value(self) -> float:
        return max(_LEAST, float(self._sums[0] / self._sums[1]))

    def add(self, residual: float, weight: float) -> None:
        self._sums += (weight * residual * residual, weight)

    def grow(self, slots: int) -> None:
        """There is one for all slots."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {"sums": self._sums}

    def restore(self, arrays: dict[str, NDArray[Any]], slots: int) -> None:  # noqa: ARG002 - one for all
        self._sums = shaped(arrays["sums"], (2,)).copy()
        if self._sums.min() <= 0:
            raise ValueError("a sum is not positive")


class SamplingPolicy(LearningPolicy):
    """Draws from N(expected quality, scale^2 variance), quality at most 1; the rest as expected."""

    def __init__(
        self,
        name: str,
        settings: PolicySettings,
        context_version: str,
        rng: np.random.Generator,
    ) -> None:
        super().__init__(name, settings, context_version, rng)
        self._noise = Noise()

    @abstractmethod
    def _variance(self, asked: Asked, expected: Expected) -> Vector:
        """Of the expected quality, (k,)."""

    def _settled(self, asked: Asked, expected: Expected) -> Vector:
        spread = self._settings.scale * np.sqrt(self._variance(asked, expected))
        normal = self._rng.standard_normal((self._settings.draws, len(spread)))
        quality = np.minimum(expected.quality + spread * normal, 1.0)
        weights = asked.weights
        return count_best(weights.quality * quality - self._burden(expected, weights))

    def _parts(self) -> dict[str, Part]:
        return super()._parts() | {"noise": self._noise}

    def _learn(self, slot: int, outcome: Outcome, view: View) -> None:  # noqa: ARG002 - no context
        if outcome.quality is not None:
            expected = float(self._means.means(np.array([slot]))[0, QUALITY])
            self._noise.add(outcome.quality - expected, outcome.weight)


def shrunk_variance(counts: Vector, shrink: float, overall: Vector) -> Vector:
    """Of (sum of `counts` outcomes + shrink * mean of `overall` ones) / (counts + shrink), (k,).

    In units of the noise.
    """
    share = shrink / (counts + shrink)
    variance: Vector = (1 - share) / (counts + shrink) + share * share / (1 + overall)
    return variance
