"""Suite of `router.ports.learning_log.DecisionLog`, with the events that come out of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from router.adapters.storage import Storage
from router.domain.errors import (
    DecisionNotFound,
    FeedbackConflict,
    FeedbackTooLate,
    OutcomeConflict,
    Overloaded,
)
from router.domain.events import (
    ArmAnswer,
    Audited,
    Decided,
    Event,
    EvidenceBought,
    EvidenceSource,
    FeedbackGiven,
    Reasked,
)
from router.domain.records import DecisionRecord, FeedbackReport, OutcomeReport
from router.ports.learning_log import DecisionLog
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
GOOD, BAD = FeedbackReport(quality=0.9), FeedbackReport(quality=0.1)
OUTCOME = OutcomeReport(120.5, 10, 20)
SETTLED = replace(UNSETTLED, attempts=(ATTEMPT,), settled=True)
CACHED = replace(RECORD, choice=None, attempts=())


@pytest.fixture
def log(storage: Storage) -> DecisionLog:
    return storage.decisions


async def events(storage: Storage) -> list[Event]:
    return [event for _, event in await storage.events.read("0", 100, 0)]


async def fill(log: DecisionLog) -> None:
    for n in range(MAX_EVENTS):
        await log.record(replace(RECORD, id=f"filler-{n}"))


@pytest.mark.parametrize("record", [RECORD, CACHED, UNSETTLED], ids=["own", "cached", "decide"])
async def test_a_record_comes_back_whole(log: DecisionLog, record: DecisionRecord) -> None:
    await log.record(record)
    assert await log.get("acme", record.id) == record


async def test_only_its_tenant_sees_a_decision(log: DecisionLog) -> None:
    await log.record(RECORD)
    for tenant, decision_id in (("other", "d-1"), ("acme", "d-2"), ("", "d-1")):
        with pytest.raises(DecisionNotFound):
            await log.get(tenant, decision_id)
        with pytest.raises(DecisionNotFound):
            await log.feedback(tenant, decision_id, GOOD)
    with pytest.raises(DecisionNotFound):
        await log.settle(replace(SETTLED, tenant="other"), OUTCOME)


async def test_what_was_decided_and_is_known_is_an_event_once(
    log: DecisionLog, storage: Storage
) -> None:
    await log.record(RECORD)
    await log.record(RECORD)
    await log.record(replace(CACHED, id="d-2"))
    await log.record(replace(UNSETTLED, id="d-3"))
    assert await events(storage) == [Decided(RECORD), Decided(replace(UNSETTLED, id="d-3"))]


async def test_an_outcome_settles_once(log: DecisionLog, storage: Storage) -> None:
    await log.record(UNSETTLED)
    settled = await asyncio.gather(*(log.settle(SETTLED, OUTCOME) for _ in range(20)))
    assert sum(settled) == 1
    with pytest.raises(OutcomeConflict):
        await log.settle(SETTLED, replace(OUTCOME, failure="timeout"))
    assert await log.get("acme", "d-1") == SETTLED
    assert await events(storage) == [Decided(UNSETTLED), Decided(SETTLED)]


async def test_an_outcome_where_nothing_was_chosen_is_an_event_once_it_is_known(
    log: DecisionLog, storage: Storage
) -> None:
    """As of a Decide whose deployment is locked, or while every plan is ill."""
    await log.record(replace(UNSETTLED, choice=None))
    assert await events(storage) == []
    settled = replace(SETTLED, choice=None)
    assert await log.settle(settled, OUTCOME)
    assert await events(storage) == [Decided(settled)]


async def test_the_router_s_own_call_takes_no_outcome(log: DecisionLog) -> None:
    await log.record(RECORD)
    with pytest.raises(OutcomeConflict):
        await log.settle(RECORD, OUTCOME)


async def test_feedback_counts_once(log: DecisionLog, storage: Storage) -> None:
    await log.record(RECORD)
    fresh = await asyncio.gather(*(log.feedback("acme", "d-1", GOOD) for _ in range(20)))
    assert sum(fresh) == 1
    with pytest.raises(FeedbackConflict):
        await log.feedback("acme", "d-1", BAD)
    assert await events(storage) == [Decided(RECORD), FeedbackGiven("d-1", 0.9, NOW_MS)]
    assert (await log.get("acme", "d-1")).feedback == 0.9


async def test_a_correction_replaces_what_was_told(log: DecisionLog, storage: Storage) -> None:
    await log.record(RECORD)
    right = replace(BAD, correction=True)
    assert await log.feedback("acme", "d-1", replace(GOOD, correction=True))
    assert sum(await asyncio.gather(*(log.feedback("acme", "d-1", right) for _ in range(20)))) == 1
    with pytest.raises(FeedbackConflict, match="correction"):
        await log.feedback("acme", "d-1", GOOD)
    assert await events(storage) == [
        Decided(RECORD),
        FeedbackGiven("d-1", 0.9, NOW_MS),
        FeedbackGiven("d-1", 0.1, NOW_MS, replaces=0.9),
    ]
    assert (await log.get("acme", "d-1")).feedback == 0.1


async def test_a_correction_comes_within_the_window_too(log: DecisionLog, clock: FakeTime) -> None:
    await log.record(RECORD)
    await log.feedback("acme", "d-1", GOOD)
    clock.now_s += WINDOW_S + 1
    with pytest.raises(FeedbackTooLate):
        await log.feedback("acme", "d-1", replace(BAD, correction=True))
    assert (await log.get("acme", "d-1")).feedback == 0.9


async def test_of_two_opposite_reports_at_once_one_wins(log: DecisionLog) -> None:
    await log.record(RECORD)
    ends = await asyncio.gather(
        log.feedback("acme", "d-1", GOOD), log.feedback("acme", "d-1", BAD), return_exceptions=True
    )
    assert sum(end is True for end in ends) == 1
    assert sum(isinstance(end, FeedbackConflict) for end in ends) == 1


async def test_the_join_window_closes(log: DecisionLog, clock: FakeTime) -> None:
    await log.record(RECORD)
    await log.record(replace(RECORD, id="d-2"))
    clock.now_s += WINDOW_S
    assert await log.feedback("acme", "d-1", GOOD)
    clock.now_s += 1
    with pytest.raises(FeedbackTooLate):
        await log.feedback("acme", "d-2", GOOD)
    assert not await log.feedback("acme", "d-1", GOOD)


async def test_feedback_may_come_before_the_outcome(log: DecisionLog, storage: Storage) -> None:
    await log.record(UNSETTLED)
    assert await log.feedback("acme", "d-1", GOOD)
    assert await log.settle(SETTLED, OUTCOME)
    assert await events(storage) == [
        Decided(UNSETTLED),
        FeedbackGiven("d-1", 0.9, NOW_MS),
        Decided(SETTLED),
    ]
    assert await log.get("acme", "d-1") == replace(SETTLED, feedback=0.9)


async def test_feedback_on_a_cached_answer_is_kept_but_teaches_nothing(
    log: DecisionLog, storage: Storage
) -> None:
    await log.record(CACHED)
    assert await log.feedback("acme", "d-1", BAD)
    await log.reasked("d-1", 0.97, 0.5)
    assert await events(storage) == []
    assert (await log.get("acme", "d-1")).feedback == 0.1


async def test_a_reask_is_marked_once(log: DecisionLog, storage: Storage) -> None:
    await log.record(RECORD)
    await asyncio.gather(*(log.reasked("d-1", 0.97, 0.5) for _ in range(10)))
    await log.reasked("unknown", 0.97, 0.5)
    assert await events(storage) == [Decided(RECORD), Reasked("d-1", 0.97, NOW_MS, 0.5)]


async def test_a_reask_says_nothing_after_feedback(log: DecisionLog, storage: Storage) -> None:
    await log.record(RECORD)
    await log.feedback("acme", "d-1", GOOD)
    await log.reasked("d-1", 0.97, 0.5)
    assert await events(storage) == [Decided(RECORD), FeedbackGiven("d-1", 0.9, NOW_MS)]


async def test_an_audit_is_told_once(log: DecisionLog, storage: Storage) -> None:
    await log.record(RECORD)
    audit = Audited("d-1", 0.0, 0.02, 0.001)
    for told in (audit, audit, replace(audit, quality=1.0), Audited("unknown", 1.0, 0.02)):
        await log.audited(told)
    assert await events(storage) == [Decided(RECORD), replace(audit, at_ms=NOW_MS)]


async def test_a_full_stream_refuses_and_loses_nothing(log: DecisionLog, storage: Storage) -> None:
    decide = replace(UNSETTLED, id="decide")
    await log.record(decide)
    await fill(log)
    for work in (
        log.settle(replace(SETTLED, id="decide"), OUTCOME),
        log.feedback("acme", "filler-0", GOOD),
    ):
        with pytest.raises(Overloaded):
            await work
    await log.reasked("filler-0", 0.97, 0.5)
    await log.audited(Audited("filler-0", 1.0, 0.02))
    kept = await events(storage)
    assert kept[0] == Decided(decide)
    assert kept[1:] == [Decided(replace(RECORD, id=f"filler-{n}")) for n in range(MAX_EVENTS)]


async def test_what_was_paid_for_is_taken_by_a_full_stream(
    log: DecisionLog, storage: Storage
) -> None:
    assert await log.has_room()
    await fill(log)
    assert not await log.has_room()
    await log.record(RECORD)
    assert (await events(storage))[-1] == Decided(RECORD)
    assert await log.get("acme", RECORD.id) == RECORD


async def test_what_was_refused_works_once_there_is_room(
    log: DecisionLog, storage: Storage
) -> None:
    await fill(log)
    with pytest.raises(Overloaded):
        await log.feedback("acme", "filler-0", GOOD)
    (position, _), *_ = await storage.events.read("0", 1, 0)
    await storage.events.trim(position)
    assert await log.feedback("acme", "filler-0", GOOD)


async def test_a_full_stream_still_takes_what_teaches_nothing(log: DecisionLog) -> None:
    await fill(log)
    await log.record(CACHED)
    assert await log.feedback("acme", CACHED.id, GOOD)


async def test_evidence_is_appended_once_and_never_refused(storage: Storage) -> None:
    await storage.decisions.record(RECORD)
    bought = EvidenceBought(RECORD.id, EvidenceSource.JUDGE, 0.5, (ArmAnswer("a", 0.5, 0.1),), 0.2)
    for number in range(2 * MAX_EVENTS):
        await storage.decisions.record(replace(RECORD, id=f"more-{number}"))
    assert not await storage.decisions.has_room()
    await storage.decisions.evidence(bought)
    await storage.decisions.evidence(replace(bought, cost_usd=9.0))
    found = [event for _, event in await storage.events.read("0", 1_000, 0)]
    (event,) = [event for event in found if isinstance(event, EvidenceBought)]
    assert replace(event, at_ms=0) == bought
    assert event.at_ms > 0


async def test_evidence_of_an_unknown_decision_is_dropped(storage: Storage) -> None:
    await storage.decisions.evidence(EvidenceBought("none", EvidenceSource.JUDGE, 0.5))
    assert await storage.events.read("0", 10, 0) == []
