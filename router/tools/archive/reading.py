"""An archive read back, and checked on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from router.tools.archive import manifest as manifests
from router.tools.archive.errors import ArchiveBroken, ArchiveUnusable
from router.tools.archive.manifest import Manifest, Part
from router.tools.archive.rows import Entry
from router.tools.archive.tables import entries_in


def verify(folder: Path) -> Manifest:
    """Every file's bytes against the manifest, and the manifest against its chain.

    Raises:
        ArchiveUnusable: there is no archive. ArchiveBroken: names the first file that is wrong.

    """
    manifest = manifests.load(folder)
    if not manifest.parts:
        raise ArchiveUnusable(f"{folder}: no archive; `log export --out {folder}` begins one")
    for part in manifest.parts:
        _check(folder, part)
    return manifest


def read(folder: Path) -> Iterator[Entry]:
    """Every event in order; each file is checked before it is used. Raises as `verify`."""
    manifest = manifests.load(folder)
    for part in manifest.parts:
        _check(folder, part)
        yield from entries_in(folder / part.file)


def _check(folder: Path, part: Part) -> None:
    if Path(part.file).name != part.file:
        raise ArchiveBroken(f"{part.file}: the manifest names a file outside the archive")
    try:
        with (folder / part.file).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        raise ArchiveBroken(f"{part.file}: missing; bring it back from a copy") from None
    if digest != part.sha256:
        raise ArchiveBroken(f"{part.file}: changed since it was written; bring back a copy")
