"""Evidence for each threshold: two sums of labels, the wealth they make, and what they certify.

All tests together err as seldom as one: Angelopoulos et al. 2021, "Learn then Test", with the
graphs of Bretz et al. 2009, "A graphical approach to sequentially rejective multiple test
procedures". Every threshold has a share of the error; one that is certified hands its share to the
next looser one that is not.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit.risk.betting import RiskBets
from bandit.risk.types import PromiseSettings
from bandit.snapshots.parts import Arrays, shaped
from bandit.types import Vector

NONE: Final = -1
_STRICTEST: Final = 32.0
"""Max_bad over the chance of bad at the strictest threshold of a grid."""
_FIRST: Final = 0.8
"""Share of the error given to the threshold to begin with; the stricter ones share the rest."""
_ROUNDING: Final = 1e-9
_SELDOM: Final = 0.1
"""Share of the labels that reach a threshold, below which others are looked at first."""
_RECENT: Final = 5.0
"""Labels over which a recent one fades, times max_bad."""
_RECENT_WEALTH: Final = 0.7
"""Least log wealth by the recent labels alone: no proof, but they may not speak against it."""


class ThresholdEvidence:
    """Evidence for n thresholds, the strictest first.

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
        self.bets = RiskBets(settings.max_bad)
        self._settings = settings
        self._fading = settings.max_bad / _RECENT
        self.start(np.zeros(0))

    def start(self, scores: Vector) -> None:
        """Begin without evidence where the scores promise most, see `first_levels`."""
        self._first = first_levels(scores, self.grid, self._settings.max_bad)
        self.forget()

    def forget(self) -> None:
        """Begin again without evidence, at the levels of the last start."""
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
        """Return the threshold to be proven next, looser than the proven ones; None after the last.

        It is the one that lacks least among those that answers reach at all.
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
        """Return whether the recent labels speak against everything that is proven."""
        return self.at == NONE and bool(self._proven.any())

    def wanted(self) -> Vector:
        """Return log e-values from which thresholds are certified; inf: not looked at yet. (n,)."""
        with np.errstate(divide="ignore"):
            wanted: Vector = -np.log(self.levels) - np.log1p(-self._settings.confidence)
        return wanted

    def arrays(self) -> Arrays:
        counts = np.array([self.total, self.labels])
        return {
            "grid": np.append(self.grid, self._settings.max_bad),
            "sums": self.sums,
            "recent": self.recent,
            "first": self._first,
            "counts": counts,
        }

    def restore(self, arrays: Arrays) -> None:
        """Restore the state. Raises ValueError or KeyError unless the arrays fit the settings."""
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


def thresholds(settings: PromiseSettings) -> Vector:
    """Return the thresholds, the strictest first."""
    if isinstance(settings.grid, tuple):
        return np.array(settings.grid, dtype=np.float64)
    chances = np.geomspace(settings.max_bad / _STRICTEST, 1.0, settings.grid)
    chances[-1] = 1.0
    return 1.0 - chances


def first_levels(scores: Vector, grid: Vector, max_bad: float) -> Vector:
    """Return shares of the error, (n,), summing to 1; scores: (m,), of answers not counted.

    Most goes to the threshold that would be certified soonest if the scores were right: its
    share of the traffic times the growth of the wealth at the risk they say. Scores alone are
    looked at, so this costs no error.
    """
    if not scores.size:
        return np.full(len(grid), 1 / len(grid))
    reached = scores[:, None] >= grid[None, :]
    counts = reached.sum(axis=0)
    risks = ((1 - scores)[:, None] * reached).sum(axis=0) / np.maximum(counts, 1)
    first = int(np.argmax(counts * _growth(risks, max_bad) + 1e-9 * counts))
    levels = np.zeros(len(grid))
    levels[first] = _FIRST
    levels[:first] = (1 - _FIRST) / max(first, 1)
    shares: Vector = levels / levels.sum()
    return shares


def proven(wealth: Vector, levels: Vector, confidence: float) -> tuple[NDArray[np.bool_], Vector]:
    """Return which thresholds are proven, (n,), and the levels as handed on, 0 for those.

    wealth: (n,) log e-values. levels: (n,) shares of the error at first.
    """
    wanted = -math.log1p(-confidence)
    passed, left, handed = [], [], 0.0
    for log_e, own in zip(wealth.tolist(), levels.tolist(), strict=True):
        share = own + handed
        passed.append(share > 0 and log_e + math.log(share) >= wanted)
        handed = share if passed[-1] else 0.0
        left.append(0.0 if passed[-1] else share)
    return np.array(passed), np.array(left)


def _growth(risks: Vector, max_bad: float) -> Vector:
    """Return the mean growth of log wealth per label: KL(risk, max_bad) below it, else 0."""
    r: Vector = np.clip(risks, 1e-6, max_bad)
    growth: Vector = r * np.log(r / max_bad) + (1 - r) * (np.log1p(-r) - math.log1p(-max_bad))
    growth[risks >= max_bad] = 0.0
    return growth
