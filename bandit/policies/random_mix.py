"""A random mix of fixed actions: what a router has to beat at the same cost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from bandit.errors import BadSettings
from bandit.policies.base import ExpectedMeans, MeansPolicy
from bandit.policies.snapshot_policy import PolicyQuery
from bandit.types import Vector

NAME: Final = "random-mix"


@dataclass(frozen=True, slots=True)
class RandomMixOptions:
    """weights: of each action, >= 0; no weights at all mean alike, a missing one 0."""

    weights: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        weights = self.weights.values()
        if not all(0 <= w < math.inf for w in weights) or (weights and not sum(weights) > 0):
            raise BadSettings("random_mix needs finite weights >= 0, one of them > 0")


class RandomMixPolicy(MeansPolicy):
    """The weights of the options, renormalised over the eligible actions.

    Uniform without weights, or where every eligible action weighs 0.
    """

    def _shares(self, query: PolicyQuery, expected: ExpectedMeans) -> Vector:  # noqa: ARG002 - blind
        mix = self._settings.options_of(RandomMixOptions).weights
        weights = np.array([mix.get(name, 0.0) for name in query.names])
        largest = weights.max()
        if largest <= 0:
            return np.full(len(weights), 1 / len(weights))
        weights /= largest  # first, so that no sum overflows
        shares: Vector = weights / weights.sum()
        return shares
