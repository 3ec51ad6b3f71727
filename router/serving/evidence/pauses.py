"""When no evidence is bought for a while: nothing came of it, or the budget had no more."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Final

from router.ports import Clock

MOST_FAILURES: Final = 3
"""Purchases in a row that nothing could be learned of, after which none is made for a while."""
PAUSE_S: Final = 60.0
LONGEST_PAUSE_S: Final = 3_600.0
NEARLY: Final = 0.9
"""Part of an amount that was refused from which another one is not tried."""
MOST_DOUBLED: Final = 6
"""Times that a pause is doubled, by which it is the longest."""


class Wish(StrEnum):
    """Why evidence is bought of a request, or not."""

    BUYS = "buys"
    NOT_WORTH = "not_worth"
    NO_BUDGET = "no_budget"
    BUSY = "busy"
    PAUSED = "paused"
    OPTED_OUT = "opted_out"
    UNFIT = "unfit"
    NO_OTHERS = "no_others"


class Pauses:
    """Remembers failures in a row, and what the budget refused. clock: seconds since the epoch."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until_s = 0.0
        self._failures = 0
        self._poor_until_s = 0.0
        self._refused_usd = math.inf

    @property
    def is_on(self) -> bool:
        return self._clock() < self._until_s

    @property
    def is_poor(self) -> bool:
        """True while the budget is known to lack something."""
        return self._clock() < self._poor_until_s

    def is_too_dear(self, most_usd: float) -> bool:
        """Returns whether about as much was refused: one dear request does not end all others'."""
        return self.is_poor and most_usd >= NEARLY * self._refused_usd

    def refuse(self, most_usd: float, wait_s: float) -> None:
        """Note that the budget did not pay for so much. wait_s: until it may."""
        before = self._refused_usd if self.is_poor else math.inf
        self._refused_usd = min(before, most_usd)
        self._poor_until_s = max(self._poor_until_s, self._clock() + wait_s)

    def begin(self, wait_s: float) -> None:
        self._until_s = self._clock() + wait_s

    def note(self, result: str) -> None:
        """Leave a scorer that tells nothing alone for a while, longer from time to time."""
        if result == "bought":
            self._failures = 0
        elif result in ("unscored", "late"):
            self._failures += 1
            over = self._failures - MOST_FAILURES
            if over >= 0:
                self.begin(min(LONGEST_PAUSE_S, PAUSE_S * 2 ** min(over, MOST_DOUBLED)))
