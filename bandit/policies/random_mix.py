"""A random mix of fixed actions: what a router has to beat at the same cost."""

from __future__ import annotations

from typing import Final

import numpy as np

from bandit.policies.base import Asked, Expected, SnapshotPolicy
from bandit.types import Vector

NAME: Final = "random-mix"


class RandomMixPolicy(SnapshotPolicy):
    """`options.random_mix`, renormalised over the eligible actions.

    Uniform without weights, or where every eligible action weighs 0.
    """

    def _shares(self, asked: Asked, expected: Expected) -> Vector:  # noqa: ARG002 - blind
        mix = self._settings.options.random_mix
        weights = np.array([mix.get(name, 0.0) for name in asked.names])
        largest = weights.max()
        if largest <= 0:
            return np.full(len(weights), 1 / len(weights))
        weights /= largest  # first, so that no sum overflows
        shares: Vector = weights / weights.sum()
        return shares
