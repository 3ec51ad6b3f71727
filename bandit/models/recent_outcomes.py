"""The last outcomes with their contexts, for policies that look back at them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandit.models.sufficient_statistics import shaped
from bandit.types import Vector


class Memory:
    """A ring of (x, slot, y, weight); x is rounded to float16, as it is in the snapshot.

    width: numbers in x; capacity: outcomes kept, the oldest goes first.
    """

    def __init__(self, width: int, capacity: int) -> None:
        self._x: NDArray[np.float32] = np.zeros((capacity, width), dtype=np.float32)
        self._slots: NDArray[np.int32] = np.full(capacity, -1, dtype=np.int32)
        self._targets: NDArray[np.float64] = np.zeros((capacity, 2))
        self._added = 0

    def __len__(self) -> int:
        return min(self._added, len(self._slots))

    @property
    def added(self) -> int:
        """Outcomes ever, also those that have gone."""
        return self._added

    @property
    def x(self) -> NDArray[np.float32]:
        return self._x[: len(self)]

    @property
    def slots(self) -> NDArray[np.int32]:
        return self._slots[: len(self)]

    @property
    def targets(self) -> NDArray[np.float64]:
        """Y and weight, (n, 2)."""
        return self._targets[: len(self)]

    def add(self, x: Vector, slot: int, y: float, weight: float) -> None:
        place = self._added % len(self._slots)
        self._x[place] = x.astype(np.float16)
        self._slots[place] = slot
        self._targets[place] = y, weight
        self._added += 1

    def grow(self, slots: int) -> None:
        """It keeps outcomes of whatever slots there are."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {
            "x": self.x.astype(np.float16),
            "slots": self.slots,
            "targets": self.targets,
            "added": np.array([self._added], dtype=np.float64),
        }

    def restore(self, arrays: dict[str, NDArray[Any]], slots: int) -> None:
        """From a memory of another capacity only the last outcomes are kept, as far as they go.

        Raises ValueError or KeyError when the arrays do not fit.
        """
        added, held = int(shaped(arrays["added"], (1,))[0]), len(arrays["slots"])
        if added < held or (
            held and not 0 <= arrays["slots"].min() <= arrays["slots"].max() < slots
        ):
            raise ValueError("a count or a slot is out of range")
        x = shaped(arrays["x"], (held, self._x.shape[1]))
        shaped(arrays["slots"], (held,))
        targets = shaped(arrays["targets"], (held, 2))
        order = np.arange(held)
        if held != min(added, len(self._slots)):  # another capacity: the oldest first, then cut
            order = np.roll(order, -(added % held))[-len(self._slots) :]
            added = len(order)
        self._added = added
        self._x[: len(order)] = x[order]
        self._slots[: len(order)] = arrays["slots"][order]
        self._targets[: len(order)] = targets[order]
