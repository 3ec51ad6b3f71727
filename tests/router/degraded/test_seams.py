"""The parts of degraded serving beside each other, and beside leases, budgets and damaged keys."""

from __future__ import annotations

from dataclasses import replace

import pytest

from router.adapters.storage import EmbeddedRedis, Storage
from router.degraded import claims
from router.degraded.claims import LocalIdempotency
from router.degraded.delivery import SpoolDelivery
from router.degraded.quota import LocalQuota
from router.degraded.settings import DegradedSettings
from router.degraded.stores import Stores, build_stores
from router.domain.errors import StorageUnavailable
from router.domain.records import OutcomeReport
from router.domain.tenants import LEASE_S, Reservation, Tenant, TenantLimits
from router.ports.observer import Observer
from router.ports.state import ClaimKey, ClaimState, HealthPolicy
from router.serving.leases import Held, LeaseKeeper
from tests.contract.samples import RECORD, UNSETTLED, WINDOW_S, FakeTime
from tests.router.degraded.conftest import back

FREE = Tenant("acme")
REPORT = OutcomeReport(input_tokens=3, output_tokens=4, latency_ms=5)


async def test_forgotten_claims_take_no_room_of_answers(
    clock: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "MOST_BYTES", 1_000)
    monkeypatch.setattr(claims, "MOST", 5)
    keys = LocalIdempotency(clock)
    for number in range(100):
        key = ClaimKey("acme", f"k-{number}", f"r-{number}")
        await keys.claim(key, "f", 60)
        await keys.finish(key, b"x" * (900 if number == 99 else 100), 60)
    assert (await keys.claim(key, "f", 60)).state is ClaimState.DONE


async def test_a_claim_is_renewed_while_the_store_is_away(
    stores: Stores, server: EmbeddedRedis, clock: FakeTime
) -> None:
    held = Held()
    keeper = LeaseKeeper(
        quota=stores.quota,
        idempotency=stores.idempotency,
        held=held,
        observer=Observer(),
        clock=clock,
    )
    stores.tenants._scopes.put("acme", FREE)  # noqa: SLF001
    held.reservations["r-1"] = Reservation("r-1", "acme", 1, 0.1)
    await stores.quota.reserve(FREE, held.reservations["r-1"])
    await server.stop()
    key = ClaimKey("acme", "k", "r-1")
    assert (await stores.idempotency.claim(key, "f", LEASE_S)).state is ClaimState.NEW
    held.claims["r-1"] = key
    for _ in range(4):
        clock.now_s += LEASE_S / 2
        with pytest.raises(StorageUnavailable):
            await keeper.step()
    again = await stores.idempotency.claim(replace(key, owner="r-2"), "f", LEASE_S)
    assert again.state is ClaimState.RUNNING


async def test_an_outcome_that_nothing_took_is_not_called_recorded(
    storage: Storage, server: EmbeddedRedis, clock: FakeTime
) -> None:
    stores = build_stores(
        storage,
        None,
        Observer(),
        settings=DegradedSettings(),
        health=HealthPolicy(),
        join_window_s=WINDOW_S,
        clock=clock,
        steady=clock,
    )
    await stores.decisions.record(UNSETTLED)
    await server.stop()
    settled = replace(UNSETTLED, settled=True)
    for _ in range(2):
        with pytest.raises(StorageUnavailable):
            await stores.decisions.settle(settled, REPORT)


async def test_a_write_that_the_store_will_never_take_holds_up_no_other(
    stores: Stores, delivery: SpoolDelivery, server: EmbeddedRedis, storage: Storage
) -> None:
    await storage.client.call("SET", storage.keys.usage("damaged"), "x")
    await server.stop()
    await stores.quota.reserve(Tenant("damaged"), Reservation("r-1", "damaged", 1, 0.1))
    await stores.decisions.record(RECORD)
    await back(server, storage, stores)
    await delivery.step()
    assert (await storage.decisions.get("acme", RECORD.id)).degraded
    assert not stores.continuity.state.entries


async def test_a_damaged_key_is_no_absence_of_the_store(stores: Stores, storage: Storage) -> None:
    await storage.client.call("SET", storage.keys.usage("damaged"), "x")
    budget = Tenant("damaged", TenantLimits(daily_usd=1.0))
    with pytest.raises(StorageUnavailable):
        await stores.quota.reserve(budget, Reservation("r-1", "damaged", 1, 0.1))
    assert not stores.continuity.is_away


def test_what_an_earlier_allowance_gives_back_is_not_spent_of_the_next(clock: FakeTime) -> None:
    local = LocalQuota(clock, 1.0)
    rich = Tenant("acme", TenantLimits(daily_usd=100.0, degraded="yes"))
    local.grant("acme", 1.0)
    local.reserve(rich, Reservation("r-1", "acme", 0, 0.9))
    local.grant("acme", 1.0)
    local.settle("r-1", 0, 0.1)
    local.reserve(rich, Reservation("r-2", "acme", 0, 1.0))
    with pytest.raises(StorageUnavailable):
        local.reserve(rich, Reservation("r-3", "acme", 0, 0.1))


async def test_usage_that_comes_late_changes_no_limits(
    stores: Stores, delivery: SpoolDelivery, server: EmbeddedRedis, storage: Storage
) -> None:
    limited = Tenant("acme", TenantLimits(tokens_per_minute=1_000))
    await server.stop()
    await stores.quota.reserve(limited, Reservation("late", "acme", 1, 0.0))
    await back(server, storage, stores)
    await storage.quota.reserve(limited, Reservation("live", "acme", 900, 0.0))
    await delivery.step()
    left = await storage.quota.settle(Reservation("live", "acme", 900, 0.0), 10, 0.0)
    assert left.tokens is not None
    assert left.tokens >= 980


async def test_tokens_of_a_long_outage_are_not_held_against_the_minute_after_it(
    stores: Stores,
    delivery: SpoolDelivery,
    server: EmbeddedRedis,
    storage: Storage,
    clock: FakeTime,
) -> None:
    limited = Tenant("acme", TenantLimits(tokens_per_minute=1_000))
    await storage.quota.reserve(limited, Reservation("before", "acme", 1, 0.0))
    await server.stop()
    for minute in range(5):
        used = Reservation(f"r-{minute}", "acme", 900, 0.001)
        await stores.quota.reserve(limited, used)
        await stores.quota.settle(used, 900, 0.001)
        clock.now_s += 60
    await back(server, storage, stores)
    await delivery.step()
    await storage.quota.reserve(limited, Reservation("after", "acme", 900, 0.0))
    assert (await storage.quota.usage(limited)).daily_usd == pytest.approx(0.005)
