"""How a fetch is shown: bars on standard error, or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TaskID, TextColumn, TransferSpeedColumn
from rich.progress import Progress as RichProgress

from router.adapters.embedding.files import PinnedFile


class Progress(Protocol):
    """Told what a fetch does."""

    def report(self, file: PinnedFile, done_bytes: int) -> None: ...

    def note(self, message: str) -> None: ...


class _Bars:
    def __init__(self, rich: RichProgress) -> None:
        self._rich = rich
        self._tasks: dict[str, TaskID] = {}

    def report(self, file: PinnedFile, done_bytes: int) -> None:
        if file.name not in self._tasks:
            self._tasks[file.name] = self._rich.add_task(file.name, total=file.size_bytes)
        self._rich.update(self._tasks[file.name], completed=done_bytes)

    def note(self, message: str) -> None:
        self._rich.console.print(message, markup=False, highlight=False)


class _Silent:
    def report(self, file: PinnedFile, done_bytes: int) -> None:
        del file, done_bytes

    def note(self, message: str) -> None:
        del message


@contextmanager
def bars() -> Iterator[Progress]:
    """One bar per file; standard output stays free for the directory's path."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with RichProgress(*columns, TransferSpeedColumn(), console=Console(stderr=True)) as rich:
        yield _Bars(rich)


@contextmanager
def silent() -> Iterator[Progress]:
    yield _Silent()
