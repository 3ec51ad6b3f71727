"""Tenants: budgets that are nearly spent, keys that end soon."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from router.adapters.storage import Storage
from router.config import Config
from router.domain import MS_PER_S
from router.domain.tenancy import ApiKey
from router.domain.tenants import Tenant, TenantUsage
from router.tools.doctor.findings import Finding, lasting, ok, warn
from router.tools.options import moment

NEARLY_SPENT: Final = 0.8
SOON_S: Final = 7 * 86_400
MOST_TENANTS: Final = 5_000
AT_ONCE: Final = 100
MOST_TOLD: Final = 20


async def look_at_tenants(config: Config, storage: Storage) -> list[Finding]:
    tenants = await storage.tenants.list()
    if not tenants and config.auth.required:
        fix = "adaptive-router tenant create NAME"
        return [warn("tenants", "there is no tenant, so nobody may call", fix)]
    budgets = await _budgets(storage, tenants)
    now_ms = await storage.tenants.now_ms()
    keys = list(_keys(await storage.tenants.every_key(), now_ms))
    return [
        *(_bounded(budgets, "tenants.more") or [ok("tenants.budgets", "no budget nears its end")]),
        *(_bounded(keys, "keys.more") or [ok("keys", "no key ends within a week")]),
    ]


def _bounded(found: Sequence[Finding], check: str) -> list[Finding]:
    rest = len(found) - MOST_TOLD
    more = [warn(check, f"{rest} more like these", "adaptive-router tenant list")]
    return [*found[:MOST_TOLD], *(more if rest > 0 else ())]


async def _budgets(storage: Storage, tenants: Sequence[Tenant]) -> list[Finding]:
    asked = [t for t in tenants if t.limits.daily_usd or t.limits.monthly_usd]
    found: list[Finding] = []
    for start in range(0, min(len(asked), MOST_TENANTS), AT_ONCE):
        batch = asked[start : start + AT_ONCE]
        used = await asyncio.gather(*(storage.quota.spent(tenant) for tenant in batch))
        found += [f for pair in zip(batch, used, strict=True) for f in _of_tenant(*pair)]
    if len(asked) > MOST_TENANTS:
        text = f"the budgets of {MOST_TENANTS} of {len(asked)} tenants were looked at"
        found.append(ok("tenants.some", text))
    return found


def _of_tenant(tenant: Tenant, used: TenantUsage) -> Iterator[Finding]:
    """Yield at most one finding for each budget; what is reserved counts as used."""
    limits, left = tenant.limits, used.left
    for period, limit, rest in (
        ("daily", limits.daily_usd, left.daily_usd),
        ("monthly", limits.monthly_usd, left.monthly_usd),
    ):
        if rest is None or rest > (1 - NEARLY_SPENT) * limit:
            continue
        facts = {"tenant": tenant.name, "limit_usd": limit, "left_usd": rest}
        share = f"has used {1 - rest / limit:.0%} of its {period} budget of {limit:g} USD"
        text = f"tenant {tenant.name} {share}" + (": it is refused" if rest <= 0 else "")
        fix = f"raise it: `adaptive-router tenant limit {tenant.name} --{period}-usd USD`"
        yield warn(f"tenants.{period}_usd", text, fix, **facts)


def _keys(keys: Mapping[str, Sequence[ApiKey]], now_ms: int) -> Iterator[Finding]:
    """Yield keys that end soon, and tenants of whose keys none works any more."""
    for name, own in sorted(keys.items()):
        fix = f"hand out another: `adaptive-router tenant key create {name}`"
        for key in own:
            left_s = (key.facts.expires_ms - now_ms) / MS_PER_S
            facts = {"tenant": name, "key": key.id, "expires_at": moment(key.facts.expires_ms)}
            if key.facts.expires_ms and 0 < left_s < SOON_S:
                text = f"key {key.id} of tenant {name} expires in {lasting(left_s)}"
                yield warn("keys.expiring", text, fix, **facts)
        if all(0 < key.facts.expires_ms <= now_ms for key in own):
            yield warn("keys.expired", f"every key of tenant {name} has expired", fix, tenant=name)
