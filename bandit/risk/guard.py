"""Halts and withdraws when accepted answers run above the promised share of bad ones.

Sums of log bets on more bad answers, each back to 0 when it falls below: an e-detector (Shin,
Ramdas & Rinaldo 2024, "E-detectors: a nonparametric framework for sequential change detection").
The mean of their exponentials stays below L for L labels on average, where the risk is max_bad.

Halting is cheap, so that one bad answer will do: nothing is accepted until about ten good ones
made up for it. Then every answer is labelled, not an audited few: what really changed is seen
soon, and a false alarm costs a few escalations.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from bandit.snapshots.parts import Arrays, shaped
from bandit.types import Vector

HALTS_AT: Final = 4.0
"""Mean of the exponentials from which it halts: that of one bad answer is above."""
GOES_ON_AT: Final = 1.1
_ODDS: Final = np.array([2.0, 4.0, 8.0, 16.0])
"""Odds of a bad answer, times those that are promised."""
_MOST: Final = 50.0


class RiskGuard:
    """Keeps (4,) sums, one for each guess of how high the risk has become, and whether it halts.

    halted: nothing is to be accepted until more labels came.
    """

    def __init__(self, max_bad: float, labels_between_alarms: float) -> None:
        odds = _ODDS * max_bad / (1 - max_bad)
        self._bad: Vector = np.log(odds / (1 + odds) / max_bad)
        self._good: Vector = -np.log1p(odds) - np.log1p(-max_bad)
        self._limit = labels_between_alarms
        self.halted = False
        self._sums: Vector = np.zeros(len(_ODDS))

    def alarm(self, bad: float, weight: float) -> bool:
        """Take in one label of an accepted answer; return whether too many were bad."""
        step = weight * (bad * self._bad + (1 - bad) * self._good)
        self._sums = np.maximum(0.0, self._sums + step)
        level = float(np.exp(np.minimum(self._sums, _MOST)).mean())
        self.halted = level >= (GOES_ON_AT if self.halted else HALTS_AT)
        return level >= self._limit

    def reset(self) -> None:
        self._sums = np.zeros(len(_ODDS))
        self.halted = False

    def arrays(self) -> Arrays:
        return {"guard": np.append(self._sums, float(self.halted))}

    def restore(self, arrays: Arrays) -> None:
        """Restore what `arrays` gave. Raises ValueError or KeyError for other arrays."""
        numbers = shaped(arrays["guard"], (len(_ODDS) + 1,)).astype(np.float64)
        if not (np.isfinite(numbers).all() and numbers.min() >= 0):
            raise ValueError("a sum is out of range")
        self._sums, self.halted = numbers[:-1], bool(numbers[-1])
