"""Suite of `router.ports.learning_log.EventLog`."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from router.adapters.storage import Storage
from router.domain.events import Decided
from router.domain.records import FeedbackReport
from router.ports.learning_log import EventLog
from router.ports.state import StoredSnapshot
from tests.contract.samples import KEEP_EVENTS, RECORD

RECORDS = [replace(RECORD, id=f"d-{n}") for n in range(6)]


@pytest.fixture
def log(storage: Storage) -> EventLog:
    return storage.events


@pytest.fixture
async def written(storage: Storage) -> Storage:
    for record in RECORDS:
        await storage.decisions.record(record)
    return storage


async def test_an_empty_stream_has_nothing(log: EventLog) -> None:
    assert await log.read("0", 10, 0) == []
    assert await log.backlog("0") == 0
    assert await log.end() is None
    await log.trim("0")


async def test_batches_follow_one_another_in_order(log: EventLog, written: Storage) -> None:
    del written
    seen, position = [], "0"
    while batch := await log.read(position, 4, 0):
        assert len(batch) <= 4
        seen += [event for _, event in batch]
        position = batch[-1][0]
    assert seen == [Decided(record) for record in RECORDS]


async def test_the_backlog_counts_what_comes_after(log: EventLog, written: Storage) -> None:
    del written
    assert await log.backlog("0") == 6
    positions = [position for position, _ in await log.read("0", 10, 0)]
    assert [await log.backlog(position) for position in positions] == [5, 4, 3, 2, 1, 0]
    assert await log.end() == positions[-1]
    await log.trim(positions[3])
    assert await log.backlog("0") == 2 + KEEP_EVENTS
    assert await log.backlog(positions[3]) == 2
    assert await log.backlog(positions[4]) == 1


async def test_what_was_learned_is_trimmed_but_for_the_newest_of_it(
    log: EventLog, written: Storage
) -> None:
    positions = [position for position, _ in await log.read("0", 10, 0)]
    await log.trim(positions[3])
    left = await log.read("0", 10, 0)
    assert [event for _, event in left] == [Decided(r) for r in RECORDS[4 - KEEP_EVENTS :]]
    await log.trim(positions[-1])
    left = await log.read("0", 10, 0)
    assert [event for _, event in left] == [Decided(r) for r in RECORDS[-KEEP_EVENTS:]]
    await written.decisions.record(replace(RECORD, id="d-new"))
    assert [event for _, event in await log.read(positions[-1], 10, 0)] == [
        Decided(replace(RECORD, id="d-new"))
    ]


async def test_what_came_after_the_oldest_snapshot_stays(log: EventLog, written: Storage) -> None:
    positions = [position for position, _ in await log.read("0", 10, 0)]
    fence = await written.lease.acquire("a", 60_000)
    assert fence is not None
    for version, position in enumerate([positions[1], positions[0], positions[5]], start=1):
        await written.snapshots.publish(StoredSnapshot(version, position, b""), fence)
    await log.trim(positions[5])
    assert [position for position, _ in await log.read("0", 10, 0)] == positions
    for version in (4, 5):
        await written.snapshots.publish(StoredSnapshot(version, positions[5], b""), fence)
    await log.trim(positions[5])
    assert [position for position, _ in await log.read("0", 10, 0)] == positions[-KEEP_EVENTS:]


async def test_an_older_position_takes_nothing_back(log: EventLog, written: Storage) -> None:
    positions = [position for position, _ in await log.read("0", 10, 0)]
    await log.trim(positions[-1])
    before = await log.read("0", 10, 0)
    await log.trim(positions[0])
    assert await log.read("0", 10, 0) == before
    assert await written.decisions.has_room()


async def test_a_reader_that_waits_hears_at_once(log: EventLog, storage: Storage) -> None:
    reading = asyncio.create_task(log.read("0", 10, 30_000))
    await asyncio.sleep(0.05)
    await storage.decisions.record(RECORD)
    batch = await asyncio.wait_for(reading, 20)
    assert [event for _, event in batch] == [Decided(RECORD)]


async def test_a_reader_that_waits_in_vain_goes_home(log: EventLog) -> None:
    assert await log.read("0", 10, 20) == []


async def test_a_waiting_reader_does_not_hold_up_others(log: EventLog, storage: Storage) -> None:
    readers = [asyncio.create_task(log.read("0", 10, 30_000)) for _ in range(3)]
    await asyncio.sleep(0.02)
    assert await asyncio.wait_for(storage.snapshots.latest_version(), 20) == 0
    for reader in readers:
        reader.cancel()
    await asyncio.gather(*readers, return_exceptions=True)


async def test_records_are_joined_with_their_feedback(log: EventLog, written: Storage) -> None:
    await written.decisions.feedback("acme", "d-1", FeedbackReport(accepted=True))
    found = await log.records(["d-0", "unknown", "d-1"])
    assert found == [RECORDS[0], None, replace(RECORDS[1], feedback=1.0)]
    assert await log.records([]) == []
