"""Export, stop, go on, verify: from a real event stream to files and back."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest

from router.adapters.storage import EmbeddedRedis, Storage, StorageSettings, open_storage
from router.domain.events import (
    ArmAnswer,
    Decided,
    Event,
    EvidenceBought,
    EvidenceSource,
)
from router.domain.records import FeedbackReport
from router.tools.archive import manifest as manifests
from router.tools.archive.export import export
from router.tools.archive.manifest import ArchiveBroken, ArchiveUnusable
from router.tools.archive.tables import read, verify
from tests.contract.samples import NOON_S, RECORD, UNSETTLED, FakeTime

DAY_S = 86_400


@pytest.fixture
async def storage(redis_server: EmbeddedRedis) -> AsyncIterator[Storage]:
    clock = FakeTime()
    url, prefix = f"unix://{redis_server.socket}", f"{uuid.uuid4().hex}:"
    opened = await open_storage(StorageSettings(url=url, prefix=prefix, keep_events=0), clock=clock)
    yield opened
    await opened.close()


async def write(storage: Storage, start: int, count: int, day: int = 0) -> None:
    created_ms = int((NOON_S + day * DAY_S) * 1_000)
    for n in range(start, start + count):
        await storage.decisions.record(replace(RECORD, id=f"d-{n}", created_ms=created_ms))


async def in_stream(storage: Storage) -> list[tuple[str, Event]]:
    return list(await storage.events.read("0", 1_000, 0))


async def test_an_archive_reads_back_event_by_event(storage: Storage, tmp_path: Path) -> None:
    await write(storage, 0, 3)
    await storage.decisions.record(replace(UNSETTLED, id="unsettled"))
    await storage.decisions.feedback("acme", "d-1", FeedbackReport(quality=0.1 + 0.2))
    await storage.decisions.reasked("d-0", 0.97, 1.0)
    arms = (ArmAnswer("cheap", 0.5, 0.001, served=True), ArmAnswer("dear"))
    bought = EvidenceBought("d-2", EvidenceSource.JUDGE, 0.25, arms, 0.03)
    await storage.decisions.evidence(bought)
    done = await export(storage.events, tmp_path)
    assert (done.events, done.files, done.missing) == (7, 1, 0)
    assert list(read(tmp_path)) == await in_stream(storage)
    table = pq.read_table(tmp_path / "2026-01-01.000000000001.parquet").to_pylist()
    assert [row["kind"] for row in table] == ["decided"] * 4 + ["feedback", "reasked", "evidence"]
    assert (table[0]["plan"], table[0]["propensity"], table[0]["cost_usd"]) == (
        "cheap",
        0.75,
        0.0005,
    )
    assert table[4]["quality"] == 0.1 + 0.2


async def test_every_day_has_its_own_files_in_order(storage: Storage, tmp_path: Path) -> None:
    await write(storage, 0, 5)
    await write(storage, 5, 2, day=1)
    await write(storage, 7, 1)
    await export(storage.events, tmp_path, most_per_file=3)
    parts = manifests.load(tmp_path).parts
    assert [(p.day, p.events) for p in parts] == [
        ("2026-01-01", 3),
        ("2026-01-01", 2),
        ("2026-01-02", 1),
        ("2026-01-02", 2),
    ]
    assert list(read(tmp_path)) == await in_stream(storage)


async def test_an_export_continues_where_the_last_one_ended(
    storage: Storage, tmp_path: Path
) -> None:
    await write(storage, 0, 2)
    await export(storage.events, tmp_path)
    again = await export(storage.events, tmp_path)
    assert (again.events, again.files) == (0, 0)
    await write(storage, 2, 2)
    (tmp_path / "2026-01-01.000000000003.parquet").write_bytes(b"what a crash left behind")
    more = await export(storage.events, tmp_path)
    assert (more.events, more.files) == (2, 1)
    assert list(read(tmp_path)) == await in_stream(storage)
    assert verify(tmp_path).position == "0-4"


async def test_events_that_left_the_store_are_counted_as_missing(
    storage: Storage, tmp_path: Path
) -> None:
    await write(storage, 0, 1)
    await export(storage.events, tmp_path)
    await write(storage, 1, 3)
    await storage.events.trim("0-3")
    done = await export(storage.events, tmp_path)
    assert (done.events, done.missing) == (1, 2)


@pytest.mark.parametrize("spoil", ["flip", "drop", "swap", "rewrite", "outside"])
async def test_verify_finds_a_changed_archive(storage: Storage, tmp_path: Path, spoil: str) -> None:
    await write(storage, 0, 4)
    await export(storage.events, tmp_path, most_per_file=2)
    assert verify(tmp_path).missing == 0
    manifest = manifests.load(tmp_path)
    first, second = (tmp_path / part.file for part in manifest.parts)
    match spoil:
        case "flip":
            data = bytearray(second.read_bytes())
            data[len(data) // 2] ^= 1
            second.write_bytes(data)
        case "drop":
            first.unlink()
        case "swap":
            swapped = replace(manifest, parts=manifest.parts[::-1])
            manifests.store(tmp_path, swapped)
        case "rewrite":
            parts = (replace(manifest.parts[0], missing=7), manifest.parts[1])
            manifests.store(tmp_path, replace(manifest, parts=parts))
        case "outside":
            moved = replace(manifest.parts[0], file="../elsewhere.parquet", chain="")
            manifests.store(tmp_path, manifests.Manifest().with_part(moved))
    with pytest.raises(ArchiveBroken):
        verify(tmp_path)
    with pytest.raises(ArchiveBroken):
        list(read(tmp_path))


async def test_folders_without_an_archive_are_refused(storage: Storage, tmp_path: Path) -> None:
    with pytest.raises(ArchiveUnusable, match="no archive"):
        verify(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(ArchiveUnusable, match="folder"):
        await export(storage.events, tmp_path / "file" / "below")
    (tmp_path / manifests.NAME).write_bytes(b"{")
    with pytest.raises(ArchiveBroken, match="damaged"):
        await export(storage.events, tmp_path)
    later = msgspec.json.encode(manifests.Manifest(format=99))
    (tmp_path / manifests.NAME).write_bytes(later)
    with pytest.raises(ArchiveUnusable, match="version"):
        verify(tmp_path)


async def test_an_export_of_an_empty_log_writes_nothing(storage: Storage, tmp_path: Path) -> None:
    done = await export(storage.events, tmp_path)
    assert (done.events, done.files) == (0, 0)
    assert manifests.load(tmp_path) == manifests.Manifest()
    assert list(read(tmp_path)) == []


async def test_a_file_that_is_no_table_is_named(storage: Storage, tmp_path: Path) -> None:
    await write(storage, 0, 1)
    await export(storage.events, tmp_path)
    (part,) = manifests.load(tmp_path).parts
    (tmp_path / part.file).write_bytes(b"no table")
    forged = replace(part, sha256=hashlib.sha256(b"no table").hexdigest(), chain="")
    manifests.store(tmp_path, manifests.Manifest().with_part(forged))
    with pytest.raises(ArchiveBroken, match="not a file of this archive"):
        list(read(tmp_path))


async def test_positions_tell_which_snapshot_knows_an_event(storage: Storage) -> None:
    assert await storage.events.position_of("d-0") is None
    await write(storage, 0, 1)
    assert await storage.events.position_of("d-0") == "0-1"
    await storage.decisions.feedback("acme", "d-0", FeedbackReport(accepted=True))
    assert await storage.events.position_of("d-0") == "0-2"
    ((_, event),) = await storage.events.read("0", 1, 0)
    assert isinstance(event, Decided)


@pytest.mark.parametrize("again", [1, 5], ids=["shorter", "regrown"])
async def test_an_archive_is_not_mixed_with_a_log_that_lost_events(
    storage: Storage, tmp_path: Path, again: int
) -> None:
    await write(storage, 0, 3)
    await export(storage.events, tmp_path)
    await storage.client.call("DEL", storage.keys.events)
    await write(storage, 100, again)
    before = list(read(tmp_path))
    with pytest.raises(ArchiveUnusable, match="into a new folder"):
        await export(storage.events, tmp_path)
    assert list(read(tmp_path)) == before
    assert (await export(storage.events, tmp_path / "new")).events == again
