"""Parts of a learner: named arrays that a snapshot stores and that are restored from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Arrays: TypeAlias = dict[str, NDArray[Any]]


class SnapshotPart(Protocol):
    """State that is kept in rows by action slot, or in arrays whose size is bounded otherwise."""

    def grow(self, slots: int) -> None:
        """Make room for that many slots."""
        ...

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """Return the whole state under the names that snapshots use."""
        ...

    def restore(self, arrays: Arrays, slots: int) -> None:
        """Restore what `arrays` gave. Raises ValueError or KeyError for other arrays."""
        ...


class ArrayPart:
    """A part whose state is the arrays named in `stored`: array `x` is attribute `_x`."""

    stored: ClassVar[tuple[str, ...]]

    def grow(self, slots: int) -> None:
        """Keep one state for all slots."""

    def arrays(self) -> Arrays:
        return {name: getattr(self, f"_{name}") for name in self.stored}

    def restore(self, arrays: Arrays, slots: int) -> None:
        """Restore what `arrays` gave. Raises ValueError or KeyError for other arrays."""
        for name in self.stored:
            shape = self._shape(getattr(self, f"_{name}").shape, slots)
            setattr(self, f"_{name}", shaped(arrays[name], shape).copy())

    def _shape(self, held: tuple[int, ...], slots: int) -> tuple[int, ...]:  # noqa: ARG002 - one state for all
        return held


class SlotPart(ArrayPart):
    """An array part with one row per slot in each array; new rows are filled with `blank`."""

    blank: ClassVar[float] = 0.0

    def grow(self, slots: int) -> None:
        missing = slots - len(getattr(self, f"_{self.stored[0]}"))
        if missing <= 0:
            return
        for name in self.stored:
            held = getattr(self, f"_{name}")
            rows = np.full((missing, *held.shape[1:]), self.blank)
            setattr(self, f"_{name}", np.concatenate([held, rows]))

    def _shape(self, held: tuple[int, ...], slots: int) -> tuple[int, ...]:
        return (slots, *held[1:])


def shaped(array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return the array; raise ValueError for any other shape."""
    if array.shape != shape:
        raise ValueError("wrong shape")
    return array


def gathered(parts: Mapping[str, SnapshotPart]) -> Arrays:
    """Return the arrays of all parts, each name after its part's: `part.array`."""
    return {f"{n}.{key}": a for n, part in parts.items() for key, a in part.arrays().items()}


def part_of(arrays: Mapping[str, NDArray[Any]], name: str) -> Arrays:
    """Return the arrays of one part under their own names."""
    cut = len(name) + 1
    return {k[cut:]: v for k, v in arrays.items() if k.startswith(f"{name}.")}


def restore_parts(
    parts: Mapping[str, SnapshotPart], arrays: Mapping[str, NDArray[Any]], slots: int
) -> None:
    """Restore every part from what `gathered` gave. Raise ValueError or KeyError."""
    for name, part in parts.items():
        part.restore(part_of(arrays, name), slots)
