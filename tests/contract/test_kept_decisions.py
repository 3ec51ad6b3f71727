"""Suite of `router.ports.learning_log.KeptDecisions`."""

from __future__ import annotations

from dataclasses import replace

from router.adapters.storage import Storage
from router.domain.records import FeedbackReport
from tests.contract.samples import RECORD


async def kept(storage: Storage, most: int = 10_000) -> list[str]:
    return sorted([record.id async for record in storage.kept.each(most)])


async def test_nothing_is_kept_at_first(storage: Storage) -> None:
    assert await kept(storage) == []


async def test_every_decision_is_there_once_learned_or_not(storage: Storage) -> None:
    ids = sorted(f"d-{n}" for n in range(15))
    for name in ids:
        await storage.decisions.record(replace(RECORD, id=name))
    await storage.events.trim("0-9")
    assert await kept(storage) == ids
    assert len(await kept(storage, most=4)) == 4
    assert await kept(storage, most=0) == []


async def test_feedback_comes_with_its_decision(storage: Storage) -> None:
    await storage.decisions.record(RECORD)
    await storage.decisions.feedback("acme", RECORD.id, FeedbackReport(quality=0.25))
    assert [record.feedback async for record in storage.kept.each(9)] == [0.25]


async def test_a_damaged_decision_is_passed_over(storage: Storage) -> None:
    await storage.decisions.record(RECORD)
    await storage.decisions.record(replace(RECORD, id="d-bad"))
    (key,) = await storage.client.call("KEYS", "*:decision:d-bad")
    await storage.client.call("HSET", key, "record", b"\xff")
    assert await kept(storage) == [RECORD.id]
