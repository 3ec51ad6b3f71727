"""Suite of `DecisionLog.session_feedback`: every decision of a session is credited, once."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from router.adapters.storage import Storage
from router.domain.errors import (
    DecisionNotFound,
    FeedbackConflict,
    FeedbackTooLate,
    Overloaded,
)
from router.domain.events import Event, FeedbackGiven
from router.domain.records import (
    MOST_OF_SESSION,
    AttemptOutcome,
    DecisionRecord,
    FeedbackReceipt,
    FeedbackReport,
    OutcomeReport,
    session_digest,
)
from tests.contract.samples import (
    ATTEMPT,
    MAX_EVENTS,
    NOON_S,
    RECORD,
    UNSETTLED,
    WINDOW_S,
    FakeTime,
)

NOW_MS = int(NOON_S * 1_000)
SESSION = session_digest("acme", "s")
TURN = replace(RECORD, session_id=SESSION)
CACHED = replace(TURN, choice=None, attempts=())
LOCKED = replace(TURN, choice=None, locked=True)
FAILED = replace(TURN, attempts=(replace(ATTEMPT, outcome=AttemptOutcome.FAILED),))
GOOD, BAD = FeedbackReport(quality=0.75), FeedbackReport(quality=0.25)
RIGHT = replace(BAD, correction=True)


async def record(storage: Storage, *ids: str, like: DecisionRecord = TURN) -> None:
    for decision_id in ids:
        await storage.decisions.record(replace(like, id=decision_id))


async def tell(
    storage: Storage, report: FeedbackReport = GOOD, session: str = SESSION
) -> FeedbackReceipt:
    return await storage.decisions.session_feedback("acme", session, report)


async def given(storage: Storage) -> list[FeedbackGiven]:
    events: list[Event] = [event for _, event in await storage.events.read("0", 1_000, 0)]
    return [event for event in events if isinstance(event, FeedbackGiven)]


async def quality(storage: Storage, decision_id: str) -> tuple[float | None, float | None]:
    found = await storage.decisions.get("acme", decision_id)
    return found.feedback, found.session_share


def credit(decision_id: str, value: float, share: float, **more: float) -> FeedbackGiven:
    return FeedbackGiven(decision_id, value, NOW_MS, session_share=share, **more)


async def test_every_decision_has_the_same_share(storage: Storage) -> None:
    await record(storage, "d-1", "d-2", "d-3", "d-4")
    assert await tell(storage) == FeedbackReceipt(already_recorded=False, decisions=4)
    assert await given(storage) == [credit(f"d-{n}", 0.75, 0.25) for n in range(1, 5)]
    assert await quality(storage, "d-2") == (0.75, 0.25)


async def test_of_twenty_at_once_one_counts(storage: Storage) -> None:
    await record(storage, "d-1", "d-2", "d-3")
    told = await asyncio.gather(*(tell(storage) for _ in range(20)))
    assert sum(not done.already_recorded for done in told) == 1
    assert {done.decisions for done in told} == {3}
    assert [event.decision_id for event in await given(storage)] == ["d-1", "d-2", "d-3"]
    with pytest.raises(FeedbackConflict, match="session"):
        await tell(storage, BAD)


async def test_a_correction_is_told_of_those_that_were_credited(storage: Storage) -> None:
    await record(storage, "d-1", "d-2")
    await tell(storage)
    await record(storage, "d-3")
    told = await asyncio.gather(*(tell(storage, RIGHT) for _ in range(20)))
    assert sum(not done.already_recorded for done in told) == 1
    assert {done.decisions for done in told} == {2}
    assert (await given(storage))[2:] == [
        credit("d-1", 0.25, 0.5, replaces=0.75),
        credit("d-2", 0.25, 0.5, replaces=0.75),
    ]
    assert await quality(storage, "d-3") == (None, None)


async def test_a_repeat_credits_no_later_decision(storage: Storage) -> None:
    await record(storage, "d-1")
    await tell(storage)
    await record(storage, "d-2")
    assert await tell(storage) == FeedbackReceipt(already_recorded=True, decisions=1)
    assert [event.decision_id for event in await given(storage)] == ["d-1"]


async def test_feedback_of_its_own_is_stronger_whenever_it_comes(storage: Storage) -> None:
    await record(storage, "d-1", "d-2", "d-3")
    assert await storage.decisions.feedback("acme", "d-1", FeedbackReport(quality=1.0))
    assert (await tell(storage)).decisions == 2
    assert await storage.decisions.feedback("acme", "d-2", FeedbackReport(quality=0.0))
    await tell(storage, RIGHT)
    assert await given(storage) == [
        FeedbackGiven("d-1", 1.0, NOW_MS),
        credit("d-2", 0.75, 0.5),
        credit("d-3", 0.75, 0.5),
        FeedbackGiven("d-2", 0.0, NOW_MS, replaces=0.75, replaces_share=0.5),
        credit("d-3", 0.25, 0.5, replaces=0.75),
    ]
    assert [await quality(storage, f"d-{n}") for n in (1, 2, 3)] == [
        (1.0, None),
        (0.0, None),
        (0.25, 0.5),
    ]


async def test_only_what_was_chosen_and_answered_counts(storage: Storage) -> None:
    await record(storage, "d-1")
    await record(storage, "d-2", like=CACHED)
    await record(storage, "d-3", like=LOCKED)
    await record(storage, "d-4", like=FAILED)
    await record(storage, "d-5", "d-6", like=replace(UNSETTLED, session_id=SESSION))
    failed = replace(UNSETTLED, id="d-6", session_id=SESSION, settled=True, attempts=())
    await storage.decisions.settle(failed, OutcomeReport(1.0, 0, 0, "timeout"))
    assert (await tell(storage)).decisions == 2
    assert [event.decision_id for event in await given(storage)] == ["d-1", "d-5"]


async def test_a_session_of_cached_answers_is_known_and_credits_nothing(storage: Storage) -> None:
    await record(storage, "d-1", like=CACHED)
    assert await tell(storage) == FeedbackReceipt(already_recorded=False, decisions=0)
    assert await given(storage) == []
    await record(storage, "d-2")
    assert (await tell(storage)).decisions == 1


async def test_another_s_or_an_unknown_session_is_not_found(storage: Storage) -> None:
    await record(storage, "d-1")
    for tenant, session in (("other", "s"), ("acme", "t"), ("", "s")):
        digest = session_digest(tenant, session)
        with pytest.raises(DecisionNotFound):
            await storage.decisions.session_feedback(tenant, digest, GOOD)
    assert await given(storage) == []


async def test_the_newest_of_a_long_session_are_credited(storage: Storage) -> None:
    last, together = 10_000, 100  # so many come in one pipeline, which keeps their order
    for first in range(0, last, together):
        ids = (f"d-{n:05}" for n in range(first, first + together))
        await asyncio.gather(*(record(storage, decision_id) for decision_id in ids))
    listed = storage.keys.session_decisions(SESSION)
    assert await storage.client.call("LLEN", listed) == MOST_OF_SESSION + 1
    await storage.events.trim(f"0-{last}")
    done = await tell(storage)
    assert done.decisions == MOST_OF_SESSION
    told = [event for _, event in await storage.events.read(f"0-{last}", last, 0)]
    found = [event for event in told if isinstance(event, FeedbackGiven)]
    assert {event.session_share for event in found} == {1 / MOST_OF_SESSION}
    assert sorted(event.decision_id for event in found) == [
        f"d-{n:05}" for n in range(last - MOST_OF_SESSION, last)
    ]


async def test_a_turn_takes_few_bytes_of_the_store(storage: Storage) -> None:
    listed = storage.keys.session_decisions(SESSION)
    sizes = []
    for half in range(2):
        for n in range(128):
            await record(storage, f"{half * 128 + n:032x}")
        sizes.append(await storage.client.call("MEMORY", "USAGE", listed, "SAMPLES", 0))
    assert (sizes[1] - sizes[0]) / 128 <= 40
    assert 0 < await storage.client.call("TTL", listed) <= WINDOW_S + 3_600


async def test_only_those_in_time_are_credited(storage: Storage, clock: FakeTime) -> None:
    await record(storage, "d-1")
    clock.now_s += WINDOW_S / 2 + 1
    await record(storage, "d-2", like=replace(TURN, created_ms=int(clock.now_s * 1_000)))
    clock.now_s += WINDOW_S / 2
    assert (await tell(storage)).decisions == 1
    clock.now_s += WINDOW_S
    with pytest.raises(FeedbackTooLate, match="session"):
        await tell(storage, RIGHT)
    assert (await tell(storage)).already_recorded


async def test_after_the_join_window_it_is_too_late(storage: Storage, clock: FakeTime) -> None:
    await record(storage, "d-1", "d-2")
    clock.now_s += WINDOW_S + 1
    with pytest.raises(FeedbackTooLate, match="session"):
        await tell(storage)
    assert await given(storage) == []


async def test_a_full_stream_takes_none_of_it(storage: Storage) -> None:
    await record(storage, *(f"d-{n}" for n in range(MAX_EVENTS)))
    with pytest.raises(Overloaded):
        await tell(storage)
    assert await quality(storage, "d-0") == (None, None)
    (position, _), *_ = await storage.events.read("0", 1, 0)
    await storage.events.trim(position)
    assert (await tell(storage)).decisions == MAX_EVENTS
