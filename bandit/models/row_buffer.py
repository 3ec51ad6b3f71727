"""The last lessons as they came, laid out in rows; what has to go is handed on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandit.models.sufficient_statistics import shaped

Array = NDArray[np.float64]


class RowBuffer:
    """At most `capacity` rows of x, (n, width), and what was told, (n, columns); oldest first.

    x is rounded to float16, as it is in the snapshot.
    """

    def __init__(self, width: int, columns: int, capacity: int) -> None:
        self._x: NDArray[np.float16] = np.zeros((0, width), np.float16)
        self._told = np.zeros((0, columns))
        self._capacity = capacity

    def __len__(self) -> int:
        return len(self._x)

    @property
    def x(self) -> Array:
        return self._x.astype(np.float64)

    @property
    def told(self) -> Array:
        return self._told

    def add(self, x: Array, told: Array) -> tuple[Array, Array]:
        """Take in rows, (k, width) and (k, columns); returns those that had to go."""
        whole = np.concatenate([self._x, x.astype(np.float16)])
        told = np.concatenate([self._told, told])
        cut = max(0, len(whole) - self._capacity)
        self._x, self._told = whole[cut:], told[cut:]
        return whole[:cut].astype(np.float64), told[:cut]

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {"x": self._x, "told": self._told}

    def restore(self, arrays: dict[str, NDArray[Any]]) -> None:
        """From a buffer of another capacity only the last rows are kept.

        Raises ValueError or KeyError when the arrays do not fit.
        """
        held = len(arrays["x"])
        x = shaped(arrays["x"], (held, self._x.shape[1])).astype(np.float16)
        told = shaped(arrays["told"], (held, self._told.shape[1]))
        self._x, self._told = x[-self._capacity :].copy(), told[-self._capacity :].copy()
