"""Suite of `router.ports.state.TenantDirectory`: several keys of a tenant, with an end."""

from __future__ import annotations

import asyncio
import math

import pytest

from router.adapters.storage import Storage
from router.adapters.storage.codec import encode
from router.adapters.storage.tenants import RedisTenantDirectory
from router.domain.errors import KeyExpired, KeyNotFound, TenantNotFound, TooManyKeys
from router.domain.tenancy import MOST_KEYS, KeyFacts
from router.domain.tenants import Reservation, Tenant, TenantLimits, hash_key
from tests.contract.ledger import prefix_of, raw_usage

ACME = Tenant("acme", TenantLimits(daily_usd=2.0))
FIRST, SECOND, THIRD = (hash_key(text) for text in ("first", "second", "third"))


@pytest.fixture
def tenants(storage: Storage) -> RedisTenantDirectory:
    return storage.tenants


async def lasting(tenants: RedisTenantDirectory, ms: int) -> KeyFacts:
    now_ms = await tenants.now_ms()
    return KeyFacts("last", now_ms, now_ms + ms)


async def test_keys_work_beside_each_other_and_stop_alone(tenants: RedisTenantDirectory) -> None:
    await tenants.create(ACME, FIRST)
    await tenants.add_key("acme", SECOND, KeyFacts("ond2", 5))
    assert await tenants.find(FIRST) == await tenants.find(SECOND) == ACME
    assert (await tenants.revoke_key("acme", FIRST[:12])).hash == FIRST
    assert await tenants.find(FIRST) is None
    assert await tenants.find(SECOND) == ACME
    assert [key.hash for key in await tenants.keys("acme")] == [SECOND]


async def test_an_expired_key_is_told_from_an_unknown_one(tenants: RedisTenantDirectory) -> None:
    await tenants.create(ACME, FIRST, await lasting(tenants, 60_000))
    await tenants.add_key("acme", SECOND, await lasting(tenants, 30))
    found = await tenants.find(FIRST)
    assert found is not None
    assert 0 < found.valid_s <= 60
    async with asyncio.timeout(60):
        while not [key for key in await tenants.keys("acme") if key.expired]:
            await asyncio.sleep(0.01)
    with pytest.raises(KeyExpired):
        await tenants.find(SECOND)
    assert await tenants.find(THIRD) is None


async def test_a_key_of_an_earlier_version_works_and_is_listed(
    storage: Storage, tenants: RedisTenantDirectory
) -> None:
    keys = prefix_of(storage)
    await storage.client.call("HSET", keys.key_owners, FIRST, "acme")
    await storage.client.call("HSET", keys.current_keys, "acme", FIRST)
    await storage.client.call("HSET", keys.tenants, "acme", encode(ACME.limits))
    found = await tenants.find(FIRST)
    assert found == ACME
    assert found.valid_s == math.inf
    await tenants.add_key("acme", SECOND, KeyFacts("ond2", 5, 0))
    assert [(key.hash, key.facts) for key in await tenants.keys("acme")] == [
        (FIRST, KeyFacts()),
        (SECOND, KeyFacts("ond2", 5, 0)),
    ]


@pytest.mark.parametrize("stops", ["rotate", "revoke", "create"])
async def test_all_keys_stop_together_and_leave_nothing(
    storage: Storage, tenants: RedisTenantDirectory, stops: str
) -> None:
    await tenants.create(ACME, FIRST, KeyFacts("irst", 1))
    await tenants.add_key("acme", SECOND, KeyFacts("cond", 2))
    match stops:
        case "rotate":
            await tenants.rotate("acme", THIRD, KeyFacts("hird", 3))
        case "revoke":
            assert await tenants.revoke("acme") == 2
        case _:  # the tenant was lost, but for its keys
            await storage.client.call("HDEL", prefix_of(storage).tenants, "acme")
            await tenants.create(ACME, THIRD, KeyFacts("hird", 3))
    assert await tenants.find(FIRST) is None
    assert await tenants.find(SECOND) is None
    left = await storage.client.call("HKEYS", prefix_of(storage).key_facts)
    assert left == ([] if stops == "revoke" else [THIRD.encode()])


async def test_a_beginning_that_is_not_one_key_stops_none(tenants: RedisTenantDirectory) -> None:
    one, two = "ab" * 32, "abcd" * 16
    await tenants.create(ACME, one)
    await tenants.add_key("acme", two)
    await tenants.create(Tenant("other"), FIRST)
    for beginning in ("ab", "ff", FIRST[:12]):
        with pytest.raises(KeyNotFound):
            await tenants.revoke_key("acme", beginning)
    assert await tenants.find(one) == await tenants.find(two) == ACME
    assert (await tenants.revoke_key("acme", "ABCD")).hash == two


async def test_a_tenant_has_so_many_keys_at_most(tenants: RedisTenantDirectory) -> None:
    await tenants.create(ACME, FIRST)
    made = await asyncio.gather(
        *(tenants.add_key("acme", hash_key(str(n))) for n in range(MOST_KEYS + 10)),
        return_exceptions=True,
    )
    assert sum(isinstance(one, TooManyKeys) for one in made) == 11
    assert len(await tenants.keys("acme")) == MOST_KEYS
    await tenants.add_key("acme", FIRST)  # sent again
    await tenants.revoke_key("acme", FIRST)
    await tenants.add_key("acme", SECOND)


async def test_an_unknown_tenant_has_no_keys(tenants: RedisTenantDirectory) -> None:
    for work in (
        tenants.add_key("nobody", FIRST),
        tenants.keys("nobody"),
        tenants.revoke_key("nobody", FIRST),
    ):
        with pytest.raises(TenantNotFound):
            await work
    await tenants.delete("nobody")
    assert await tenants.find(FIRST) is None


async def test_a_deleted_tenant_leaves_its_living_requests_alone(storage: Storage) -> None:
    """They settle when they end, and write nothing of the tenant again."""
    tenants, quota, keys = storage.tenants, storage.quota, prefix_of(storage)
    await tenants.create(ACME, FIRST)
    other = Tenant("acme2", TenantLimits(daily_usd=1.0))
    for owner in (ACME, other):
        for name in ("orphan", "living"):
            held = Reservation(f"{name}-{owner.name}", owner.name, 0, 0.25)
            await quota.reserve(owner, held)
    await storage.client.call("ZADD", keys.reserved_until, 1, "acme/orphan-acme")
    await quota.settle(Reservation("orphan-acme2", "acme2", 0, 0.25), 0, 0.125)
    assert await quota.forget("acme") == 1
    await tenants.delete("acme")
    assert await raw_usage(storage) == {}
    await quota.settle(Reservation("living-acme", "acme", 0, 0.25), 0, 0.2)
    assert await raw_usage(storage) == {}
    assert await storage.client.call("EXISTS", keys.reservation("orphan-acme")) == 0
    members = await storage.client.call("ZRANGE", keys.reserved_until, 0, -1)
    assert members == [b"acme2/living-acme2"]
    assert (await quota.usage(other)).daily_usd == 0.125


async def test_requests_of_the_day_and_the_month_are_counted(storage: Storage) -> None:
    quota = storage.quota
    for name in ("a", "b", "a", "allowance:r1:acme:1"):
        await quota.reserve(ACME, Reservation(name, "acme", 0, 0.25))
    await quota.settle(Reservation("a", "acme", 0, 0.25), 0, 0.125)
    used = await quota.usage(ACME)
    assert (used.requests_daily, used.requests_monthly) == (2, 2)
