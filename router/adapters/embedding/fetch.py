"""Get the model's files into the user's cache, from a named directory or the Hugging Face Hub."""

from __future__ import annotations

import fcntl
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from router.adapters.embedding.files import (
    FILES,
    MODEL_DIR_VARIABLE,
    PinnedFile,
    cache_dir,
    is_verified,
    named_dir,
)
from router.adapters.embedding.hub import Hub, Report
from router.domain.errors import ModelCorrupt, ModelUnavailable

LOCK_LIMIT_S: Final = 1_200.0
LOCK_POLL_S: Final = 0.2


def fetch_model(
    progress: bool = True,  # noqa: FBT001, FBT002 - the one switch of the command line
    *,
    target: Path | None = None,
    hub: Hub | None = None,
) -> Path:
    """Return the directory that holds the verified files; fetch what is missing into the cache.

    The directory that ADAPTIVE_ROUTER_MODEL_DIR names is used where it lies if it is whole and no
    target is given. Else its files are copied, and what it lacks comes from the hub.

    Args:
        progress: whether bars are drawn on standard error; standard output stays free.
        target: replaces the cache directory.
        hub: replaces the one that the environment names.

    Raises:
        ModelCorrupt: the hub's file is not the pinned one.
        ModelUnavailable: the hub does not deliver, or the directory cannot be written.

    """
    named = named_dir()
    if target is None and named is not None and not _missing(named):
        return named
    folder = target or cache_dir()
    with _exclusive(folder), _bars(shown=progress) as report:
        for file in _missing(folder):
            refused = _copy(named, file, folder) if named else "none is named"
            if refused:
                _download(hub or Hub(), file, folder, report, refused)
    return folder


def part_path(folder: Path, file: PinnedFile) -> Path:
    """Returns where a file grows until it is whole and verified."""
    return folder / f"{file.name}.part"


def _missing(folder: Path) -> list[PinnedFile]:
    return [file for file in FILES if not is_verified(folder / file.name, file)]


def _copy(source: Path, file: PinnedFile, folder: Path) -> str:
    """Returns why the named directory's file is not used, "" where it was copied."""
    if not is_verified(source / file.name, file):
        return f"{source} does not hold the pinned {file.name}"
    try:
        part = Path(shutil.copyfile(source / file.name, part_path(folder, file)))
    except OSError:
        return f"{file.name} cannot be copied to {folder}"
    return "" if _installed(part, file) else f"{file.name} changed while it was copied"


def _download(hub: Hub, file: PinnedFile, folder: Path, report: Report, refused: str) -> None:
    """Asks once more from the start if what spoilt the file may be an old part."""
    part = part_path(folder, file)
    for _ in range(1 + part.exists()):
        try:
            hub.download(file, part, report)
        except (ModelCorrupt, ModelUnavailable) as failure:
            if isinstance(failure, ModelCorrupt):
                part.unlink()
            raise type(failure)(_advice(file, refused, failure.message)) from None
        if _installed(part, file):
            return
    raise ModelCorrupt(_advice(file, refused, f"{file.name} does not have the pinned checksum"))


def _installed(part: Path, file: PinnedFile) -> bool:
    """Rename a part that is verified; delete one that is not."""
    if not is_verified(part, file):
        part.unlink()
        return False
    part.replace(part.with_name(file.name))
    return True


def _advice(file: PinnedFile, refused: str, why: str) -> str:
    return (
        f"no source delivered {file.name}: directory: {refused}; hub: {why}. Connect the hub, or "
        f"set {MODEL_DIR_VARIABLE} to a directory that holds the files"
    )


@contextmanager
def _bars(*, shown: bool) -> Iterator[Report]:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    console = Console(stderr=True, quiet=not shown)
    with Progress(*columns, TransferSpeedColumn(), console=console) as bars:
        tasks = {f: bars.add_task(f.name, total=f.size_bytes, visible=False) for f in FILES}
        yield lambda file, done: bars.update(tasks[file], completed=done, visible=True)


@contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    """One fetch per directory at a time; a second one waits and finds the files there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError:
        raise ModelUnavailable(f"cannot write to {folder}; choose another directory") from None
    with lock:
        _wait_for(lock, time.monotonic)
        yield


def _wait_for(lock: IO[str], clock: Callable[[], float]) -> None:
    """Raises ModelUnavailable where another process fetches for longer than the limit."""
    deadline_s = clock() + LOCK_LIMIT_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if clock() > deadline_s:
                raise ModelUnavailable("another process has been fetching for too long") from None
            time.sleep(LOCK_POLL_S)
        except OSError:
            raise ModelUnavailable(
                f"{lock.name} cannot be locked; choose another directory"
            ) from None
        else:
            return
