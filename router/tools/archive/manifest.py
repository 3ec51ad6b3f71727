"""An archive's manifest: its files in order, each bound to all before it by a chained hash."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec

from router.domain.errors import RouterError
from router.runtime.files import write_file


class ArchiveUnusable(RouterError):
    """The folder, its manifest or a file of it can't be read or written."""

    reason = "ARCHIVE_UNUSABLE"


class ArchiveBroken(RouterError):
    """A file is missing or is not what the manifest says it was when it was written."""

    reason = "ARCHIVE_BROKEN"


NAME: Final = "manifest.json"
FORMAT: Final = 1
START: Final = "0"


@dataclass(frozen=True, slots=True)
class ArchivePart:
    """One file. first, last: positions of its events. sha256: of its bytes.

    missing: events before `first` that had left the store before they could be written. chain: hash
    over the other fields and the chain of the part before.
    """

    file: str
    day: str
    first: str
    last: str
    events: int
    missing: int
    sha256: str
    chain: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The parts in order. Its fields are the keys of the stored file."""

    format: int = FORMAT
    parts: tuple[ArchivePart, ...] = ()

    @property
    def position(self) -> str:
        """Position of the last event that is archived."""
        return self.parts[-1].last if self.parts else START

    @property
    def day(self) -> str:
        return self.parts[-1].day if self.parts else ""

    @property
    def missing(self) -> int:
        return sum(part.missing for part in self.parts)

    def with_part(self, part: ArchivePart) -> Manifest:
        before = self.parts[-1].chain if self.parts else ""
        chained = replace(part, chain=chain_of(before, part))
        return replace(self, parts=(*self.parts, chained))


def chain_of(before: str, part: ArchivePart) -> str:
    """Returns the SHA-256 over the chain so far and the part's own line."""
    line = msgspec.json.encode(replace(part, chain=""))
    return hashlib.sha256(before.encode() + b"\n" + line).hexdigest()


def load(folder: Path) -> Manifest:
    """Read the manifest; an empty one if there is none. Raises ArchiveUnusable, ArchiveBroken."""
    try:
        data = (folder / NAME).read_bytes()
    except FileNotFoundError:
        return Manifest()
    except OSError:
        raise ArchiveUnusable(f"{folder / NAME}: name a folder this process can read") from None
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except msgspec.MsgspecError:
        raise ArchiveBroken(f"{folder / NAME}: damaged; bring it back from a copy") from None
    if manifest.format != FORMAT:
        raise ArchiveUnusable(f"{folder / NAME}: of another version; export into a new folder")
    check_chain(manifest)
    return manifest


def check_chain(manifest: Manifest) -> None:
    """Raises ArchiveBroken for a part that was changed, left out or moved."""
    before = ""
    for part in manifest.parts:
        if part.chain != chain_of(before, part):
            raise ArchiveBroken(f"{part.file}: its line in the manifest is not what was written")
        before = part.chain


def store(folder: Path, manifest: Manifest) -> None:
    """Write the manifest. Raises FileUnwritable."""
    write_file(folder / NAME, msgspec.json.format(msgspec.json.encode(manifest), indent=1))
