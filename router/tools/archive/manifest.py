"""What an archive holds: its files in order, each bound to all before it by a chained hash."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec

from router.runtime.files import write_file
from router.tools.archive.errors import ArchiveBroken, ArchiveUnusable

NAME: Final = "manifest.json"
FORMAT: Final = 1
START: Final = "0"


@dataclass(frozen=True, slots=True)
class Part:
    """One file. first, last: positions of its events. sha256: of its bytes.

    missing: events that had left the store before they could be written, just before `first`.
    chain: hash over everything here but itself, and over the chain of the part before.
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
    format: int = FORMAT
    parts: tuple[Part, ...] = ()

    @property
    def position(self) -> str:
        """Of the last event that is archived."""
        return self.parts[-1].last if self.parts else START

    @property
    def day(self) -> str:
        return self.parts[-1].day if self.parts else ""

    @property
    def missing(self) -> int:
        return sum(part.missing for part in self.parts)

    def with_part(self, part: Part) -> Manifest:
        before = self.parts[-1].chain if self.parts else ""
        chained = replace(part, chain=chain_of(before, part))
        return replace(self, parts=(*self.parts, chained))


def chain_of(before: str, part: Part) -> str:
    """SHA-256 over the chain so far and the part's own line."""
    line = msgspec.json.encode(replace(part, chain=""))
    return hashlib.sha256(before.encode() + b"\n" + line).hexdigest()


def load(folder: Path) -> Manifest:
    """An empty one where there is none yet. Raises ArchiveUnusable, ArchiveBroken."""
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
    """Raises ArchiveBroken for a part that was changed, left out or put elsewhere."""
    before = ""
    for part in manifest.parts:
        if part.chain != chain_of(before, part):
            raise ArchiveBroken(f"{part.file}: its line in the manifest is not what was written")
        before = part.chain


def store(folder: Path, manifest: Manifest) -> None:
    """Raises FileUnwritable."""
    write_file(folder / NAME, msgspec.json.format(msgspec.json.encode(manifest), indent=1))
