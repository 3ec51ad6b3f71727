"""Withdraws what was certified when accepted answers run above the promised share of bad ones.

Sums of log bets on more bad answers, each back to 0 when it falls below: an e-detector (Shin,
Ramdas & Rinaldo 2024, "E-detectors: a nonparametric framework for sequential change detection").
The mean of their exponentials stays below L for L labels on average, where the risk is max_bad.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit.statistics import shaped
from bandit.types import Vector

_ODDS: Final = np.array([2.0, 4.0, 8.0, 16.0])
"""Of an answer being bad, times those that are promised."""


class Guard:
    """State: (4,) sums, one for each guess of how high the risk has become."""

    def __init__(self, max_bad: float, labels_between_alarms: float) -> None:
        odds = _ODDS * max_bad / (1 - max_bad)
        self._bad: Vector = np.log(odds / (1 + odds)) - math.log(max_bad)
        self._good: Vector = -np.log1p(odds) - math.log1p(-max_bad)
        self._limit = math.log(labels_between_alarms)
        self._sums: Vector = np.zeros(len(_ODDS))

    def alarm(self, bad: float, weight: float) -> bool:
        """Take in one label of an accepted answer; True when too many were bad."""
        step = weight * (bad * self._bad + (1 - bad) * self._good)
        self._sums = np.maximum(0.0, self._sums + step)
        most = self._sums.max()
        return bool(most + math.log(np.exp(self._sums - most).mean()) >= self._limit)

    def reset(self) -> None:
        self._sums = np.zeros(len(_ODDS))

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        return {"guard": self._sums}

    def restore(self, arrays: dict[str, NDArray[np.float64]]) -> None:
        """Raises ValueError or KeyError when the arrays are not what `arrays` gave."""
        sums = shaped(arrays["guard"], (len(_ODDS),)).copy()
        if not (np.isfinite(sums).all() and sums.min() >= 0):
            raise ValueError("a sum is out of range")
        self._sums = sums
