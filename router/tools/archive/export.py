"""Export of the event log to files; an interrupted one continues where the manifest ends."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from router.app.process import opened_storage
from router.config import Config
from router.domain.events import number_of
from router.ports.learning_log import EventLog
from router.runtime.files import write_file
from router.tools.archive import manifest as manifests
from router.tools.archive.manifest import ArchivePart, ArchiveUnusable, Manifest
from router.tools.archive.tables import Entry, by_day, check_installed, entries_in, table_bytes

BATCH: Final = 1_000
MOST_PER_FILE: Final = 20_000


@dataclass(frozen=True, slots=True)
class Exported:
    """events, files: new ones. missing: events that the store no longer had, in all exports."""

    events: int
    files: int
    missing: int


async def export(events: EventLog, folder: Path, most_per_file: int = MOST_PER_FILE) -> Exported:
    """Write every event that is not in the archive yet, up to the newest one.

    A file is written before its line in the manifest: leftovers of a crash are overwritten.

    Raises:
        ArchiveUnusable, ArchiveBroken, FileUnwritable, StorageUnavailable.

    """
    check_installed()
    start = _opened(folder)
    manifest = start
    if start.parts:
        await _check_log(events, folder, start.parts[-1])
    while entries := await _next(events, manifest.position, most_per_file):
        for day, group in by_day(entries, manifest.day):
            manifest = _written(folder, manifest, day, group)
    new = manifest.parts[len(start.parts) :]
    return Exported(sum(part.events for part in new), len(new), manifest.missing)


async def _check_log(events: EventLog, folder: Path, part: ArchivePart) -> None:
    """Raises ArchiveUnusable where the store's log is not the one that is archived."""
    (mark,) = await events.marks([part.last])
    path, is_other = folder / part.file, False
    kept = await events.read(f"0-{number_of(part.last) - 1}", 1, 0)
    if path.exists() and kept and kept[0][0] == part.last:
        *_, last = entries_in(path)
        is_other = kept[0] != last
    if not mark or is_other:
        raise ArchiveUnusable(
            f"{folder}: the store has lost events that are archived here; export into a new folder"
        )


async def run_export(config: Config, env: Mapping[str, str], folder: Path) -> Exported:
    """Export the events of the store that the config names. Raises RouterError."""
    async with opened_storage(config, env, begun=True) as storage:
        return await export(storage.events, folder)


def _opened(folder: Path) -> Manifest:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        raise ArchiveUnusable(f"{folder}: name a folder this process can write to") from None
    return manifests.load(folder)


async def _next(events: EventLog, position: str, most: int) -> list[Entry]:
    found: list[Entry] = []
    while len(found) < most:
        batch = await events.read(position, min(BATCH, most - len(found)), 0)
        if not batch:
            break
        found += batch
        position = batch[-1][0]
    return found


def _written(folder: Path, manifest: Manifest, day: str, entries: Sequence[Entry]) -> Manifest:
    data = table_bytes(entries)
    first, last = entries[0][0], entries[-1][0]
    part = ArchivePart(
        file=f"{day}.{number_of(first):012d}.parquet",
        day=day,
        first=first,
        last=last,
        events=len(entries),
        missing=number_of(last) - number_of(manifest.position) - len(entries),
        sha256=hashlib.sha256(data).hexdigest(),
    )
    write_file(folder / part.file, data)
    grown = manifest.with_part(part)
    manifests.store(folder, grown)
    return grown
