"""The last outcomes with their contexts, in a ring: the oldest one makes room for the newest."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bandit.snapshots.parts import Arrays, shaped
from bandit.types import Vector

_GOLDEN: Final = (math.sqrt(5) - 1) / 2


class RingBuffer:
    """Rows of x and their labels; x is rounded to float16, as it is in the snapshot.

    width: numbers in x. columns: labels of a row. capacity: rows kept.
    """

    def __init__(self, width: int, columns: int, capacity: int) -> None:
        self._x: NDArray[np.float32] = np.zeros((capacity, width), dtype=np.float32)
        self._labels: NDArray[np.float64] = np.zeros((capacity, columns))
        self._added = 0

    def __len__(self) -> int:
        return min(self._added, len(self._labels))

    @property
    def added(self) -> int:
        """Count rows ever added, also those that have gone."""
        return self._added

    @property
    def x(self) -> NDArray[np.float32]:
        return self._x[: len(self)]

    @property
    def labels(self) -> NDArray[np.float64]:
        return self._labels[: len(self)]

    def oldest_first(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return copies of x and labels in the order they came."""
        order = np.roll(np.arange(len(self)), -(self._added % max(len(self), 1)))
        return self.x[order].astype(np.float64), self.labels[order]

    def put(self, x: Vector, labels: Vector) -> tuple[Vector, Vector] | None:
        """Add a row; return the x and labels that had to go, None while there is room."""
        place, gone = self._added % len(self._labels), None
        if self._added >= len(self._labels):
            gone = self._x[place].astype(np.float64), self._labels[place].copy()
        self._x[place] = x.astype(np.float16)
        self._labels[place] = labels
        self._added += 1
        return gone

    def extend(
        self, x: NDArray[np.float64], labels: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Add rows; return the x and labels of those that had to go, oldest first."""
        gone = [left for row in zip(x, labels, strict=True) if (left := self.put(*row))]
        return (
            np.array([each[0] for each in gone]).reshape(-1, self._x.shape[1]),
            np.array([each[1] for each in gone]).reshape(-1, self._labels.shape[1]),
        )

    def arrays(self) -> Arrays:
        """Return the rows, oldest first."""
        x, labels = self.oldest_first()
        return {"x": x.astype(np.float16), "told": labels}

    def grow(self, slots: int) -> None:
        """Keep rows of whatever slots there are."""

    def restore(self, arrays: Arrays, slots: int) -> None:  # noqa: ARG002 - rows know no slot
        """Keep the last rows, as far as they fit. Raise ValueError or KeyError."""
        self._load(arrays["x"], arrays["told"], len(arrays["told"]))

    def _load(self, x: NDArray[Any], labels: NDArray[Any], added: int) -> None:
        """Take rows in the order of their places; `added` was their count ever."""
        held, capacity = len(labels), len(self._labels)
        if added < held or (added and not held):
            raise ValueError("a count is out of range")
        x = shaped(x, (held, self._x.shape[1]))
        labels = shaped(labels, (held, self._labels.shape[1]))
        order = np.arange(held)
        if held != min(added, capacity):  # another capacity: the oldest first, then cut
            order = np.roll(order, -(added % held))[-capacity:]
            added = len(order)
        self._added = added
        self._x[: len(order)], self._labels[: len(order)] = x[order], labels[order]


class OutcomeBuffer(RingBuffer):
    """A ring of (x, slot, y, weight). key: name of x in the snapshot."""

    def __init__(self, width: int, capacity: int, key: str = "x") -> None:
        super().__init__(width, 3, capacity)
        self._key = key
        self._held: Counter[int] = Counter()

    @property
    def slots(self) -> NDArray[np.intp]:
        return self.labels[:, 0].astype(np.intp)

    @property
    def targets(self) -> NDArray[np.float64]:
        """Show y and weight, (n, 2); a view that may be written to."""
        return self.labels[:, 1:]

    @property
    def known(self) -> list[int]:
        """List the slots that have an outcome in the buffer, ascending."""
        return sorted(slot for slot, count in self._held.items() if count)

    def add(self, x: Vector, slot: int, y: float, weight: float) -> None:
        gone = self.put(x, np.array([slot, y, weight]))
        if gone:
            self._held[int(gone[1][0])] -= 1
        self._held[slot] += 1

    def pick(self) -> tuple[Vector, int, float, float]:
        """Return one outcome: x, slot, y, weight. The buffer must not be empty.

        Which one follows from how many were added, each about as often as any other (the additive
        recurrence of the golden ratio): learning needs no random source.
        """
        place = int(self._added * _GOLDEN % 1.0 * len(self))
        slot, y, weight = self._labels[place].tolist()
        return self._x[place].astype(np.float64), int(slot), y, weight

    def arrays(self) -> Arrays:
        return {
            self._key: self.x.astype(np.float16),
            "slots": self.slots.astype(np.int32),
            "targets": self.targets,
            "added": np.array([self._added], dtype=np.float64),
        }

    def restore(self, arrays: Arrays, slots: int) -> None:
        """Keep the last outcomes, as far as they fit. Raise ValueError or KeyError."""
        found = arrays["slots"]
        if len(found) and not 0 <= found.min() <= found.max() < slots:
            raise ValueError("a slot is out of range")
        labels = np.column_stack([shaped(found, (len(found),)), arrays["targets"]])
        self._load(arrays[self._key], labels, int(shaped(arrays["added"], (1,))[0]))
        self._held = Counter(self.slots.tolist())
