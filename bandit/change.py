"""Notices that an action has silently become better or worse, and whom to look at again.

Two one-sided cumulative sums per action (Page 1954) over the residuals r of predictions made before
they were learned. Each adds up log-likelihood ratios of a shift of size d against none, for
Gaussian noise s2: g <- max(0, g + w d / s2 (s r - d / 2)), s = +1 and -1, alarm at g > limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit.statistics import shaped
from bandit.types import Vector

LIMIT: Final = 12.0
RECOVERED_LIMIT: Final = 4.0
"""Of the sum that speaks for the better while an action is watched: recovery is then expected."""
MOST_STEP: Final = 2.0
"""One outcome counts at most so much: noise has longer tails than a Gaussian's."""
MIN_OUTCOMES: Final = 60.0
MOST_EVIDENCE: Final = 12.0
"""Outcomes that what was seen since the change may count for at most: the sum's own stopping makes
the shift look larger than it is.
"""
WATCHED_FOR: Final = 2_000.0
"""Judged outcomes, of all actions, during which one that became worse is looked at again."""
PROBE: Final = 0.01
MOST_PROBED: Final = 0.2
_SIGNS: Final = np.array([1.0, -1.0])


@dataclass(frozen=True, slots=True)
class ChangeSpec:
    """shift: size that is looked for, in units of the head. noise: least variance assumed."""

    shift: float
    noise: float


QUALITY_CHANGE: Final = ChangeSpec(shift=0.3, noise=0.03)
RATIO_CHANGE: Final = ChangeSpec(shift=0.7, noise=0.1)
FAILURE_CHANGE: Final = ChangeSpec(shift=0.3, noise=0.05)


@dataclass(frozen=True, slots=True)
class Alarm:
    """shift: mean residual since the change. count: weight of the outcomes that tell of it."""

    shift: float
    count: float


class ChangeDetector:
    """One head's; its state is kept in the snapshot.

    runs: (slots, 3, 2), for either direction the sum, and the weight and the residuals taken in
    since it last was 0. seen: (slots,) weight of all outcomes. until: (slots,) at which weight of
    the outcomes of all slots watching ends.
    """

    def __init__(self, spec: ChangeSpec) -> None:
        self._spec = spec
        self._runs: NDArray[np.float64] = np.zeros((0, 3, 2))
        self._seen: Vector = np.zeros(0)
        self._until: Vector = np.zeros(0)

    def grow(self, slots: int) -> None:
        missing = slots - len(self._seen)
        if missing > 0:
            self._runs = np.concatenate([self._runs, np.zeros((missing, 3, 2))])
            self._seen = np.append(self._seen, np.zeros(missing))
            self._until = np.append(self._until, np.zeros(missing))

    def alarm(self, slot: int, residual: float, noise: float, weight: float) -> Alarm | None:
        """Take in one residual; what changed, if anything did, and the sums start anew."""
        spec, run = self._spec, self._runs[slot]
        step = spec.shift / max(noise, spec.noise) * (_SIGNS * residual - spec.shift / 2)
        run[0] += weight * np.minimum(step, MOST_STEP)
        run[1] += weight
        run[2] += weight * residual
        run[:, run[0] <= 0] = 0.0
        self._seen[slot] += weight
        limits = np.array([RECOVERED_LIMIT if self._is_watched(slot) else LIMIT, LIMIT])
        over = run[0] > limits
        if not over.any() or (self._seen[slot] < MIN_OUTCOMES and not self._is_watched(slot)):
            return None
        return self._raised(slot, int(over.argmax()))

    def probes(self, rows: NDArray[np.intp]) -> Vector:
        """Least probability of each row for the sake of noticing a recovery, (k,).

        It grows with the likelihood ratio of "it recovered": a good sign is followed up.
        """
        if not self._until.any():
            return np.zeros(len(rows))
        odds = np.exp(np.minimum(self._runs[rows, 0, 0], LIMIT))
        watched = (rows >= 0) & (self._until[rows] > self._seen.sum())
        return np.where(watched, np.minimum(PROBE * odds, MOST_PROBED), 0.0)

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        return {"runs": self._runs, "seen": self._seen, "until": self._until}

    def restore(self, arrays: dict[str, NDArray[np.float64]], slots: int) -> None:
        """Raises ValueError or KeyError when the arrays are not what `arrays` gave."""
        self._runs = shaped(arrays["runs"], (slots, 3, 2)).copy()
        self._seen = shaped(arrays["seen"], (slots,)).copy()
        self._until = shaped(arrays["until"], (slots,)).copy()

    def _is_watched(self, slot: int) -> bool:
        return bool(self._until[slot] > self._seen.sum())

    def _raised(self, slot: int, direction: int) -> Alarm:
        _, count, total = self._runs[slot, :, direction].tolist()
        self._runs[slot] = 0.0
        self._until[slot] = 0.0 if direction == 0 else self._seen.sum() + WATCHED_FOR
        return Alarm(total / count, min(count, MOST_EVIDENCE))
