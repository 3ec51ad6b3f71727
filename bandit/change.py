"""Notices that an action has silently become better or worse.

Two one-sided cumulative sums per action (Page 1954) over the residuals of predictions made before
they were learned: g <- max(0, g + gain (s r - drift)), s = +1 and -1; alarm at g > limit.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit.statistics import shaped

GAIN: Final = 0.3
LEAST_NOISE: Final = 0.08
DRIFT: Final = 0.15
LIMIT: Final = 12.0
MIN_OUTCOMES: Final = 100
_SIGNS: Final = np.array([1.0, -1.0])


class ChangeDetector:
    """State: (slots, 2) sums and (slots,) outcomes seen, both kept in the snapshot."""

    def __init__(self) -> None:
        self._sums: NDArray[np.float64] = np.zeros((0, 2))
        self._seen: NDArray[np.float64] = np.zeros(0)

    def grow(self, slots: int) -> None:
        missing = slots - len(self._seen)
        if missing > 0:
            self._sums = np.concatenate([self._sums, np.zeros((missing, 2))])
            self._seen = np.concatenate([self._seen, np.zeros(missing)])

    def alarm(self, slot: int, residual: float, noise: float) -> bool:
        """Take in one residual; True when the action has changed, and the sums start anew."""
        step = GAIN / max(noise, LEAST_NOISE) * (_SIGNS * residual - DRIFT)
        self._sums[slot] = np.maximum(0.0, self._sums[slot] + step)
        self._seen[slot] += 1
        if self._seen[slot] < MIN_OUTCOMES or self._sums[slot].max() <= LIMIT:
            return False
        self._sums[slot] = 0.0
        return True

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        return {"sums": self._sums, "seen": self._seen}

    def restore(self, arrays: dict[str, NDArray[np.float64]], slots: int) -> None:
        """Raises ValueError or KeyError when the arrays are not what `arrays` gave."""
        self._sums = shaped(arrays["sums"], (slots, 2)).copy()
        self._seen = shaped(arrays["seen"], (slots,)).copy()
