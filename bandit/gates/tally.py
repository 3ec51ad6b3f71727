"""Running shares of good answers, apart for answers that agree and that differ; no context."""

from __future__ import annotations

from typing import Final

import numpy as np

from bandit.gates.types import GateExample
from bandit.gates.values import AGREE, DIFFER, Beliefs
from bandit.snapshots.parts import ArrayPart, Arrays

MOST_RATIO: Final = 100.0
_STRENGTH: Final = 4.0
_SHARES: Final = np.array([[0.85, 0.5], [0.85, 0.5], [0.9, 0.7]])
_AGREE_SHARE: Final = 0.7


class LabelTally(ArrayPart):
    """Means started from a few made-up examples.

    An answer that was compared with none counts for either case by the share of agreement.
    """

    stored = ("sums", "counts", "agree", "ratio")

    def __init__(self) -> None:
        self._sums = _SHARES * _STRENGTH
        self._counts = np.full((3, 2), _STRENGTH)
        self._agree = np.array([_AGREE_SHARE * _STRENGTH, _STRENGTH])
        self._ratio = np.array([_STRENGTH, _STRENGTH])

    @property
    def agree_share(self) -> float:
        return float(self._agree[0] / self._agree[1])

    @property
    def cost_ratio(self) -> float:
        """Return the strong arm's real cost over its price prior."""
        return float(self._ratio[0] / self._ratio[1])

    def beliefs(self, *, agree: bool | None) -> Beliefs:
        """Return means. agree: what the second opinion said, None before it was asked."""
        means = self._sums / self._counts
        if agree is not None:
            column = AGREE if agree else DIFFER
            means = means[:, column : column + 1]
        first, second, strong = means[:, None, :]
        return Beliefs(first, second, strong, np.array([self.agree_share]))

    def add(self, example: GateExample, *, agree: bool | None) -> None:
        share = self.agree_share if agree is None else float(agree)
        weights = example.weight * np.array([share, 1 - share])
        for row, ok in enumerate((example.first_ok, example.second_ok, example.strong_ok)):
            if ok is not None:
                self._sums[row] += weights * ok
                self._counts[row] += weights
        if agree is not None and not example.repeated:
            self._agree += (example.weight * agree, example.weight)
        if example.strong_cost_ratio is not None:
            ratio = min(example.strong_cost_ratio, MOST_RATIO)
            self._ratio += (example.weight * ratio, example.weight)

    def restore(self, arrays: Arrays, slots: int) -> None:
        super().restore(arrays, slots)
        counts = [*self._counts.ravel(), self._agree[1], self._ratio[1]]
        if min(counts) <= 0 or min(*self._sums.ravel(), self._agree[0], self._ratio[0]) < 0:
            raise ValueError("a sum or a count is out of range")
