"""Tenants and their keys between the contract and the domain."""

from __future__ import annotations

from adaptive_router.v1 import admin_pb2 as pb

from router.domain.tenancy import NEVER, ApiKey, Expiry, LimitsChange, NewKey, TenantDeleted
from router.domain.tenants import Tenant, TenantUsage


def read_change(change: pb.TenantLimitsChange) -> LimitsChange:
    """Fields that are not set stay as they are."""
    given = {field.name: value for field, value in change.ListFields() if field.name != "arms"}
    arms = tuple(change.arms.names) if change.HasField("arms") else None
    return LimitsChange(arms=arms, **given)


def read_expiry(expires_unix_ms: int) -> Expiry:
    return Expiry(at_ms=expires_unix_ms) if expires_unix_ms else NEVER


def tenant_info(tenant: Tenant) -> pb.TenantInfo:
    limits = tenant.limits
    return pb.TenantInfo(
        name=tenant.name,
        limits=pb.TenantLimits(
            requests_per_minute=limits.requests_per_minute,
            tokens_per_minute=limits.tokens_per_minute,
            daily_usd=limits.daily_usd,
            monthly_usd=limits.monthly_usd,
            arms=limits.arms,
            observe=limits.observe,
            degraded=limits.degraded,
            evidence=limits.evidence,
        ),
    )


def key_facts(key: ApiKey) -> pb.TenantKey:
    return pb.TenantKey(
        id=key.id,
        last_four=key.facts.last_four,
        created_unix_ms=key.facts.created_ms,
        expires_unix_ms=key.facts.expires_ms,
        expired=key.expired,
    )


def created(tenant: Tenant, made: NewKey) -> pb.CreateTenantResponse:
    facts = key_facts(made.key)
    return pb.CreateTenantResponse(tenant=tenant_info(tenant), key=made.text, facts=facts)


def usage(tenant: Tenant, used: TenantUsage) -> pb.GetTenantUsageResponse:
    return pb.GetTenantUsageResponse(
        tenant=tenant_info(tenant),
        spent_daily_usd=used.daily_usd,
        spent_monthly_usd=used.monthly_usd,
        reserved_usd=used.reserved_usd,
        requests_daily=used.requests_daily,
        requests_monthly=used.requests_monthly,
        daily_usd_left=used.left.daily_usd,
        monthly_usd_left=used.left.monthly_usd,
        requests_left=used.left.requests,
        tokens_left=used.left.tokens,
        reservations=used.reservations,
        orphans=used.orphans,
        orphaned_usd=used.orphaned_usd,
    )


def deleted(done: TenantDeleted) -> pb.DeleteTenantResponse:
    return pb.DeleteTenantResponse(
        keys=done.keys,
        cached_answers=done.cached_answers,
        under_way=done.under_way,
        remains=[pb.TenantRemainder(what=each.what, why=each.why) for each in done.remains],
    )
