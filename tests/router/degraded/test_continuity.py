"""Room on disk, order and memory while the store is away: a real spool, and time moved by hand."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from router.adapters.spool import FileSpool
from router.adapters.storage import EmbeddedRedis, Storage
from router.degraded.continuity import HELD_BYTES
from router.degraded.delivery import SpoolDelivery
from router.degraded.quota import LocalQuota
from router.degraded.stores import Stores
from router.domain.errors import (
    DecisionNotFound,
    FeedbackConflict,
    FeedbackTooLate,
    KeyExpired,
    Overloaded,
    QuotaExceeded,
    StorageUnavailable,
)
from router.domain.events import (
    ArmAnswer,
    Decided,
    EvidenceBought,
    EvidenceSource,
    FeedbackGiven,
)
from router.domain.records import FeedbackReceipt, FeedbackReport, session_digest
from router.domain.tenancy import KeyFacts
from router.domain.tenants import Reservation, Tenant, TenantLimits, hash_key
from router.ports.observer import Observer
from tests.contract.samples import NOON_S, RECORD, WINDOW_S, FakeTime
from tests.router.degraded.conftest import back, built

FREE = Tenant("acme")


async def test_a_full_spool_refuses_before_anything_is_paid_one_tenant_first(
    stores: Stores, server: EmbeddedRedis
) -> None:
    await server.stop()
    admitted = 0
    with pytest.raises(Overloaded):  # noqa: PT012 - until it is full
        for number in range(1_000):
            assert await stores.decisions.admit(FREE, f"r-{number}")
            admitted += 1
    assert 20 < admitted < 100
    assert await stores.decisions.admit(Tenant("quiet"), "q")
    for number in range(admitted):
        stores.continuity.end(f"r-{number}")
    assert await stores.decisions.admit(FREE, "again")


async def test_what_is_on_disk_takes_room_until_it_is_delivered(
    stores: Stores, delivery: SpoolDelivery, server: EmbeddedRedis, storage: Storage
) -> None:
    await server.stop()
    number = 0
    with pytest.raises(Overloaded):  # noqa: PT012 - until it is full
        while number < 5_000:
            await stores.decisions.admit(FREE, f"r-{number}")
            noise = uuid.uuid4().hex * 40
            record = replace(RECORD, id=f"r-{number}", session_id=noise + uuid.uuid4().hex * 200)
            await stores.decisions.record(record)
            stores.continuity.end(f"r-{number}")
            number += 1
    assert stores.continuity.state.entries == number
    await back(server, storage, stores)
    await delivery.step()
    assert stores.continuity.state.entries == stores.continuity.state.size_bytes == 0
    await server.stop()
    assert await stores.decisions.admit(FREE, "again")


async def test_a_disk_without_room_for_what_is_under_way_refuses_before_anything_is_paid(
    tmp_path: Path, storage: Storage, server: EmbeddedRedis, clock: FakeTime
) -> None:
    left = [10 * HELD_BYTES]
    spool = FileSpool(tmp_path / "disk", lambda _: left[0])
    stores = built(storage, spool, clock)
    delivery = SpoolDelivery(spool, storage, stores.continuity, stores.recent, Observer())
    await server.stop()
    for number in range(10):
        assert await stores.decisions.admit(FREE, f"r-{number}")
    with pytest.raises(StorageUnavailable):
        await stores.decisions.admit(FREE, "one too many")
    left[0] = HELD_BYTES
    await stores.decisions.record(RECORD)
    stores.continuity.end("r-0")
    with pytest.raises(StorageUnavailable):
        await stores.decisions.admit(FREE, "one too many")
    left[0] = 100 * HELD_BYTES
    await delivery.adopt()
    assert await stores.decisions.admit(FREE, "one more")
    await spool.close()


async def test_feedback_never_overtakes_its_decision(
    stores: Stores, delivery: SpoolDelivery, server: EmbeddedRedis, storage: Storage
) -> None:
    await server.stop()
    await stores.decisions.record(RECORD)
    await back(server, storage, stores)
    told = [(0.25, False), (0.5, True), (0.25, True)]
    for quality, correction in told:
        report = FeedbackReport(quality, correction=correction)
        assert await stores.decisions.feedback("acme", RECORD.id, report)
    await delivery.step()
    events = [event for _, event in await storage.events.read("0", 10, 0)]
    assert isinstance(events[0], Decided)
    assert [e.quality for e in events[1:] if isinstance(e, FeedbackGiven)] == [0.25, 0.5, 0.25]
    await delivery.step()
    assert len(await storage.events.read("0", 10, 0)) == 4


async def test_a_session_s_feedback_comes_after_its_decisions_and_before_later_ones(
    stores: Stores, delivery: SpoolDelivery, server: EmbeddedRedis, storage: Storage
) -> None:
    session = session_digest("acme", "s")
    turns = [
        replace(RECORD, id=f"d-{n}", session_id=session, created_ms=RECORD.created_ms + n // 3)
        for n in range(4)
    ]
    await stores.decisions.record(turns[0])
    await server.stop()
    for turn in turns[1:3]:
        await stores.decisions.record(turn)
    good, bad = FeedbackReport(0.75), FeedbackReport(0.25)
    for known in (False, True, True):
        done = await stores.decisions.session_feedback("acme", session, good)
        assert done == FeedbackReceipt(already_recorded=known, decisions=3)
    known_here = await stores.decisions.get("acme", "d-2")
    assert (known_here.feedback, known_here.session_share) == (0.75, 1 / 3)
    with pytest.raises(FeedbackConflict, match="session"):
        await stores.decisions.session_feedback("acme", session, bad)
    with pytest.raises(DecisionNotFound):
        await stores.decisions.session_feedback("other", session, good)
    with pytest.raises(StorageUnavailable):
        await stores.decisions.session_feedback("acme", session_digest("acme", "t"), good)
    await back(server, storage, stores)
    right = replace(bad, correction=True)
    assert not (await stores.decisions.session_feedback("acme", session, right)).already_recorded
    await stores.decisions.record(turns[3])
    await delivery.step()
    await delivery.step()
    assert (await stores.decisions.session_feedback("acme", session, right)).already_recorded
    events = [event for _, event in await storage.events.read("0", 100, 0)]
    given = [event for event in events if isinstance(event, FeedbackGiven)]
    first = [(f"d-{n}", 0.75, None, 1 / 3) for n in range(3)]
    second = [(f"d-{n}", 0.25, 0.75, 1 / 3) for n in range(3)]
    assert [(e.decision_id, e.quality, e.replaces, e.session_share) for e in given] == [
        *first,
        *second,
    ]


async def test_what_ended_processes_told_of_a_session_is_known_to_who_adopts_it(
    tmp_path: Path, storage: Storage, server: EmbeddedRedis, clock: FakeTime
) -> None:
    session = session_digest("acme", "s")
    spool = FileSpool(tmp_path / "spool")
    stores = built(storage, spool, clock)
    await server.stop()
    await stores.decisions.record(replace(RECORD, session_id=session))
    await stores.decisions.session_feedback("acme", session, FeedbackReport(0.75))
    await spool.close()
    heir = FileSpool(tmp_path / "spool")
    again = built(storage, heir, clock)
    delivery = SpoolDelivery(heir, storage, again.continuity, again.recent, Observer())
    await delivery.adopt()
    done = await again.decisions.session_feedback("acme", session, FeedbackReport(0.75))
    assert done == FeedbackReceipt(already_recorded=True, decisions=1)
    await back(server, storage, again)
    await delivery.step()
    assert (await storage.decisions.get("acme", RECORD.id)).session_share == 1.0
    await heir.close()


async def test_feedback_is_judged_by_when_it_was_accepted(
    stores: Stores,
    delivery: SpoolDelivery,
    server: EmbeddedRedis,
    storage: Storage,
    clock: FakeTime,
) -> None:
    await stores.decisions.record(RECORD)
    await server.stop()
    clock.now_s += WINDOW_S - 1
    assert await stores.decisions.feedback("acme", RECORD.id, FeedbackReport(1.0))
    clock.now_s += WINDOW_S
    report = FeedbackReport(0.5, correction=True)
    with pytest.raises(FeedbackTooLate):
        await stores.decisions.feedback("acme", RECORD.id, report)
    await back(server, storage, stores)
    await delivery.step()
    events = [event for _, event in await storage.events.read("0", 10, 0)]
    given = [e for e in events if isinstance(e, FeedbackGiven)]
    assert [(e.quality, e.at_ms) for e in given] == [(1.0, int((NOON_S + WINDOW_S - 1) * 1_000))]


async def test_keys_are_remembered_for_a_while_and_a_revoked_one_is_not(
    stores: Stores, server: EmbeddedRedis, storage: Storage, clock: FakeTime
) -> None:
    for name in ("acme", "gone", "strict"):
        limits = TenantLimits(daily_usd=1.0 if name == "strict" else 0.0)
        await storage.tenants.create(Tenant(name, limits), hash_key(name))
        assert await stores.tenants.find(hash_key(name))
    await storage.tenants.revoke("gone")
    assert await stores.tenants.find(hash_key("gone")) is None
    await server.stop()
    for _ in range(2):
        assert (await stores.tenants.find(hash_key("acme"))) == FREE
        for unknown in ("gone", "strict", "never seen"):
            with pytest.raises(StorageUnavailable):
                await stores.tenants.find(hash_key(unknown))
    assert stores.tenants.can_serve()
    clock.now_s += 901
    assert not stores.tenants.can_serve()
    with pytest.raises(StorageUnavailable):
        await stores.tenants.find(hash_key("acme"))


async def test_a_key_that_expires_while_the_store_is_away_is_told_so(
    stores: Stores, server: EmbeddedRedis, storage: Storage, clock: FakeTime
) -> None:
    """A router trusts what it is told for a while, but never beyond the key's end."""
    now_ms = await storage.tenants.now_ms()
    facts = KeyFacts("last", now_ms, now_ms + 60_000)
    await storage.tenants.create(FREE, hash_key("acme"), facts)
    assert await stores.tenants.find(hash_key("acme")) == FREE
    await server.stop()
    clock.now_s += 50
    found = await stores.tenants.find(hash_key("acme"))
    assert found is not None
    assert 0 < found.valid_s <= 10
    clock.now_s += 10
    with pytest.raises(KeyExpired):
        await stores.tenants.find(hash_key("acme"))
    assert not stores.tenants.can_serve()


async def test_rates_are_held_by_the_process(stores: Stores, server: EmbeddedRedis) -> None:
    tenant = Tenant("acme", TenantLimits(requests_per_minute=3))
    await server.stop()
    for number in range(3):
        left = await stores.quota.reserve(tenant, Reservation(f"r-{number}", "acme", 1, 0.0))
    assert left.requests == 0
    with pytest.raises(QuotaExceeded) as caught:
        await stores.quota.reserve(tenant, Reservation("r-3", "acme", 1, 0.0))
    assert 19_000 < caught.value.retry_after_ms <= 20_001


def test_money_is_spent_from_the_allowance_alone() -> None:
    quota = LocalQuota(FakeTime(), 1.0)
    tenant = Tenant("rich", TenantLimits(monthly_usd=10.0, degraded="yes"))

    def held(number: int) -> Reservation:
        return Reservation(f"r-{number}", "rich", 10, 0.04)

    with pytest.raises(StorageUnavailable):
        quota.reserve(tenant, held(0))
    quota.grant("rich", 0.1)
    quota.reserve(tenant, held(1))
    quota.reserve(tenant, held(1))
    quota.reserve(tenant, held(2))
    with pytest.raises(StorageUnavailable):
        quota.reserve(tenant, held(3))
    quota.settle("r-1", 5, 0.01)
    quota.settle("r-1", 5, 0.01)
    quota.reserve(tenant, held(3))
    with pytest.raises(StorageUnavailable):
        quota.reserve(tenant, held(4))
    quota.grant("rich", 0.05)
    quota.settle("r-3", 0, 0.0)  # it was taken of the grant before
    quota.reserve(tenant, held(4))
    with pytest.raises(StorageUnavailable):
        quota.reserve(tenant, held(5))


async def test_evidence_that_was_paid_for_waits_on_disk_and_is_appended_once(
    stores: Stores, delivery: SpoolDelivery, server: EmbeddedRedis, storage: Storage
) -> None:
    """One was written while the store was away, one was owed by a task that was ended."""
    await stores.decisions.record(RECORD)
    await stores.decisions.record(replace(RECORD, id="d-2"))
    await server.stop()
    arms = (ArmAnswer("cheap", 0.5, 0.001, served=True),)
    one = EvidenceBought(RECORD.id, EvidenceSource.JUDGE, 0.5, arms, 0.25)
    await stores.decisions.evidence(one)
    await stores.keep(replace(one, decision_id="d-2"))
    await back(server, storage, stores)
    for _ in range(2):
        await delivery.step()
    await stores.decisions.evidence(replace(one, cost_usd=9.0))
    events = [event for _, event in await storage.events.read("0", 10, 0)]
    found = [event for event in events if isinstance(event, EvidenceBought)]
    told = [(event.decision_id, event.cost_usd, event.arms) for event in found]
    assert sorted(told) == [(RECORD.id, 0.25, arms), ("d-2", 0.25, arms)]
