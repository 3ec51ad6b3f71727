"""Allowances follow the limits of their tenants, and a refusal by one is told as such."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

import pytest

from router.adapters.spool import FileSpool
from router.adapters.storage import EmbeddedRedis, Storage
from router.degraded.allowances import AllowanceKeeper
from router.degraded.settings import DegradedSettings
from router.degraded.stores import Stores, build_stores
from router.domain.errors import StorageUnavailable
from router.domain.tenants import Reservation, Tenant, TenantLimits
from router.ports.observer import Observer
from router.ports.state import HealthPolicy
from tests.contract.samples import WINDOW_S, FakeTime

SHARE = 0.01
RICH = Tenant("rich", TenantLimits(daily_usd=2.0, degraded="yes"))


class Told(Observer):
    def __init__(self) -> None:
        self.results: Counter[str] = Counter()

    def served_degraded(self, result: str) -> None:
        self.results[result] += 1


def limited(daily_usd: float) -> Tenant:
    return replace(RICH, limits=replace(RICH.limits, daily_usd=daily_usd))


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def stores(storage: Storage, spool: FileSpool, clock: FakeTime, told: Told) -> Stores:
    return build_stores(
        storage,
        spool,
        told,
        settings=DegradedSettings(),
        health=HealthPolicy(),
        join_window_s=WINDOW_S,
        clock=clock,
        steady=clock,
    )


@pytest.fixture
def keeper(stores: Stores, storage: Storage, told: Told, clock: FakeTime) -> AllowanceKeeper:
    return AllowanceKeeper(
        store=storage.quota,
        quota=stores.quota,
        local=stores.local_quota,
        leases={},
        continuity=stores.continuity,
        observer=told,
        owner="r",
        share=SHARE,
        clock=clock,
    )


async def asked(stores: Stores, tenant: Tenant, name: str, usd: float = 0.0) -> None:
    held = Reservation(name, tenant.name, 1, usd)
    await stores.quota.reserve(tenant, held)
    await stores.quota.settle(held, 1, 0.0)


async def reserved_usd(storage: Storage) -> float:
    return (await storage.quota.usage(RICH)).reserved_usd


async def test_an_allowance_follows_a_changed_limit(
    stores: Stores, keeper: AllowanceKeeper, storage: Storage
) -> None:
    for number, daily_usd in enumerate((2.0, 20.0, 1.0)):
        await asked(stores, limited(daily_usd), f"r-{number}")
        await keeper.step()
        assert await reserved_usd(storage) == pytest.approx(SHARE * daily_usd)
        await keeper.step()
        assert await reserved_usd(storage) == pytest.approx(SHARE * daily_usd)
    await asked(stores, limited(0.0), "r-9")
    await keeper.step()
    assert await reserved_usd(storage) == 0


async def test_what_was_spent_is_covered_until_it_is_stored_whatever_the_limit(
    stores: Stores, keeper: AllowanceKeeper, storage: Storage, server: EmbeddedRedis
) -> None:
    await asked(stores, RICH, "r-1")
    await keeper.step()
    await server.stop()
    await stores.quota.reserve(RICH, Reservation("r-2", RICH.name, 1, SHARE))
    await server.start()
    async with asyncio.timeout(60):
        while stores.continuity.is_away or await is_silent(storage):
            await asyncio.sleep(0.05)
    assert stores.continuity.state.entries
    await asked(stores, limited(20.0), "r-3")
    await keeper.step()
    assert await reserved_usd(storage) == pytest.approx(SHARE * 2)


async def is_silent(storage: Storage) -> bool:
    try:
        await storage.ping()
    except StorageUnavailable:
        return True
    return False


async def test_a_request_that_the_allowance_does_not_cover_is_told_and_counted(
    stores: Stores, keeper: AllowanceKeeper, server: EmbeddedRedis, told: Told
) -> None:
    await asked(stores, RICH, "r-1")
    await keeper.step()
    await server.stop()
    stores.continuity.failed()
    for name, usd in (("r-2", 0.01), ("r-3", 0.5)):
        results = await asyncio.gather(
            stores.quota.reserve(RICH, Reservation(name, RICH.name, 1, usd)),
            stores.decisions.admit(RICH, name),
            return_exceptions=True,
        )
        stores.continuity.end(name)
    refusal = results[0]
    assert isinstance(refusal, StorageUnavailable)
    assert refusal.metadata == {"kind": "no_allowance"}
    assert "budget cannot be checked" in refusal.message
    assert told.results == {"served": 1, "no_allowance": 1}
