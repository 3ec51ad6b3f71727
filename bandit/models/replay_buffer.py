"""The last outcomes, kept to remind a regressor of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandit.models.sufficient_statistics import shaped
from bandit.types import Vector


class ReplayBuffer:
    """A ring of (context, slot, y, weight); contexts in float16, in memory as in the snapshot.

    width: numbers per context; capacity: outcomes kept.
    """

    def __init__(self, width: int, capacity: int) -> None:
        self._contexts: NDArray[np.float16] = np.zeros((capacity, width), dtype=np.float16)
        self._slots: NDArray[np.int32] = np.zeros(capacity, dtype=np.int32)
        self._targets: NDArray[np.float64] = np.zeros((capacity, 2))
        self._added = 0
        self._held: dict[int, int] = {}
        self._known: list[int] = []

    def __len__(self) -> int:
        return min(self._added, len(self._slots))

    def slots(self) -> list[int]:
        """The slots with an outcome in the buffer, ascending."""
        return self._known

    def add(self, numbers: Vector, slot: int, y: float, weight: float) -> None:
        place = self._added % len(self._slots)
        if self._added >= len(self._slots):
            self._release(int(self._slots[place]))
        self._contexts[place], self._slots[place] = numbers, slot
        self._targets[place] = y, weight
        self._held[slot] = self._held.get(slot, 0) + 1
        self._added += 1
        if self._held[slot] == 1:
            self._known = sorted(self._held)

    def draw(self, rng: np.random.Generator) -> tuple[Vector, int, float, float]:
        """One outcome, uniformly: context numbers, slot, y, weight. Not to be called when empty."""
        place = int(rng.integers(len(self)))
        y, weight = self._targets[place].tolist()
        return self._contexts[place].astype(np.float64), int(self._slots[place]), y, weight

    def arrays(self) -> dict[str, NDArray[Any]]:
        held = slice(len(self))
        return {
            "contexts": self._contexts[held],
            "slots": self._slots[held],
            "targets": self._targets[held],
            "added": np.array([self._added], dtype=np.float64),
        }

    def restore(self, arrays: dict[str, NDArray[Any]], slots: int) -> None:
        """Raises ValueError or KeyError when the arrays do not fit this buffer and `slots`."""
        self._added = int(shaped(arrays["added"], (1,))[0])
        held = len(self)
        if self._added < 0:
            raise ValueError("a count is negative")
        self._contexts[:held] = shaped(arrays["contexts"], (held, self._contexts.shape[1]))
        self._slots[:held] = shaped(arrays["slots"], (held,))
        self._targets[:held] = shaped(arrays["targets"], (held, 2))
        if held and not 0 <= self._slots[:held].min() <= self._slots[:held].max() < slots:
            raise ValueError("a slot is out of range")
        kinds, counts = np.unique(self._slots[:held], return_counts=True)
        self._held = dict(zip(kinds.tolist(), counts.tolist(), strict=True))
        self._known = sorted(self._held)

    def _release(self, slot: int) -> None:
        self._held[slot] -= 1
        if not self._held[slot]:
            del self._held[slot]
            self._known.remove(slot)
