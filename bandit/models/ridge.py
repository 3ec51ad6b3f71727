"""Ridge regression per slot, one outcome at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandit.models.sufficient_statistics import shaped
from bandit.types import Vector

Rows = NDArray[np.intp]


class Ridge:
    """Ridge regression of y - offset on x for each slot, by the inverse (Sherman-Morrison).

    inverse: (slots, width, width) of A = ridge I + sum w x x'; moment: (slots, width) sum w x y.
    """

    def __init__(self, width: int, ridge: float, offset: float) -> None:
        self._blank = np.eye(width) / ridge
        self._offset = offset
        self._inverse = np.zeros((0, width, width))
        self._moment = np.zeros((0, width))

    def grow(self, slots: int) -> None:
        missing = slots - len(self._moment)
        if missing > 0:
            blanks = np.tile(self._blank, (missing, 1, 1))
            self._inverse = np.concatenate([self._inverse, blanks])
            self._moment = np.pad(self._moment, ((0, missing), (0, 0)))

    def add(self, slot: int, x: Vector, y: float, weight: float) -> None:
        inverse = self._inverse[slot]
        reached = inverse @ x
        # The outer product of one vector stays symmetric to the last bit.
        scale = weight / (1.0 + weight * max(0.0, float(x @ reached)))
        inverse -= scale * np.multiply.outer(reached, reached)
        self._moment[slot] += weight * (y - self._offset) * x

    def mean(self, rows: Rows, x: Vector) -> Vector:
        """X' A^-1 b + offset, (k,); the offset for rows of -1."""
        return np.array([self._offset + self._product(row, x) for row in rows.tolist()])

    def width(self, rows: Rows, x: Vector) -> Vector:
        """sqrt(x' A^-1 x), (k,)."""
        inverses = (self._blank if row < 0 else self._inverse[row] for row in rows.tolist())
        return np.sqrt([max(0.0, float(x @ inverse @ x)) for inverse in inverses])

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {"inverse": self._inverse, "moment": self._moment}

    def restore(self, arrays: dict[str, NDArray[Any]], slots: int) -> None:
        width = len(self._blank)
        self._inverse = shaped(arrays["inverse"], (slots, width, width)).copy()
        self._moment = shaped(arrays["moment"], (slots, width)).copy()

    def _product(self, row: int, x: Vector) -> float:
        return 0.0 if row < 0 else float(x @ self._inverse[row] @ self._moment[row])
