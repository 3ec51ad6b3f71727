"""Probability matching: draw qualities, count how often each action is best."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.random import Generator

from bandit.choice import count_best
from bandit.context.view import ContextView
from bandit.models.running_means import QUALITY
from bandit.policies.base import ExpectedMeans, LearningPolicy
from bandit.policies.snapshot_policy import PolicyQuery
from bandit.settings import PolicySettings
from bandit.snapshots.parts import ArrayPart, Arrays, SnapshotPart
from bandit.types import Outcome, Vector

_START: Final = 0.12
_STRENGTH: Final = 10.0
_LEAST: Final = 1e-4


class QualityNoise(ArrayPart):
    """Variance of quality around its expectation, pooled over the actions.

    The mean squared residual of running means that did not hold the outcome yet, with ten made-up
    ones of the variance assumed at the start.
    """

    stored = ("sums",)

    def __init__(self) -> None:
        self._sums: Vector = np.array([_START * _STRENGTH, _STRENGTH])

    @property
    def value(self) -> float:
        return max(_LEAST, float(self._sums[0] / self._sums[1]))

    def add(self, residual: float, weight: float) -> None:
        self._sums += (weight * residual * residual, weight)

    def restore(self, arrays: Arrays, slots: int) -> None:
        super().restore(arrays, slots)
        if self._sums.min() <= 0:
            raise ValueError("a sum is not positive")


class SamplingPolicy(LearningPolicy):
    """Draws from N(expected quality, scale^2 variance), quality at most 1; the rest as expected."""

    def __init__(
        self, name: str, settings: PolicySettings, context_version: str, rng: Generator
    ) -> None:
        super().__init__(name, settings, context_version, rng)
        self._noise = QualityNoise()

    @abstractmethod
    def _variance(self, query: PolicyQuery) -> Vector:
        """Return the variance of the expected quality, (k,)."""

    def _settled(self, query: PolicyQuery, expected: ExpectedMeans) -> Vector:
        spread = self._settings.scale * np.sqrt(self._variance(query))
        normal = self._rng.standard_normal((self._settings.draws, len(spread)))
        quality = np.minimum(expected.quality + spread * normal, 1.0)
        weights = query.weights
        return count_best(weights.quality * quality - self._burden(query, expected))

    def _parts(self) -> Mapping[str, SnapshotPart]:
        return {**super()._parts(), "noise": self._noise}

    def _learn_more(self, slot: int, outcome: Outcome, view: ContextView) -> None:  # noqa: ARG002 - no context
        if outcome.quality is not None:
            expected = float(self._means.means(np.array([slot]))[0, QUALITY])
            self._noise.add(outcome.quality - expected, outcome.weight)


def shrunk_variance(counts: Vector, shrink: float, overall: Vector) -> Vector:
    """Return the variance of a shrunk mean in units of the noise, (k,).

    The mean is (sum of `counts` outcomes + shrink * mean of `overall` ones) / (counts + shrink).
    """
    share = shrink / (counts + shrink)
    variance: Vector = (1 - share) / (counts + shrink) + share * share / (1 + overall)
    return variance
