"""The journal: an append-only file, each line on disk before anything depends on it."""

from __future__ import annotations

import asyncio
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

import msgspec

from router.tools.calibrate.collect.ledger import VERSION, Entry, Ledger, Opened
from router.tools.calibrate.errors import JournalUnusable

MODE: Final = 0o600
"""It holds the answers to the user's own prompts."""
MAX_LINE_BYTES: Final = 32 << 20
_decode = msgspec.json.Decoder(Entry).decode
_encode = msgspec.json.Encoder().encode
_OPENED: Final = _encode(Opened(VERSION)) + b"\n"


class Journal:
    """Use `Journal.open` as a context manager. One process at a time; lives on one event loop."""

    def __init__(self, path: Path, descriptor: int, ledger: Ledger) -> None:
        self.path = path
        self.ledger = ledger
        self._descriptor = descriptor
        self._lock = asyncio.Lock()

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read what is there; a last line that was cut off is dropped.

        Raises:
            JournalUnusable: it can't be opened, is in use, damaged, or something else.

        """
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            descriptor = os.open(path, flags, MODE)
        except OSError:
            raise JournalUnusable(f"{path}: name a file that this process can write") from None
        try:
            return cls(path, descriptor, _prepared(path, descriptor))
        except BaseException:
            os.close(descriptor)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
        self._descriptor = -1  # a late write must not go to whatever is opened next

    async def write(self, entry: Entry) -> None:
        """Durable when it returns. Raises JournalUnusable: nothing more may then be sent."""
        async with self._lock:
            # Once begun it is finished: a line that was half written must not be written again.
            await asyncio.shield(asyncio.to_thread(_append, self.path, self._descriptor, entry))
            self.ledger.add(entry)


def _prepared(path: Path, descriptor: int) -> Ledger:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise JournalUnusable(f"{path}: name a file, not a device or a pipe")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise JournalUnusable(f"{path}: another calibration is using it: wait for it") from None
    first = os.pread(descriptor, len(_OPENED), 0)
    # Nothing of a file is changed before it is known to be ours.
    if not _OPENED.startswith(first):
        raise JournalUnusable(f"{path}: is no journal of this version: name another with --journal")
    os.fchmod(descriptor, MODE)
    if first != _OPENED:
        os.ftruncate(descriptor, 0)
        _append(path, descriptor, Opened(VERSION))
    return Ledger.of(_entries(path, descriptor))


def _entries(path: Path, descriptor: int) -> Iterator[Entry]:
    with os.fdopen(os.dup(descriptor), "rb") as file:
        number, end = 0, 0
        while line := file.readline(MAX_LINE_BYTES):
            number += 1
            if not line.endswith(b"\n"):
                if len(line) == MAX_LINE_BYTES:
                    raise _damaged(path, number)
                os.ftruncate(descriptor, end)
                return
            end += len(line)
            try:
                yield _decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                raise _damaged(path, number) from None


def _append(path: Path, descriptor: int, entry: Entry) -> None:
    line = _encode(entry) + b"\n"
    try:
        while line:
            line = line[os.write(descriptor, line) :]
        os.fsync(descriptor)
    except OSError:
        raise JournalUnusable(f"{path}: can't be written: make room on the disk") from None


def _damaged(path: Path, number: int) -> JournalUnusable:
    return JournalUnusable(
        f"{path}:{number}: is damaged or no journal: name another file with --journal, "
        "or remove the line to have its call made again"
    )
