"""Suite of `router.ports.learning_log.Defaults`: what silence stands for, told once."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from router.adapters.storage import EmbeddedRedis, Storage, StorageSettings, open_storage
from router.domain.errors import FeedbackTooLate
from router.domain.events import FeedbackGiven
from router.domain.records import DecisionRecord, FeedbackReport, session_digest
from tests.contract.samples import MAX_EVENTS, NOON_S, RECORD, UNSETTLED, WINDOW_S, FakeTime

DEFAULT = 0.8
GOOD = FeedbackReport(quality=0.9)
CLOSED_MS = int((NOON_S + WINDOW_S + 1) * 1_000)


async def opened(server: EmbeddedRedis, prefix: str, clock: FakeTime, **more: float) -> Storage:
    settings = StorageSettings(
        url=f"unix://{server.socket}",
        prefix=prefix,
        timeout_ms=5_000,
        join_window_s=WINDOW_S,
        max_events=MAX_EVENTS,
        **more,
    )
    return await open_storage(settings, clock=clock)


@pytest.fixture
def prefix() -> str:
    return f"{uuid.uuid4().hex}:"


@pytest.fixture
async def declared(
    redis_server: EmbeddedRedis, prefix: str, clock: FakeTime
) -> AsyncIterator[Storage]:
    made = await opened(redis_server, prefix, clock, default_quality=DEFAULT)
    yield made
    await made.close()


async def defaults(storage: Storage) -> list[FeedbackGiven]:
    events = [event for _, event in await storage.events.read("0", 100, 0)]
    return [e for e in events if isinstance(e, FeedbackGiven) and e.by_default]


async def record(storage: Storage, *ids: str, like: DecisionRecord = RECORD) -> None:
    for decision_id in ids:
        await storage.decisions.record(replace(like, id=decision_id))


async def test_silence_is_told_once_by_however_many(declared: Storage, clock: FakeTime) -> None:
    await record(declared, "d-1")
    clock.now_s += WINDOW_S
    assert await declared.defaults.tell(10) == 0
    clock.now_s += 1
    assert sum(await asyncio.gather(*(declared.defaults.tell(10) for _ in range(20)))) == 1
    assert await declared.defaults.tell(10) == 0
    assert await defaults(declared) == [FeedbackGiven("d-1", DEFAULT, CLOSED_MS, by_default=True)]
    assert (await declared.decisions.get("acme", "d-1")).feedback is None


async def test_who_was_judged_is_not_silent(declared: Storage, clock: FakeTime) -> None:
    await record(declared, "d-1", "d-2")
    await declared.decisions.feedback("acme", "d-1", GOOD)
    clock.now_s += WINDOW_S + 1
    assert await declared.defaults.tell(10) == 1
    assert [event.decision_id for event in await defaults(declared)] == ["d-2"]


async def test_who_was_judged_with_its_session_is_not_silent(
    declared: Storage, clock: FakeTime
) -> None:
    session = session_digest("acme", "s")
    await record(declared, "d-1", "d-2", like=replace(RECORD, session_id=session))
    await record(declared, "d-3")
    assert (await declared.decisions.session_feedback("acme", session, GOOD)).decisions == 2
    assert await declared.client.call("ZRANGE", declared.keys.waiting, 0, -1) == [b"d-3"]
    clock.now_s += WINDOW_S + 1
    assert await declared.defaults.tell(10) == 1
    assert [event.decision_id for event in await defaults(declared)] == ["d-3"]


async def test_after_the_default_a_session_is_too_late_by_any_clock(
    declared: Storage, clock: FakeTime
) -> None:
    session = session_digest("acme", "s")
    await record(declared, "d-1", like=replace(RECORD, session_id=session))
    clock.now_s += WINDOW_S + 1
    await declared.defaults.tell(10)
    clock.now_s -= WINDOW_S
    with pytest.raises(FeedbackTooLate):
        await declared.decisions.session_feedback("acme", session, GOOD)
    await record(declared, "d-2", like=replace(RECORD, session_id=session))
    assert (await declared.decisions.session_feedback("acme", session, GOOD)).decisions == 1


async def test_after_the_default_feedback_is_too_late_by_any_clock(
    declared: Storage, clock: FakeTime
) -> None:
    await record(declared, "d-1")
    clock.now_s += WINDOW_S + 1
    await declared.defaults.tell(10)
    clock.now_s -= WINDOW_S
    for report in (GOOD, FeedbackReport(quality=DEFAULT), replace(GOOD, correction=True)):
        with pytest.raises(FeedbackTooLate):
            await declared.decisions.feedback("acme", "d-1", report)
    assert len(await defaults(declared)) == 1


async def test_a_race_with_feedback_has_one_winner(
    declared: Storage, redis_server: EmbeddedRedis, prefix: str, clock: FakeTime
) -> None:
    await record(declared, *(f"d-{n}" for n in range(5)))
    clock.now_s += WINDOW_S + 1
    behind = FakeTime(clock.now_s - 60)
    other = await opened(redis_server, prefix, behind, default_quality=DEFAULT)
    try:
        *given, told = await asyncio.gather(
            *(other.decisions.feedback("acme", f"d-{n}", GOOD) for n in range(5)),
            declared.defaults.tell(10),
            return_exceptions=True,
        )
    finally:
        await other.close()
    assert sum(end is True for end in given) == 5 - told
    assert sum(isinstance(end, FeedbackTooLate) for end in given) == told


async def test_silence_on_what_was_cached_or_never_reported_says_nothing(
    declared: Storage, clock: FakeTime
) -> None:
    await record(declared, "d-1", like=replace(RECORD, choice=None, attempts=()))
    await record(declared, "d-2")
    await record(declared, "d-3", like=UNSETTLED)
    clock.now_s += WINDOW_S + 1
    assert await declared.defaults.tell(10) == 1
    assert [event.decision_id for event in await defaults(declared)] == ["d-2"]


async def test_at_most_as_many_as_asked(declared: Storage, clock: FakeTime) -> None:
    await record(declared, *(f"d-{n}" for n in range(5)))
    clock.now_s += WINDOW_S + 1
    assert [await declared.defaults.tell(2) for _ in range(4)] == [2, 2, 1, 0]


async def test_a_full_stream_is_waited_for(declared: Storage, clock: FakeTime) -> None:
    await record(declared, *(f"d-{n}" for n in range(MAX_EVENTS)))
    clock.now_s += WINDOW_S + 1
    assert await declared.defaults.tell(1) == 0
    with pytest.raises(FeedbackTooLate):
        await declared.decisions.feedback("acme", "d-0", GOOD)
    (position, _), *_ = await declared.events.read("0", 1, 0)
    await declared.events.trim(position)
    assert await declared.defaults.tell(1) == 1


async def test_without_a_default_nothing_waits(
    redis_server: EmbeddedRedis, prefix: str, clock: FakeTime
) -> None:
    plain = await opened(redis_server, prefix, clock)
    try:
        await record(plain, "d-1")
        assert await plain.client.call("EXISTS", f"{prefix}waiting") == 0
        clock.now_s += WINDOW_S + 1
        assert await plain.defaults.tell(10) == 0
        assert await defaults(plain) == []
    finally:
        await plain.close()


async def test_a_default_that_is_gone_leaves_nothing_waiting(
    declared: Storage, redis_server: EmbeddedRedis, prefix: str, clock: FakeTime
) -> None:
    await record(declared, "d-1")
    clock.now_s += WINDOW_S / 2
    await record(declared, "d-2", like=replace(RECORD, created_ms=int(clock.now_s * 1_000)))
    clock.now_s += WINDOW_S / 2 + 1
    plain = await opened(redis_server, prefix, clock)
    assert await plain.defaults.tell(10) == 0
    waiting = await plain.client.call("ZRANGE", plain.keys.waiting, 0, -1)
    assert waiting == [b"d-2"]
    await plain.close()
