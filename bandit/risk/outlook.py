"""How many labels evidence takes: the fewest possible, and about how many more."""

from __future__ import annotations

import math
from typing import Final

from bandit.risk.betting import Bets
from bandit.risk.types import PromiseSettings

MOST_LABELS: Final = 1_000_000
_MADE_UP: Final = 20.0
"""Labels with half the promised risk, made up to steady an estimate from few."""


def least_labels(settings: PromiseSettings) -> int:
    """Labels, none bad, at or above one threshold before anything can be certified.

    Somewhat more than log(1/(1-confidence)) / -log(1-max_bad), the fewest for any test of a
    single threshold; the warm-up comes on top. With fewer the promise is surely vacuous.

    >>> least_labels(PromiseSettings(max_bad=0.05, confidence=0.95))
    74
    """
    wanted = -math.log1p(-settings.confidence)
    return more_labels(Bets(settings.max_bad), (0.0, 0.0), 0.0, wanted) or MOST_LABELS


def likely_risk(sums: tuple[float, float], max_bad: float) -> float:
    """Share of bad among the labels of a threshold, steadied; sums: of all, of bad ones."""
    return (sums[1] + 0.5 * max_bad * _MADE_UP) / (sums[0] + _MADE_UP)


def more_labels(bets: Bets, sums: tuple[float, float], risk: float, wanted: float) -> int | None:
    """Labels until the log wealth is wanted, if they turn out bad with this risk.

    None: not within a million. By doubling, then halving.
    """

    def enough(more: int) -> bool:
        return bets.log_wealth_of(sums[0] + more, sums[1] + risk * more) >= wanted

    high = 1
    while not enough(high):
        if high > MOST_LABELS:
            return None
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
