"""Token buckets per minute and budgets per UTC day and month, reserved and settled in one step."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from router.adapters.storage.client import Client, load
from router.adapters.storage.keys import Keys
from router.domain import MS_PER_S
from router.domain.errors import QuotaExceeded
from router.domain.tenants import (
    LEASE_S,
    Orphan,
    QuotaLeft,
    Reservation,
    Tenant,
    TenantLimits,
    TenantUsage,
)

NANO = 1_000_000_000
MOST_NANO = 10**15
"""A million USD. Sums of thousands of these are still exact in the scripts."""
MOST_TOKENS = 10**12
AS_RESERVED = -1
GRACE_MS = 15_000
"""A lease that lapsed while the store was away is renewed by its owner within this."""
SETTLED_MS = 2 * 3_600_000
MOST_SETTLED = 100_000
"""Ids per tenant that are known to be settled, for as long as SETTLED_MS."""
MOST_AT_ONCE = 500
MOST_LISTED = 100_000
_RESERVE = load("quota_common", "quota_reserve")
_SETTLE = load("quota_common", "quota_settle")
_ORPHAN = load("quota_common", "quota_orphan")
_USAGE = load("quota_common", "quota_usage")
_DUE = load("quota_due")
_FORGET = load("quota_forget")
_RENEW = load("quota_renew")


@dataclass(frozen=True, slots=True)
class _Lease:
    """A reservation by its place among the leases. left_ms: negative once it has lapsed."""

    tenant: str
    id: str
    left_ms: float = 0.0


class RedisQuotaKeeper:
    """Implements `router.ports.state.QuotaKeeper`, by the clock of the server alone.

    A request that may bring more tokens than a minute allows waits for a full bucket and leaves
    it in debt. window_s: lease of a reservation that nobody renews. keep_s: how long after it was
    charged as an orphan a reservation can still be corrected.
    """

    def __init__(self, client: Client, keys: Keys, window_s: float, keep_s: float) -> None:
        self._client = client
        self._keys = keys
        self._window_ms = int(window_s * MS_PER_S)
        self._longest_ms = max(self._window_ms, LEASE_S * MS_PER_S)
        self._keep_ms = int(keep_s * MS_PER_S)

    async def reserve(
        self, tenant: Tenant, reservation: Reservation, *, admitted: bool = False
    ) -> QuotaLeft:
        lease_ms = LEASE_S * MS_PER_S if reservation.renewed else self._window_ms
        expected_usd = reservation.expected_usd
        admitted, *rest = await self._client.script(
            _RESERVE,
            [*self._places(reservation), self._keys.settled(reservation.tenant)],
            *(reservation.id, _member(reservation)),
            *(_tokens(reservation.tokens), _nano(reservation.cost_usd)),
            *_limits(tenant.limits),
            lease_ms,
            _nano(reservation.cost_usd if expected_usd is None else expected_usd),
            _tokens(reservation.asked_tokens),
            admitted + 0,
        )
        if not admitted:
            raise _exceeded(tenant.name, rest[0].decode(), *map(int, rest[1:]))
        return _left(rest)

    async def settle(self, reservation: Reservation, tokens: int, cost_usd: float) -> QuotaLeft:
        _, *rest = await self._client.script(
            _SETTLE,
            [*self._places(reservation), self._keys.settled(reservation.tenant)],
            *(reservation.id, _member(reservation)),
            *(_tokens(tokens), _nano(cost_usd) if math.isfinite(cost_usd) else AS_RESERVED),
            *(reservation.held + 0, SETTLED_MS, MOST_SETTLED),
        )
        return _left(rest)

    async def renew(
        self, reservations: Sequence[Reservation], ttl_s: float = LEASE_S
    ) -> Sequence[str]:
        lost, lease_ms = [], int(ttl_s * MS_PER_S)
        for start in range(0, len(reservations), MOST_AT_ONCE):
            batch = reservations[start : start + MOST_AT_ONCE]
            places = await self._client.script(
                _RENEW, [self._keys.reserved_until], lease_ms, *map(_member, batch)
            )
            lost += [batch[place - 1].id for place in places]
        return lost

    async def usage(self, tenant: Tenant) -> TenantUsage:
        leases = [lease async for lease in self._leases(tenant.name)]
        used = await self.spent(tenant)
        orphans = [lease.id for lease in leases if lease.left_ms < 0]
        costs = await self._client.call_many(
            ("HGET", self._keys.reservation(orphan), "cost") for orphan in orphans
        )
        return replace(
            used,
            reservations=len(leases),
            orphans=len(orphans),
            orphaned_usd=sum(float(cost or 0) for cost in costs) / NANO,
        )

    async def spent(self, tenant: Tenant) -> TenantUsage:
        """Return the usage without a look at every lease: how many are reserved is not told."""
        key, limits = self._keys.usage(tenant.name), _limits(tenant.limits)
        told = await self._client.script(_USAGE, [key], *limits)
        daily, monthly, reserved, let_in_daily, let_in_monthly, *left = told
        return TenantUsage(
            daily / NANO,
            monthly / NANO,
            reserved / NANO,
            _left(left),
            requests_daily=let_in_daily,
            requests_monthly=let_in_monthly,
        )

    async def forget(self, tenant: str) -> int:
        """Forget what a tenant used. Returns the reservations under way: they settle themselves."""
        leases = [lease async for lease in self._leases(tenant)]
        orphans = [lease for lease in leases if lease.left_ms < 0]
        for start in range(0, max(1, len(orphans)), MOST_AT_ONCE):
            await self._drop(tenant, orphans[start : start + MOST_AT_ONCE])
        return len(leases) - len(orphans)

    async def _drop(self, tenant: str, leases: Sequence[_Lease]) -> None:
        keys = self._keys
        named = [Reservation(lease.id, tenant, 0, 0.0) for lease in leases]
        places = [keys.usage(tenant), keys.settled(tenant), keys.reserved_until]
        places += [keys.reservation(one.id) for one in named]
        await self._client.script(_FORGET, places, *map(_member, named))

    async def settle_orphans(self, most: int, *, tenant: str = "") -> Sequence[Orphan]:
        if tenant:
            leases = [lease async for lease in self._leases(tenant) if lease.left_ms < 0]
            due = list(islice(leases, most))
        else:
            members = await self._client.script(
                _DUE, [self._keys.reserved_until], GRACE_MS, self._longest_ms, most
            )
            due = [_lease(member) for member in members]
        grace_ms = 0 if tenant else GRACE_MS
        settled = await asyncio.gather(*(self._settle_orphan(lease, grace_ms) for lease in due))
        return [orphan for orphan in settled if orphan is not None]

    async def _settle_orphan(self, lease: _Lease, grace_ms: int) -> Orphan | None:
        named = Reservation(lease.id, lease.tenant, 0, 0.0)
        found = await self._client.script(
            _ORPHAN,
            self._places(named),
            *(_member(named), grace_ms, self._longest_ms, self._keep_ms),
        )
        if not found:
            return None
        reserved, charged, age_ms = found
        return Orphan(lease.id, lease.tenant, reserved / NANO, charged / NANO, age_ms)

    async def _leases(self, tenant: str) -> AsyncIterator[_Lease]:
        """Leases of a tenant: a look at all of them, which only operators' commands take."""
        seconds, micros = await self._client.call("TIME")
        now_ms, cursor, seen = int(seconds) * 1_000 + int(micros) // 1_000, b"0", 0
        pattern = f"{tenant}/*"
        while True:
            cursor, flat = await self._client.call(
                "ZSCAN", self._keys.reserved_until, cursor, "MATCH", pattern, "COUNT", MOST_AT_ONCE
            )
            for member, ends in zip(flat[::2], flat[1::2], strict=True):
                yield _lease(member, float(ends) - now_ms)
            seen += len(flat) // 2
            if cursor == b"0" or seen > MOST_LISTED:
                return

    def _places(self, reservation: Reservation) -> list[str]:
        usage = self._keys.usage(reservation.tenant)
        return [usage, self._keys.reservation(reservation.id), self._keys.reserved_until]


def _member(reservation: Reservation) -> str:
    """No tenant's name has a slash."""
    return f"{reservation.tenant}/{reservation.id}"


def _lease(member: bytes, left_ms: float = 0.0) -> _Lease:
    tenant, _, reservation_id = member.decode().partition("/")
    return _Lease(tenant, reservation_id, left_ms)


def _limits(limits: TenantLimits) -> tuple[int, int, int, int]:
    return (
        limits.requests_per_minute,
        limits.tokens_per_minute,
        _nano(limits.daily_usd),
        _nano(limits.monthly_usd),
    )


def _nano(usd: float) -> int:
    """Never negative, and never more than what stays exact: a bound that is no number is all."""
    return round(max(0.0, min(usd * NANO, MOST_NANO))) if not math.isnan(usd) else MOST_NANO


def _tokens(tokens: int) -> int:
    return max(0, min(tokens, MOST_TOKENS))


def _left(numbers: Sequence[int]) -> QuotaLeft:
    requests, tokens, daily, monthly = (None if n < 0 else n for n in numbers)
    return QuotaLeft(
        requests,
        tokens,
        None if daily is None else daily / NANO,
        None if monthly is None else monthly / NANO,
    )


def _exceeded(tenant: str, quota: str, wait_ms: int, *amounts: int) -> QuotaExceeded:
    """wait_ms: negative where no waiting helps. amounts: needed, limit, left."""
    unit = NANO if quota.endswith("_usd") else 1
    needed, limit, left = (f"{amount / unit:.9g}" for amount in amounts)
    never = wait_ms < 0
    return QuotaExceeded(
        _too_much(quota, needed, limit) if never else _used_up(quota, needed, limit, left),
        quota=quota,
        subject=tenant,
        retry_after_ms=None if never else wait_ms,
        metadata={"needed": needed, "limit": limit, "left": left},
    )


def _used_up(quota: str, needed: str, limit: str, left: str) -> str:
    has_some = quota.endswith("_usd") and left != "0"
    knob = f", with a max_cost_usd of at most {left}," if has_some else ""
    return (
        f"the quota {quota} has {left} of {limit} left, and this request may take {needed}: "
        f"try again later{knob} or have it raised"
    )


def _too_much(quota: str, needed: str, limit: str) -> str:
    knobs = "max_cost_usd or max_output_tokens" if quota.endswith("_usd") else "max_output_tokens"
    return (
        f"this request alone may take {needed}, and the quota {quota} is {limit}: lower {knobs}, "
        "send a shorter prompt, or have the quota raised"
    )
