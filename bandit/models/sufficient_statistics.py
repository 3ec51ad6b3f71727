"""Per-action sufficient statistics of a linear model: all that learning has to remember."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bandit.snapshots.parts import Arrays, shaped
from bandit.types import Vector

Array = NDArray[np.float64]


class SufficientStatistics:
    """Sums of each action slot: gram = sum phi phi', moment = sum phi y, square = sum y^2, count.

    phi has `width` numbers, the first always 1. Slots are appended, never removed, so actions may
    come and go. gram: (slots, width, width), moment: (slots, width), square and count: (slots,).
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self.gram: Array = np.zeros((0, width, width))
        self.moment: Array = np.zeros((0, width))
        self.square: Vector = np.zeros(0)
        self.count: Vector = np.zeros(0)

    @property
    def slots(self) -> int:
        return len(self.count)

    def grow(self, slots: int) -> None:
        """Append empty slots up to `slots`."""
        missing = slots - self.slots
        if missing > 0:
            self.gram = _padded(self.gram, missing)
            self.moment = _padded(self.moment, missing)
            self.square = _padded(self.square, missing)
            self.count = _padded(self.count, missing)

    def add(self, slot: int, phi: Vector, y: float, weight: float) -> None:
        # The outer product first: it is symmetric to the last bit, and snapshots keep a triangle.
        self.gram[slot] += weight * np.multiply.outer(phi, phi)
        self.moment[slot] += (weight * y) * phi
        self.square[slot] += weight * y * y
        self.count[slot] += weight

    def correct(self, slot: int, phi: Vector, old: float, new: float, weight: float) -> None:
        """Replace the y of an outcome that was added with y = old."""
        self.moment[slot] += (weight * (new - old)) * phi
        self.square[slot] += weight * (new * new - old * old)

    def scale(self, slot: int, factor: float) -> None:
        """Multiply the weight of every outcome of the slot; means stay."""
        for sums in (self.gram, self.moment, self.square, self.count):
            sums[slot] *= factor

    def forget_intercept(self, slot: int) -> None:
        """Marginalise the first coefficient out under a flat prior; slopes keep their evidence."""
        total = self.gram[slot, 0, 0]
        if total <= 0:
            return
        row, level = self.gram[slot, 0].copy(), self.moment[slot, 0]
        self.gram[slot] -= np.multiply.outer(row, row) / total
        self.moment[slot] -= row * (level / total)
        self.square[slot] = max(0.0, self.square[slot] - level * level / total)
        self.gram[slot, 0, :] = self.gram[slot, :, 0] = self.moment[slot, 0] = 0.0

    def add_level(self, slot: int, level: float, count: float) -> None:
        """Add `count` outcomes with y = level at the origin of every slope."""
        self.gram[slot, 0, 0] += count
        self.moment[slot, 0] += count * level
        self.square[slot] += count * level * level

    def arrays(self) -> Arrays:
        """Return the sums; each symmetric matrix as its upper triangle."""
        upper = np.triu_indices(self.width)
        return {
            "gram": self.gram[:, upper[0], upper[1]],
            "moment": self.moment,
            "square": self.square,
            "count": self.count,
        }

    def restore(self, arrays: Arrays, slots: int) -> None:
        """Restore the state. Raises ValueError or KeyError unless the arrays fit."""
        upper = np.triu_indices(self.width)
        self.gram = np.zeros((slots, self.width, self.width))
        self.gram[:, upper[0], upper[1]] = shaped(arrays["gram"], (slots, len(upper[0])))
        self.gram[:, upper[1], upper[0]] = arrays["gram"]
        self.moment = shaped(arrays["moment"], (slots, self.width)).copy()
        self.square = shaped(arrays["square"], (slots,)).copy()
        self.count = shaped(arrays["count"], (slots,)).copy()


def _padded(array: Array, rows: int) -> Array:
    return np.concatenate([array, np.zeros((rows, *array.shape[1:]))])
