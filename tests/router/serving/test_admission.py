"""Who callers without a key are, and how many keys are looked up at once."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field

import pytest

from router.domain.errors import Overloaded, Unauthenticated
from router.domain.tenants import Tenant, TenantLimits, hash_key
from router.serving.admission import PUBLIC, Admission, AdmissionSettings
from tests.router.serving.conftest import Core


async def test_admission_gives_callers_without_a_key_the_limits_of_public(core: Core) -> None:
    now_s = 0.0
    settings = AdmissionSettings(required=False)
    admission = Admission(
        tenants=core.storage.tenants,
        quota=core.storage.quota,
        held=core.held,
        background=core.background,
        clock=lambda: now_s,
        settings=settings,
    )
    assert await admission.authenticate("") == PUBLIC
    limited = Tenant("public", TenantLimits(requests_per_minute=2, arms=("cheap",)))
    await core.storage.tenants.create(limited, hash_key("key"))
    now_s += settings.remember_s
    assert await admission.authenticate("") == limited


@dataclass(slots=True)
class SlowDirectory:
    """Knows the key `known`; answers once it is opened. valid_s: of that key."""

    open: asyncio.Event = field(default_factory=asyncio.Event)
    asked: int = 0
    valid_s: float = math.inf

    async def find(self, key_hash: str) -> Tenant | None:
        self.asked += 1
        await self.open.wait()
        return Tenant("known", valid_s=self.valid_s) if key_hash == hash_key("known") else None


async def test_keys_that_nobody_knows_keep_no_known_one_out(core: Core) -> None:
    now_s, directory = 0.0, SlowDirectory()
    settings = AdmissionSettings(look_ups=4)
    admission = Admission(
        tenants=directory,
        quota=core.storage.quota,
        held=core.held,
        background=core.background,
        clock=lambda: now_s,
        settings=settings,
    )
    directory.open.set()
    assert (await admission.authenticate("known")).name == "known"
    directory.open.clear()
    now_s += settings.remember_s
    flood = [asyncio.create_task(admission.authenticate(f"k{i}")) for i in range(20)]
    await asyncio.sleep(0)
    assert (await admission.authenticate("known")).name == "known"
    assert directory.asked == 1 + 4
    now_s += settings.stale_s
    with pytest.raises(Overloaded):
        await admission.authenticate("known")
    directory.open.set()
    errors = await asyncio.gather(*flood, return_exceptions=True)
    assert [type(e) for e in errors] == [Unauthenticated] * 4 + [Overloaded] * 16
    assert (await admission.authenticate("known")).name == "known"


@pytest.mark.parametrize(("valid_s", "asked"), [(3.0, 2), (30.0, 1), (math.inf, 1)])
async def test_a_key_is_not_trusted_beyond_its_end(core: Core, valid_s: float, asked: int) -> None:
    now_s, directory = 0.0, SlowDirectory(valid_s=valid_s)
    directory.open.set()
    admission = Admission(
        tenants=directory,
        quota=core.storage.quota,
        held=core.held,
        background=core.background,
        clock=lambda: now_s,
        settings=AdmissionSettings(look_ups=1),
    )
    await admission.authenticate("known")
    now_s = 4.0
    await admission.authenticate("known")
    assert directory.asked == asked


@pytest.mark.parametrize(("at_s", "trusted"), [(29.0, True), (31.0, False)])
async def test_a_key_that_has_expired_is_not_trusted_among_many_look_ups(
    core: Core, at_s: float, *, trusted: bool
) -> None:
    now_s, directory = 0.0, SlowDirectory(valid_s=30.0)
    directory.open.set()
    admission = Admission(
        tenants=directory,
        quota=core.storage.quota,
        held=core.held,
        background=core.background,
        clock=lambda: now_s,
        settings=AdmissionSettings(look_ups=1),
    )
    await admission.authenticate("known")
    directory.open.clear()
    now_s = at_s
    busy = asyncio.create_task(admission.authenticate("unknown"))
    await asyncio.sleep(0)
    if trusted:
        assert (await admission.authenticate("known")).name == "known"
    else:
        with pytest.raises(Overloaded):
            await admission.authenticate("known")
    directory.open.set()
    with pytest.raises(Unauthenticated):
        await busy
