"""Detects actions that silently became better or worse, and which of them to look at again.

Two one-sided cumulative sums per action (Page 1954) over predictions p made before the outcome y
was learned. Each adds up log-likelihood ratios of a shift by d, up or down, against none:
g <- max(0, g + w l), alarm at g > limit. For amounts, l = d (+-(y - p) - d / 2) / f, Gaussian of
variance f. For y in [0, 1], l = (y log(q / p) + (1 - y) log((1 - q) / (1 - p))) / f with q = p +- d
(quasi-likelihood, Wedderburn 1974). The dispersion f = sum (y - p)^2 / sum V(p), with V = 1
or p (1 - p), is about 1 for right or wrong, less for grades, more while predictions are still poor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit.snapshots.parts import SlotPart
from bandit.types import Outcome, Vector

LIMIT: Final = 12.0
RECOVERED_LIMIT: Final = 3.0
"""Limit of the upward sum of an action that is watched: its recovery is expected."""
MOST_STEP: Final = 2.0
"""Most that one outcome counts: noise has longer tails than a Gaussian's."""
MIN_OUTCOMES: Final = 60.0
MOST_EVIDENCE: Final = 12.0
"""Most outcomes that those since the change count for: the sum's own stopping makes the shift look
larger than it is.
"""
WATCHED_FOR: Final = 2_000.0
"""Judged outcomes, of all actions, during which one that became worse is looked at again."""
PROBE: Final = 0.01
FIRST_PROBE: Final = 0.03
PROBES: Final = 6.0
"""Share of calls to an action that is watched: so many per outcome since it became worse, between
these two, as what is down for long will likely stay so for long.
"""
MOST_PROBED: Final = 0.2
_UP, _DOWN = 0, 1
_EDGE: Final = 0.03
_START: Final = 1.0
"""Start of either sum of the dispersion."""


@dataclass(frozen=True, slots=True)
class ChangeSpec:
    """The change that is looked for in one head.

    shift: its size, in units of the head. dispersion: least assumed. bounded: y is in [0, 1].
    """

    shift: float
    dispersion: float
    bounded: bool

    def variance(self, expected: float) -> float:
        """Return V of the expected y."""
        p = _inside(expected)
        return p * (1 - p) if self.bounded else 1.0

    def ratios(self, y: float, expected: float) -> tuple[float, float]:
        """Return log-likelihood ratios of a shift up and of one down, for a dispersion of 1."""
        return self._ratio(y, expected, self.shift), self._ratio(y, expected, -self.shift)

    def _ratio(self, y: float, expected: float, shift: float) -> float:
        if not self.bounded:
            return shift * (y - expected - shift / 2)
        p, q = _inside(expected), _inside(_inside(expected) + shift)
        return y * math.log(q / p) + (1 - y) * math.log((1 - q) / (1 - p))


def _inside(p: float) -> float:
    return min(max(p, _EDGE), 1 - _EDGE)


QUALITY_CHANGE: Final = ChangeSpec(shift=0.3, dispersion=0.2, bounded=True)
RATIO_CHANGE: Final = ChangeSpec(shift=0.7, dispersion=0.1, bounded=False)
FAILURE_CHANGE: Final = ChangeSpec(shift=0.3, dispersion=0.5, bounded=True)


@dataclass(frozen=True, slots=True)
class Alarm:
    """A change. shift: mean residual since then. count: weight of the outcomes that tell of it."""

    shift: float
    count: float


class ChangeDetector(SlotPart):
    """Detects changes of one head.

    runs: (slots, 3, 2), for either direction the sum, and the weight and the residuals taken in
    since it last was 0. seen: (slots,) weight of all outcomes. worse: (slots,) how much of all
    slots was seen when it last became worse, 0 for never. spread: (slots, 2) the dispersion's sums.
    """

    stored = ("runs", "seen", "worse", "spread")

    def __init__(self, spec: ChangeSpec) -> None:
        self._spec = spec
        self._runs: NDArray[np.float64] = np.zeros((0, 3, 2))
        self._seen: Vector = np.zeros(0)
        self._worse: Vector = np.zeros(0)
        self._spread: NDArray[np.float64] = np.zeros((0, 2))

    def alarm(self, slot: int, y: float, expected: float, weight: float) -> Alarm | None:
        """Take in one outcome; on a change return it, and the sums start anew."""
        self._seen[slot] += weight
        dispersion = self._dispersion(slot, y, expected, weight)
        if self._seen[slot] < MIN_OUTCOMES:
            return None
        for direction, ratio in enumerate(self._spec.ratios(y, expected)):
            step = weight * min(ratio / dispersion, MOST_STEP)
            self._add(slot, direction, step, weight, weight * (y - expected))
        over = self._over(slot)
        return None if over is None else self._raised(slot, over)

    def probes(self, rows: NDArray[np.intp]) -> Vector:
        """Return the least probability of each row, to notice a recovery, (k,).

        It grows with the likelihood ratio of "it recovered": a good sign is followed up.
        """
        if not any(self._worse.tolist()):
            return np.zeros(len(rows))
        odds = np.exp(np.minimum(self._runs[rows, 0, 0], LIMIT))
        usual = np.clip(PROBES / np.maximum(self._age()[rows], 1.0), PROBE, FIRST_PROBE)
        watched = (rows >= 0) & self._watched()[rows]
        return np.where(watched, np.minimum(usual * odds, MOST_PROBED), 0.0)

    def _dispersion(self, slot: int, y: float, expected: float, weight: float) -> float:
        """Return the dispersion before this outcome, and add the outcome to it."""
        spread = self._spread[slot]
        squares, variances = spread.tolist()
        spread[0] = squares + weight * (y - expected) ** 2
        spread[1] = variances + weight * self._spec.variance(expected)
        return float(max(self._spec.dispersion, (squares + _START) / (variances + _START)))

    def _add(self, slot: int, direction: int, step: float, count: float, residual: float) -> None:
        """Add to the sums, which begin anew where the first falls to 0."""
        total, weight, residuals = self._runs[slot, :, direction].tolist()
        total += step
        kept = (total, weight + count, residuals + residual)
        self._runs[slot, :, direction] = kept if total > 0 else 0.0

    def _over(self, slot: int) -> int | None:
        """Return the direction whose sum is over its limit."""
        up, down = self._runs[slot, 0].tolist()
        if up > LIMIT or (up > RECOVERED_LIMIT and self._watched()[slot]):
            return _UP
        return _DOWN if down > LIMIT else None

    def _age(self) -> Vector:
        age: Vector = self._seen.sum() - self._worse
        return age

    def _watched(self) -> NDArray[np.bool_]:
        return (self._worse > 0) & (self._age() < WATCHED_FOR)

    def _raised(self, slot: int, direction: int) -> Alarm:
        _, count, total = self._runs[slot, :, direction].tolist()
        self._runs[slot] = 0.0
        if direction == _DOWN:
            self._worse[slot] = self._seen.sum()
        return Alarm(total / count, min(count, MOST_EVIDENCE))


class CorrectionHorizon(SlotPart):
    """Tells which outcomes can be corrected: those of decisions made after the last change.

    The level that earlier outcomes of the action told is forgotten, or their weight is not the one
    they had: to take one back would take back more than is there.

    newest, beyond: (slots,), the times in ms of the newest decision learned from, and of the newest
    whose outcomes can't be corrected; -1 for none.
    """

    stored = ("newest", "beyond")
    blank = -1.0

    def __init__(self) -> None:
        self._newest: Vector = np.zeros(0)
        self._beyond: Vector = np.zeros(0)

    def hides(self, slot: int, outcome: Outcome) -> bool:
        """Return whether the outcome corrects one that can't be corrected any more."""
        return outcome.replaces is not None and outcome.made_ms <= self._beyond[slot]

    def beyond_ms(self, slot: int) -> float:
        """Return the time of the newest decision before the last change; 0 for none."""
        return max(0.0, float(self._beyond[slot]))

    def see(self, slot: int, made_ms: float) -> None:
        self._newest[slot] = max(self._newest[slot], made_ms)

    def forget(self, slot: int) -> None:
        self._beyond[slot] = self._newest[slot]

    def limit(self) -> None:
        """Put everything learned so far beyond correction: it may weigh less from now on."""
        self._beyond = self._newest.copy()
