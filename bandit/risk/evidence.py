"""What labels say of each threshold: two sums, the wealth they make, and what they certify."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit.models.sufficient_statistics import shaped
from bandit.risk.betting import Bets
from bandit.risk.order import first_levels, proven, thresholds
from bandit.risk.types import PromiseSettings
from bandit.types import Vector

NONE: Final = -1
_ROUNDING: Final = 1e-9
_SELDOM: Final = 0.1
"""Share of the labels that reach a threshold, below which others are looked at first."""
_RECENT: Final = 5.0
"""Labels over which a recent one fades, times max_bad."""
_RECENT_WEALTH: Final = 0.7
"""Least log wealth by the recent labels alone: no proof, but they may not speak against it."""


class Evidence:
    """Of n thresholds, the strictest first.

    A threshold is certified by all labels of the epoch, as long as the recent ones do not speak
    against it: that asks for more than the proof does, and ends a certificate that only lives on
    better times.

    sums:   (n, 2) summed weights of the labels at or above each threshold: of all, of bad ones.
    recent: (n, 2), the same with older labels faded.
    wealth: (n,) log e-values. levels: (n,) shares of the error as handed on up to now.
    at:     index of the loosest certified threshold, or NONE.
    """

    def __init__(self, settings: PromiseSettings) -> None:
        self.grid = thresholds(settings)
        self.bets = Bets(settings.max_bad)
        self._settings = settings
        self._fading = settings.max_bad / _RECENT
        self.start(np.zeros(0))

    def start(self, scores: Vector) -> None:
        """Begin without evidence where scores say, as `first_levels` has it."""
        self._first = first_levels(scores, self.grid, self._settings.max_bad)
        self.forget()

    def forget(self) -> None:
        """Begin without evidence where it was begun before."""
        self.sums = np.zeros((len(self.grid), 2))
        self.recent = np.zeros((len(self.grid), 2))
        self.total = 0.0
        self.labels = 0
        self._weigh()

    def add(self, score: float, bad: float, weight: float) -> None:
        reached = len(self.grid) - int(np.searchsorted(self.grid[::-1], score, side="right"))
        added = np.array([weight, weight * bad])
        self.sums[reached:] += added
        self.recent[reached:] *= 1 - weight * self._fading
        self.recent[reached:] += added
        self.total += weight
        self.labels += 1
        self._weigh()

    def next(self) -> int | None:
        """The threshold to be proven next: looser than those that are; None when all are.

        Of several the one that lacks least, where answers reach it at all.
        """
        lacks = self.wanted() - self.wealth
        if self._proven.any():
            lacks[: np.flatnonzero(self._proven)[-1] + 1] = np.inf
        seldom = self.sums[:, 0] < _SELDOM * self.total
        if np.isfinite(lacks[~seldom]).any():
            lacks[seldom] = np.inf
        index = int(np.argmin(lacks))
        return index if np.isfinite(lacks[index]) else None

    @property
    def outdated(self) -> bool:
        """Something is proven, but the recent labels speak against all of it."""
        return self.at == NONE and bool(self._proven.any())

    def wanted(self) -> Vector:
        """Log e-value from which each threshold is certified; inf: not yet looked at. (n,)."""
        with np.errstate(divide="ignore"):
            wanted: Vector = -np.log(self.levels) - np.log1p(-self._settings.confidence)
        return wanted

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        counts = np.array([self.total, self.labels])
        return {
            "grid": np.append(self.grid, self._settings.max_bad),
            "sums": self.sums,
            "recent": self.recent,
            "first": self._first,
            "counts": counts,
        }

    def restore(self, arrays: dict[str, NDArray[np.float64]]) -> None:
        """Raises ValueError or KeyError when the arrays do not fit the settings."""
        n = len(self.grid)
        if not np.array_equal(arrays["grid"], np.append(self.grid, self._settings.max_bad)):
            raise ValueError("made for other thresholds or another max_bad")
        sums, recent = (shaped(arrays[name], (n, 2)).copy() for name in ("sums", "recent"))
        first = shaped(arrays["first"], (n,)).copy()
        total, labels = shaped(arrays["counts"], (2,)).tolist()
        numbers = np.concatenate([sums.ravel(), recent.ravel(), first, [total, labels]])
        if not (np.isfinite(numbers).all() and numbers.min() >= 0 and first.max() > 0):
            raise ValueError("a sum is out of range")
        both = np.concatenate([sums, recent])
        if (both[:, 1] > both[:, 0]).any() or abs(first.sum() - 1) > _ROUNDING:
            raise ValueError("sums do not fit each other")
        self.sums, self.recent, self._first = sums, recent, first
        self.total, self.labels = total, int(labels)
        self._weigh()

    def _weigh(self) -> None:
        both = np.concatenate([self.sums, self.recent])
        wealth, recent = self.bets.log_wealth(both[:, 0], both[:, 1]).reshape(2, -1)
        self.wealth = wealth
        self._proven, self.levels = proven(wealth, self._first, self._settings.confidence)
        standing = np.flatnonzero(self._proven & (recent >= _RECENT_WEALTH))
        self.at = int(standing[-1]) if standing.size else NONE
