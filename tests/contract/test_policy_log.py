"""Suite of `router.ports.learning_log.PolicyLog`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from router.adapters.storage import Storage
from router.adapters.storage.events import KEPT
from router.domain.errors import Overloaded
from router.domain.events import GainFound, Move, Mover, PolicyChanged, PolicyCommand
from router.ports.learning_log import PolicyLog
from tests.contract.samples import MAX_EVENTS, NOON_S

AT_MS = int(NOON_S * 1_000)
COMMAND = PolicyCommand(Move.PROMOTED, "bold")
CHANGE = PolicyChanged(
    cause="0-7",
    move=Move.PROMOTED,
    by=Mover.EVIDENCE,
    before="policy",
    champion="bold",
    found=GainFound("bold", 1_200, 0.03, 0.006, 0.054, 800.5),
)


@pytest.fixture
def log(storage: Storage) -> PolicyLog:
    return storage.policies


async def fence_of(storage: Storage) -> int:
    fence = await storage.lease.acquire("learner", 10_000)
    assert fence is not None
    return fence


async def test_commands_and_changes_are_events_in_order(log: PolicyLog, storage: Storage) -> None:
    fence = await fence_of(storage)
    assert await log.command(COMMAND) == "0-1"
    assert await log.changed(replace(CHANGE, cause="0-1"), fence)
    rolled = PolicyCommand(Move.ROLLED_BACK)
    assert await log.command(rolled) == "0-3"
    assert await storage.events.read("0", 10, 0) == [
        ("0-1", replace(COMMAND, at_ms=AT_MS)),
        ("0-2", replace(CHANGE, cause="0-1", at_ms=AT_MS)),
        ("0-3", replace(rolled, at_ms=AT_MS)),
    ]


async def test_a_change_is_told_once_per_cause(log: PolicyLog, storage: Storage) -> None:
    fence = await fence_of(storage)
    assert await log.changed(CHANGE, fence)
    assert not await log.changed(replace(CHANGE, refused="again"), fence)
    assert await log.changes() == [replace(CHANGE, at_ms=AT_MS)]
    assert len(await storage.events.read("0", 10, 0)) == 1


async def test_who_lost_the_lease_tells_nothing(log: PolicyLog, storage: Storage) -> None:
    fence = await fence_of(storage)
    assert not await log.changed(CHANGE, fence - 1)
    assert await log.changes() == []
    assert await storage.events.read("0", 10, 0) == []


async def test_the_newest_changes_are_kept(log: PolicyLog, storage: Storage) -> None:
    fence = await fence_of(storage)
    for number in range(KEPT + 3):
        assert await log.changed(replace(CHANGE, cause=f"0-{number + 1}"), fence)
    kept = [change.cause for change in await log.changes()]
    assert kept == [f"0-{number}" for number in range(KEPT + 3, 3, -1)]


async def test_a_full_stream_takes_no_command(log: PolicyLog) -> None:
    for _ in range(MAX_EVENTS):
        await log.command(COMMAND)
    with pytest.raises(Overloaded):
        await log.command(COMMAND)
