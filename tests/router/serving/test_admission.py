"""Who callers without a key are."""

from __future__ import annotations

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
