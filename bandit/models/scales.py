"""Running standard deviations of columns, so that a prior means the same for each."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bandit.models.sufficient_statistics import shaped
from bandit.types import Vector

_START: Final = 0.3
_STRENGTH: Final = 10.0
LEAST: Final = 0.1
"""A column that hardly ever varied says little when it does."""


class Scales:
    """Welford's running variances, started from a few made-up rows."""

    def __init__(self, width: int) -> None:
        self._count = np.zeros(1)
        self._mean = np.zeros(width)
        self._squares = np.zeros(width)

    @property
    def values(self) -> Vector:
        made_up = _STRENGTH * _START**2
        scales: Vector = np.sqrt((self._squares + made_up) / (self._count[0] + _STRENGTH))
        return np.maximum(scales, LEAST)

    def add(self, x: Vector) -> None:
        self._count += 1
        change = x - self._mean
        self._mean += change / self._count[0]
        self._squares += change * (x - self._mean)

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {"count": self._count, "mean": self._mean, "squares": self._squares}

    def restore(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Raises ValueError or KeyError when the arrays are not what `arrays` gave."""
        self._count = shaped(arrays["count"], (1,)).copy()
        self._mean = shaped(arrays["mean"], self._mean.shape).copy()
        self._squares = shaped(arrays["squares"], self._mean.shape).copy()
        if min(self._count[0], *self._squares) < 0:
            raise ValueError("a count or a sum of squares is negative")
