"""A spool in local files: length and checksum before each entry, one folder a process.

A folder is locked for as long as its process lives, so that no other process delivers from it; the
folder of a process that ended is adopted by the next that looks. A segment is sealed before it is
read and removed once all of it was delivered; a torn tail is what a killed process had not
acknowledged yet.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import struct
import time
import uuid
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

from router.domain.errors import StorageUnavailable
from router.ports.spool import SpoolPage

T = TypeVar("T")
_FRAME: Final = struct.Struct("<II")
_ACK: Final = struct.Struct("<Q")
_SEGMENT_BYTES: Final = 4 << 20
_LEVEL: Final = 1


@dataclass(slots=True)
class _Segment:
    """A sealed file. done: bytes of it that were delivered."""

    path: Path
    done: int = 0

    @property
    def ack(self) -> Path:
        return self.path.with_suffix(".ack")

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """Yields the end and the entry of each whole frame after what was delivered."""
        data = memoryview(self.path.read_bytes())
        at = self.done
        while at + _FRAME.size <= len(data):
            length, checksum = _FRAME.unpack_from(data, at)
            body = data[at + _FRAME.size : at + _FRAME.size + length]
            if len(body) < length or zlib.crc32(body) != checksum:
                return  # torn: never acknowledged to anybody
            at += _FRAME.size + length
            yield at, zlib.decompress(body)

    def page(self, most: int | None = None) -> SpoolPage | None:
        """Returns the first entries that were not delivered; None where there are none."""
        found = list(islice(self.frames(), most))
        if not found:
            return None
        return SpoolPage([entry for _, entry in found], str(self.path), [end for end, _ in found])

    def acknowledge(self, end: int) -> None:
        """Note a delivery; one that a full disk can't note is repeated after a restart alone."""
        self.done = end
        with suppress(OSError), self.ack.open("wb") as file:
            file.write(_ACK.pack(end))
            file.flush()
            os.fdatasync(file.fileno())

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self.ack.unlink(missing_ok=True)


@dataclass(slots=True)
class _Folder:
    """A locked folder. lock: the descriptor that holds it."""

    path: Path
    lock: int
    segments: list[_Segment] = field(default_factory=list)

    @staticmethod
    def take(path: Path) -> _Folder | None:
        """None while a living process holds it, or where it is not ours to open."""
        try:
            lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if (path / "lock").stat().st_ino == os.fstat(lock).st_ino:
                return _Folder(path, lock, [_segment(found) for found in _spooled(path)])
        except OSError:
            pass  # held, or removed by its last holder in between
        os.close(lock)
        return None

    def leave(self, *, empty: bool) -> None:
        if empty:
            shutil.rmtree(self.path, ignore_errors=True)
        os.close(self.lock)


def _spooled(path: Path) -> list[Path]:
    return sorted(path.glob("*.spool"))


def _segment(path: Path) -> _Segment:
    segment = _Segment(path)
    try:
        (segment.done,) = _ACK.unpack(segment.ack.read_bytes())
    except (OSError, struct.error):
        segment.done = 0  # told again: every write is known by its id
    return segment


def room(folder: Path) -> int:
    """Returns the bytes that may still be written on a folder's disk. Raises OSError."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


class FileSpool:
    """Implements `router.ports.spool.Spool`; files are touched by one thread of its own.

    room: of its disk. Raises OSError where the folder cannot be written to.
    """

    def __init__(self, folder: Path, room: Callable[[Path], int] = room) -> None:
        self._root = folder
        self._room = room
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        own = folder / f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}"
        own.mkdir(mode=0o700)
        taken = _Folder.take(own)
        if taken is None:
            raise OSError("the folder of a spool cannot be locked")
        self._own = taken
        self.free_bytes = room(folder)
        self._adopted: list[_Folder] = []
        self._found: list[_Segment] = []
        self._number = 0
        self._active: tuple[Path, int] | None = None
        self._sizes: dict[str, int] = {}
        self._waiting: list[tuple[bytes, asyncio.Future[int]]] = []
        self._writer: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, "spool")

    @property
    def size_bytes(self) -> int:
        return sum(self._sizes.values())

    async def append(self, entry: bytes) -> int:
        """Entries that are appended while a write is under way share the next one."""
        written = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, written))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write_waiting())
        return await asyncio.shield(written)

    async def oldest(self, most: int) -> SpoolPage | None:
        return await self._in_thread(lambda: self._oldest(most))

    async def delivered(self, page: SpoolPage, count: int) -> None:
        await self._in_thread(lambda: self._delivered(page.place, page.ends[count - 1]))

    async def adopt(self) -> SpoolPage | None:
        return await self._in_thread(self._adopt)

    async def close(self) -> None:
        """Leave what is not delivered for the next process."""
        if self._writer is not None:
            await self._writer
        await self._in_thread(self._leave)
        self._thread.shutdown()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except OSError:
            raise StorageUnavailable("the spool's disk refuses: see that it has room") from None

    async def _write_waiting(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                sizes = await self._in_thread(lambda b=batch: self._write([e for e, _ in b]))  # type: ignore[misc]
            except Exception as error:  # noqa: BLE001 - whoever waits is told
                _settle(batch, lambda future, _, e=error: future.set_exception(e))  # type: ignore[misc]
            else:
                _settle(batch, lambda future, i, s=sizes: future.set_result(s[i]))  # type: ignore[misc]
        self._writer = None

    def _write(self, entries: Sequence[bytes]) -> list[int]:
        frames = [_framed(entry) for entry in entries]
        path, file = self._file()
        whole = self._sizes[str(path)]
        try:
            _write_all(file, b"".join(frames))
        except OSError:
            self._undo(file, whole)
            raise
        self._sizes[str(path)] = whole + sum(map(len, frames))
        if self._sizes[str(path)] >= _SEGMENT_BYTES:
            self._seal()
        self._measure()
        return list(map(len, frames))

    def _measure(self) -> None:
        with suppress(OSError):
            self.free_bytes = self._room(self._root)

    def _undo(self, file: int, whole: int) -> None:
        """Cut a write that failed; where even that fails, what follows goes to a new file."""
        with suppress(OSError):
            os.ftruncate(file, whole)
        self._seal()

    def _file(self) -> tuple[Path, int]:
        if self._active is None:
            self._number += 1
            path = self._own.path / f"{self._number:010d}.spool"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
            self._active = path, os.open(path, flags, 0o600)
            self._sizes[str(path)] = 0
            _sync_folder(self._own.path)
        return self._active

    def _seal(self) -> None:
        if self._active is not None:
            path, file = self._active
            self._active = None
            os.close(file)
            self._own.segments.append(_Segment(path))

    def _oldest(self, most: int) -> SpoolPage | None:
        while self._adopted:
            page = self._first(self._adopted[0], most)
            if page is not None:
                return page
            self._adopted.pop(0).leave(empty=True)
        page = self._first(self._own, most)
        if page is None and self._active is not None:
            self._seal()
            page = self._first(self._own, most)
        return page

    def _first(self, folder: _Folder, most: int) -> SpoolPage | None:
        """Returns the first entries of a folder, whose files without any are removed."""
        while folder.segments:
            page = folder.segments[0].page(most)
            if page is not None:
                return page
            self._drop(folder)
        return None

    def _drop(self, folder: _Folder) -> None:
        segment = folder.segments.pop(0)
        self._sizes.pop(str(segment.path), None)
        segment.remove()

    def _delivered(self, place: str, end: int) -> None:
        for folder in (*self._adopted, self._own):
            for segment in folder.segments[:1]:
                if str(segment.path) == place:
                    segment.acknowledge(end)
                    self._sizes[place] = max(0, segment.path.stat().st_size - end)

    def _adopt(self) -> SpoolPage | None:
        """A segment at a time: together they may be large."""
        if not self._found:
            self._measure()
            self._look_around()
        while self._found:
            segment = self._found.pop(0)
            self._sizes[str(segment.path)] = max(0, segment.path.stat().st_size - segment.done)
            page = segment.page()
            if page is not None:
                return page
        return None

    def _look_around(self) -> None:
        held = {folder.path for folder in (*self._adopted, self._own)}
        for path in sorted(p for p in self._root.iterdir() if p.is_dir() and p not in held):
            folder = _Folder.take(path)
            if folder is not None:
                self._adopted.append(folder)
                self._found += folder.segments

    def _leave(self) -> None:
        self._seal()
        for folder in (*self._adopted, self._own):
            folder.leave(empty=not any(segment.page(1) for segment in folder.segments))


def _framed(entry: bytes) -> bytes:
    body = zlib.compress(entry, _LEVEL)
    return _FRAME.pack(len(body), zlib.crc32(body)) + body


def _write_all(file: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]
    os.fdatasync(file)


def _settle(
    batch: Sequence[tuple[bytes, asyncio.Future[int]]],
    tell: Callable[[asyncio.Future[int], int], None],
) -> None:
    for index, (_, future) in enumerate(batch):
        if not future.done():
            tell(future, index)


def _sync_folder(path: Path) -> None:
    """A new file's name is on disk too."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def waiting_bytes(folder: Path) -> tuple[int, float]:
    """Returns how much of a spool waits to be delivered, and since when, without touching it."""
    waiting = [_left(_segment(path)) for path in folder.glob("*/*.spool")]
    sizes = [size for size, _ in waiting if size]
    return sum(sizes), min((at_s for size, at_s in waiting if size), default=0.0)


def _left(segment: _Segment) -> tuple[int, float]:
    try:
        facts = segment.path.stat()
    except OSError:
        return 0, 0.0  # delivered meanwhile
    return max(0, facts.st_size - segment.done), facts.st_mtime
