"""What labels say of each threshold: two sums, the wealth they make, and what they certify."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit.promise.betting import Bets
from bandit.promise.order import certified, first_levels, thresholds
from bandit.promise.types import PromiseSettings
from bandit.statistics import shaped
from bandit.types import Vector

NONE: Final = -1
_ROUNDING: Final = 1e-9


class Evidence:
    """Of n thresholds, the strictest first; state: (n, 2) summed weights, all and of bad answers.

    sums:   (n, 2), of the labels at or above each threshold.
    wealth: (n,) log e-values. levels: (n,) shares of the error as handed on up to now.
    at:     index of the loosest certified threshold, or NONE.
    """

    def __init__(self, settings: PromiseSettings) -> None:
        self.grid = thresholds(settings)
        self.bets = Bets(settings.max_bad)
        self._settings = settings
        self._first = np.zeros(0)
        self.start(np.zeros(0))

    def start(self, scores: Vector) -> None:
        """Begin without evidence where scores say, as `first_levels` has it."""
        self._first = first_levels(scores, self.grid, self._settings.max_bad)
        self.forget()

    def forget(self) -> None:
        """Begin without evidence where it was begun before."""
        self.sums = np.zeros((len(self.grid), 2))
        self.total = 0.0
        self.labels = 0
        self._weigh()

    def add(self, score: float, bad: float, weight: float) -> None:
        self.sums[score >= self.grid] += (weight, weight * bad)
        self.total += weight
        self.labels += 1
        self._weigh()

    def next(self) -> int | None:
        """The looser threshold that lacks least, or before any is certified, of all."""
        lacks = np.where(self.levels > 0, self.lacks(), np.inf)
        lacks[: self.at + 1] = np.inf
        index = int(np.argmin(lacks))
        return index if np.isfinite(lacks[index]) else None

    def wanted(self) -> Vector:
        """Log e-value from which each threshold is certified; inf: not yet looked at. (n,)."""
        with np.errstate(divide="ignore"):
            wanted: Vector = -np.log(self.levels) - np.log1p(-self._settings.confidence)
        return wanted

    def lacks(self) -> Vector:
        return self.wanted() - self.wealth

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        counts = np.array([self.total, self.labels])
        return {"grid": self.grid, "sums": self.sums, "first": self._first, "counts": counts}

    def restore(self, arrays: dict[str, NDArray[np.float64]]) -> None:
        """Raises ValueError or KeyError when the arrays do not fit the settings."""
        n = len(self.grid)
        if not np.array_equal(shaped(arrays["grid"], (n,)), self.grid):
            raise ValueError("made for other thresholds")
        sums, first = shaped(arrays["sums"], (n, 2)).copy(), shaped(arrays["first"], (n,)).copy()
        total, labels = shaped(arrays["counts"], (2,)).tolist()
        numbers = np.concatenate([sums.ravel(), first, [total, labels]])
        if not (np.isfinite(numbers).all() and numbers.min() >= 0 and first.max() > 0):
            raise ValueError("a sum is out of range")
        if (sums[:, 1] > sums[:, 0]).any() or abs(first.sum() - 1) > _ROUNDING:
            raise ValueError("sums do not fit each other")
        self.sums, self._first, self.total, self.labels = sums, first, total, int(labels)
        self._weigh()

    def _weigh(self) -> None:
        self.wealth = self.bets.log_wealth(self.sums[:, 0], self.sums[:, 1])
        self.at, self.levels = certified(self.wealth, self._first, self._settings.confidence)
