"""Context-free running means per action, started from one made-up observation."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit.snapshots.parts import SlotPart
from bandit.types import Outcome

QUALITY, COST_RATIO, LATENCY_MS, FAILURE = range(4)
MOST: Final = 1e9
"""Largest latency in ms that is learned as it is, so that no sum overflows."""
MOST_RATIO: Final = 1e3
"""Largest cost that is learned as it is, as a multiple of the guess."""

_START: Final = np.array([0.75, 1.0, 1_000.0, 0.02])


def cost_ratio(outcome: Outcome) -> float | None:
    """Return the cost as a multiple of the guessed part of it; None where it is not known."""
    ratio = outcome.cost_ratio
    return None if ratio is None else min(ratio, MOST_RATIO)


class RunningMeans(SlotPart):
    """Columns: quality, cost as a multiple of the guess, latency in ms, failure."""

    stored = ("sums", "counts")

    def __init__(self) -> None:
        self._sums: NDArray[np.float64] = np.zeros((0, 4))
        self._counts: NDArray[np.float64] = np.zeros((0, 4))

    def add(self, slot: int, outcome: Outcome) -> None:
        """Take out what is corrected; an action without it learns the right one as its first."""
        old, weight = outcome.replaces, outcome.weight
        if old is not None and self._counts[slot, QUALITY] >= weight:
            self._sums[slot, QUALITY] = max(0.0, self._sums[slot, QUALITY] - weight * old)
            self._counts[slot, QUALITY] -= weight
        amounts = (outcome.quality, cost_ratio(outcome), outcome.latency_ms, outcome.failed)
        for column, value in enumerate(amounts):
            if value is not None:
                self._sums[slot, column] += outcome.weight * min(value, MOST)
                self._counts[slot, column] += outcome.weight

    def means(self, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return the means, (k, 4); a row of -1 is an action never seen."""
        none = np.zeros((1, 4))
        sums = np.concatenate([self._sums, none])[rows]
        result: NDArray[np.float64] = (_START + sums) / (1 + self.counts(rows))
        return result

    def counts(self, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return summed weights, (k, 4)."""
        return np.concatenate([self._counts, np.zeros((1, 4))])[rows]
