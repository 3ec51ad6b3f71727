"""Suite of `router.ports.state.TenantDirectory`."""

from __future__ import annotations

import asyncio

import pytest

from router.adapters.storage import Storage
from router.adapters.storage.tenants import RedisTenantDirectory
from router.domain.errors import TenantExists, TenantNotFound
from router.domain.tenants import Tenant, TenantLimits, hash_key

LIMITS = TenantLimits(10, 1_000, 1.5, 20.25, ("cheap", "reasoning"))
ACME = Tenant("acme", LIMITS)
OLD, NEW = hash_key("old"), hash_key("new")


@pytest.fixture
def tenants(storage: Storage) -> RedisTenantDirectory:
    return storage.tenants


async def test_a_tenant_is_found_by_its_key(tenants: RedisTenantDirectory) -> None:
    await tenants.create(ACME, OLD)
    assert await tenants.find(OLD) == ACME
    assert await tenants.find(NEW) is None
    assert await tenants.show("acme") == ACME


async def test_a_name_is_given_once(tenants: RedisTenantDirectory) -> None:
    made = await asyncio.gather(
        *(tenants.create(ACME, hash_key(str(n))) for n in range(20)), return_exceptions=True
    )
    assert sum(one is None for one in made) == 1
    assert sum(isinstance(one, TenantExists) for one in made) == 19
    works = [await tenants.find(hash_key(str(n))) for n in range(20)]
    assert sum(one is not None for one in works) == 1


async def test_a_rotated_key_stops_and_the_new_one_works(tenants: RedisTenantDirectory) -> None:
    await tenants.create(ACME, OLD)
    await tenants.rotate("acme", NEW)
    assert await tenants.find(OLD) is None
    assert await tenants.find(NEW) == ACME


async def test_a_revoked_tenant_stays_but_has_no_key(tenants: RedisTenantDirectory) -> None:
    await tenants.create(ACME, OLD)
    await tenants.revoke("acme")
    assert await tenants.find(OLD) is None
    assert await tenants.show("acme") == ACME
    await tenants.rotate("acme", NEW)
    assert await tenants.find(NEW) == ACME


async def test_limits_change_at_once(tenants: RedisTenantDirectory) -> None:
    await tenants.create(Tenant("acme"), OLD)
    await tenants.limit("acme", LIMITS)
    assert await tenants.find(OLD) == ACME


async def test_all_are_listed_by_name(tenants: RedisTenantDirectory) -> None:
    assert await tenants.list() == []
    await tenants.create(Tenant("beta"), NEW)
    await tenants.create(ACME, OLD)
    assert await tenants.list() == [ACME, Tenant("beta")]


async def test_an_unknown_name_is_said_to_be_unknown(tenants: RedisTenantDirectory) -> None:
    for work in (
        tenants.rotate("nobody", NEW),
        tenants.revoke("nobody"),
        tenants.limit("nobody", LIMITS),
        tenants.show("nobody"),
    ):
        with pytest.raises(TenantNotFound):
            await work
    assert await tenants.find(NEW) is None
