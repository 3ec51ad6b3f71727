"""The skeleton of everything that learns and is saved: a random source, a count, and parts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar, cast

import numpy as np
from numpy.random import Generator

from bandit.errors import BadSettings, CorruptSnapshot, VersionMismatch
from bandit.snapshots.codec import Snapshot, pack, unpack
from bandit.snapshots.parts import Arrays, SnapshotPart, gathered, restore_parts


class SnapshotLearner(ABC):
    """A policy or gate whose whole state is its parts, its count and its random source.

    rng: from `numpy.random.default_rng`; its state is part of the snapshot. Not thread-safe.
    """

    def __init__(self, name: str, rng: Generator) -> None:
        if not isinstance(rng.bit_generator, np.random.PCG64):
            raise BadSettings("use numpy.random.default_rng(seed) as the random source")
        self.name: Final = name
        self._rng = rng
        self._learned = 0

    @property
    def learned(self) -> int:
        return self._learned

    @property
    def rng(self) -> Generator:
        return self._rng

    def save(self) -> bytes:
        state = {"learned": self._learned, "rng": dict(self._rng.bit_generator.state)}
        return pack(Snapshot(self.name, {**self._manifest(), **state}, self._arrays()))

    def restore(self, snapshot: Snapshot) -> None:
        """Restore the state. Raises ValueError, KeyError or TypeError for another learner's."""
        self._learned = int(snapshot.meta["learned"])
        restore_parts(self._parts(), snapshot.arrays, self._slot_count())

    @abstractmethod
    def _manifest(self) -> dict[str, Any]:
        """Return what a snapshot must agree on with the settings of whoever loads it."""

    @abstractmethod
    def _parts(self) -> Mapping[str, SnapshotPart]:
        """Return the learned state by its name in the snapshot."""

    @abstractmethod
    def _slot_count(self) -> int:
        """Return the number of slots that parts have a row for."""

    def _arrays(self) -> Arrays:
        return gathered(self._parts())


AnyLearner = TypeVar("AnyLearner", bound=SnapshotLearner)


def load_learner(
    payload: bytes,
    what: str,
    check: Callable[[Mapping[str, Any]], None],
    make: Callable[[str, Generator], AnyLearner],
    *,
    rng: Generator | None,
    name: str | None,
) -> AnyLearner:
    """Restore the learner whose `save` gave `payload`.

    Args:
        payload: the snapshot.
        what: "policy" or "gate", for messages.
        check: raises VersionMismatch or CorruptSnapshot for a manifest that does not fit.
        make: a learner by its name, with that random source.
        rng: None to go on with the saved random source, bit for bit.
        name: refuse a learner of any other name.

    Raises:
        CorruptSnapshot: damaged, truncated, or holding a non-finite number.
        VersionMismatch: another format, name, or manifest.

    """
    snapshot = unpack(payload)
    if name is not None and snapshot.kind != name:
        raise VersionMismatch(
            f"the snapshot is of {what} {snapshot.kind!r}, the settings say {name!r}; "
            f"change the setting back, or start a new {what}"
        )
    check(snapshot.meta)
    try:
        source = _generator(snapshot.meta["rng"])
        learner = make(snapshot.kind, rng or source)
        learner.restore(snapshot)
    except (ValueError, KeyError, TypeError, IndexError, OverflowError, np.linalg.LinAlgError):
        raise CorruptSnapshot("the snapshot's parts do not fit; go back to an older one") from None
    return learner


def check_count(meta: Mapping[str, Any], *, fits: bool = True) -> None:
    """Raise CorruptSnapshot unless a manifest has a count and `fits` otherwise."""
    learned = meta.get("learned")
    if not (fits and isinstance(learned, int) and learned >= 0):
        raise CorruptSnapshot("the snapshot's header makes no sense; go back to an older one")


def _generator(state: dict[str, Any]) -> Generator:
    bits = np.random.PCG64(0)
    bits.state = cast(Any, state)
    return Generator(bits)
