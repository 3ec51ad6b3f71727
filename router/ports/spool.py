"""A bounded place on this machine for writes that the store could not take yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class SpoolPage:
    """Entries in the order in which they were appended. place, ends: known to the spool alone."""

    entries: Sequence[bytes] = field(repr=False)
    place: str
    ends: Sequence[int]


class Spool(Protocol):
    """Methods raise `StorageUnavailable` when the disk refuses."""

    @property
    def size_bytes(self) -> int:
        """Bytes on disk, of entries that are not delivered."""
        ...

    @property
    def free_bytes(self) -> int:
        """Bytes that its disk has room for, as of the last write or look around."""
        ...

    async def append(self, entry: bytes) -> int:
        """Return once the entry is on disk: the bytes it takes there."""
        ...

    async def oldest(self, most: int) -> SpoolPage | None:
        """The oldest entries, so many at most; None when every one was delivered."""
        ...

    async def delivered(self, page: SpoolPage, count: int) -> None:
        """Forget so many of a page's entries for good. The others come again, after a restart too.

        count: from the first of the page.
        """
        ...

    async def adopt(self) -> SpoolPage | None:
        """Take over some of what ended processes left behind; None once there is no more of it.

        It is delivered before anything newer.
        """
        ...

    async def close(self) -> None: ...
