"""What a living router holds is renewed; what a dead one held is settled."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace

import pytest

from router.domain.chat import Answer, ChatRequest, Message, Role, TextPart
from router.domain.errors import (
    AllAttemptsFailed,
    Overloaded,
    ProviderUnavailable,
    QuotaExceeded,
    StorageUnavailable,
)
from router.domain.records import CacheKey
from router.domain.tenants import LEASE_S, Reservation, Tenant, TenantLimits, TenantUsage
from router.serving.leases import Held, LeaseKeeper, LeaseSettings
from tests.blips import miss_first_tries
from tests.contract.ledger import later
from tests.router.serving.conftest import ANSWER, TENANT, Core, asked

LAPSED_S = LEASE_S + 60
LIMITED = Tenant("limited", TenantLimits(daily_usd=1.0))


@dataclass
class Ticking:
    now_s: float = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def ticking() -> Ticking:
    return Ticking()


@pytest.fixture
def other(core: Core, ticking: Ticking) -> LeaseKeeper:
    """The loop of another router, which holds nothing."""
    return LeaseKeeper(
        quota=core.storage.quota,
        idempotency=core.storage.idempotency,
        held=Held(),
        observer=core.metrics,
        clock=ticking,
    )


def metric(core: Core, name: str) -> float:
    return core.metrics.registry.get_sample_value(f"adaptive_router_{name}_total") or 0.0


async def pass_calm(keeper: LeaseKeeper, ticking: Ticking) -> None:
    for _ in range(10):
        await keeper.step()
        ticking.now_s += 5.0


async def test_every_tenant_s_request_is_on_the_ledger_before_it_is_paid(core: Core) -> None:
    seen: list[float] = []

    async def look() -> Answer:
        seen.append((await core.storage.quota.usage(TENANT)).reserved_usd)
        assert len(core.held.reservations) == 1
        return ANSWER

    core.provider.reply = look
    done = await core.service.complete(asked())
    assert not TENANT.limits.spending
    assert seen[0] > 0
    used = await core.storage.quota.usage(TENANT)
    assert (used.reserved_usd, used.reservations) == (0.0, 0)
    assert used.daily_usd == pytest.approx(sum(a.cost_usd for a in done.record.attempts))
    assert not core.held.reservations


async def test_a_request_under_way_is_renewed_and_no_orphan(
    core: Core, other: LeaseKeeper, ticking: Ticking
) -> None:
    async def wait() -> Answer:
        await later(core.storage, LAPSED_S)
        await core.keeper.step()
        await pass_calm(other, ticking)
        return ANSWER

    core.provider.reply = wait
    await core.service.complete(asked())
    assert not metric(core, "orphaned_reservations")
    assert not core.degraded("lease_lost")


async def test_a_request_that_outlives_its_lease_is_charged_right(
    core: Core, other: LeaseKeeper, ticking: Ticking
) -> None:
    async def wait() -> Answer:
        await later(core.storage, LAPSED_S)
        await pass_calm(other, ticking)
        assert (await core.storage.quota.usage(LIMITED)).reserved_usd == 0.0
        await core.keeper.step()
        return ANSWER

    core.provider.reply = wait
    done = await core.service.complete(asked(tenant=LIMITED))
    assert metric(core, "orphaned_reservations") == 1
    assert core.degraded("lease_lost") == 1
    used = await core.storage.quota.usage(LIMITED)
    assert used.daily_usd == pytest.approx(sum(a.cost_usd for a in done.record.attempts))


async def test_a_dead_router_s_long_request_is_charged_its_own_price_within_the_budget(
    core: Core, other: LeaseKeeper, ticking: Ticking
) -> None:
    """The budget pays what this request may cost at most, and not another one beside it."""
    text, seen = "What is next? " * 10_000, list[TenantUsage]()
    call = asked(tenant=Tenant("long", TenantLimits(daily_usd=0.5)))
    call = replace(call, chat=ChatRequest((Message(Role.USER, (TextPart(text),)),)))

    async def die() -> Answer:
        seen.append(await core.storage.quota.usage(call.tenant))
        with pytest.raises(QuotaExceeded):
            await core.service.complete(call)
        await later(core.storage, LAPSED_S)
        await pass_calm(other, ticking)
        seen.append(await core.storage.quota.usage(call.tenant))
        return ANSWER

    core.provider.reply = die
    await core.service.complete(call)
    alive, dead = seen
    price_usd = (len(text) / 3.6 + 400) * 2e-6
    assert dead.daily_usd == pytest.approx(price_usd, rel=1e-3)
    assert dead.reserved_usd == 0.0
    assert price_usd < alive.reserved_usd <= 0.5


async def test_orphans_are_told_of(
    core: Core, other: LeaseKeeper, ticking: Ticking, caplog: pytest.LogCaptureFixture
) -> None:
    for n in range(3):
        left = Reservation(f"left{n}", LIMITED.name, 0, 0.3, expected_usd=0.01)
        await core.storage.quota.reserve(LIMITED, left)
    await later(core.storage, LAPSED_S)
    await other.step()  # calm at first: who lives may not have renewed yet
    assert (await core.storage.quota.usage(LIMITED)).orphans == 3
    with caplog.at_level(logging.WARNING):
        await pass_calm(other, ticking)
    assert metric(core, "orphaned_reservations") == 3
    assert metric(core, "orphaned_usd") == pytest.approx(0.03)
    assert [record.message for record in caplog.records] == [
        "3 reservations of tenant limited had no owner: 0.900000 USD reserved, 0.030000 charged"
    ]


async def test_nothing_is_swept_just_after_the_store_was_away(
    core: Core, other: LeaseKeeper, ticking: Ticking
) -> None:
    await pass_calm(other, ticking)
    await core.storage.quota.reserve(LIMITED, Reservation("r", LIMITED.name, 0, 0.3))
    await later(core.storage, LAPSED_S)
    ticking.now_s += LEASE_S  # it stood still itself, or the store did
    await other.step()
    assert (await core.storage.quota.usage(LIMITED)).orphans == 1
    await pass_calm(other, ticking)
    assert (await core.storage.quota.usage(LIMITED)).orphans == 0


async def test_a_key_is_free_at_once_after_a_failure_though_its_release_was_lost_at_first(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail() -> Answer:
        raise ProviderUnavailable("down")

    core.provider.reply, answer = fail, core.provider.reply
    miss_first_tries(monkeypatch, core.storage.idempotency, "release")
    with pytest.raises(AllAttemptsFailed):
        await core.service.complete(asked("k"))
    await core.background.drain()
    assert not core.held.claims
    core.provider.reply = answer
    assert (await core.service.complete(asked("k"))).answer == ANSWER


async def test_nothing_is_renewed_for_a_request_whose_record_was_refused(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> object:
        raise Overloaded("the log is full")

    monkeypatch.setattr(core.storage.decisions, "record", refuse)
    with pytest.raises(Overloaded):
        await core.service.complete(asked("k"))
    await core.background.drain()
    assert (core.held.claims, core.held.reservations) == ({}, {})


async def test_a_claim_that_lapsed_under_way_still_keeps_its_answer(core: Core) -> None:
    async def wait() -> Answer:
        await core.storage.client.call("DEL", core.keys.idempotency(TENANT.name, "k"))
        return ANSWER

    core.provider.reply = wait
    first = await core.service.complete(asked("k"))
    again = await core.service.complete(asked("k"))
    assert again.record.id == first.record.id


async def test_what_can_t_be_reserved_is_not_begun_and_leaves_nothing_behind(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[int] = []

    async def count() -> Answer:
        called.append(1)
        return ANSWER

    async def full(*_: object) -> object:
        raise StorageUnavailable("full")

    core.provider.reply = count
    with monkeypatch.context() as patch:
        patch.setattr(core.storage.quota, "reserve", full)
        with pytest.raises(StorageUnavailable):
            await core.service.complete(asked("k"))
    await core.background.drain()
    assert (called, core.held.reservations, core.held.claims) == ([], {}, {})
    assert (await core.service.complete(asked("k"))).answer == ANSWER


async def test_the_keeper_goes_on_after_the_store_was_away(
    core: Core, ticking: Ticking, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = Reservation("r", LIMITED.name, 0, 0.3)
    await core.storage.quota.reserve(LIMITED, mine)
    keeper = LeaseKeeper(
        quota=core.storage.quota,
        idempotency=core.storage.idempotency,
        held=Held({mine.id: mine}),
        observer=core.metrics,
        clock=ticking,
        settings=LeaseSettings(sweep_s=0.01, retry_s=0.01),
    )
    await later(core.storage, LAPSED_S)
    miss_first_tries(monkeypatch, core.storage.quota, "renew")
    stop = asyncio.Event()
    running = asyncio.create_task(keeper.run(stop))
    async with asyncio.timeout(60):
        while not core.degraded("leases") or (await core.storage.quota.usage(LIMITED)).orphans:
            await asyncio.sleep(0.01)
    stop.set()
    await running


async def test_who_finds_an_answer_for_others_keeps_its_claim(core: Core) -> None:
    key = CacheKey(TENANT.name, "exact", "partition")
    await core.storage.cache.claim(key, "led", 1)
    core.held.answers[key.exact] = "led"
    await core.keeper.step()
    left_s = await core.storage.client.call("TTL", core.keys.answering(key.exact))
    assert left_s > 1
    del core.held.answers[key.exact]
