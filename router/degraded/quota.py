"""Quota while the store is away: buckets of this process, and money that was leased ahead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from router.degraded.continuity import Bounded, Continuity
from router.degraded.entries import QUOTA, SpooledReservation, SpooledUsage
from router.domain import MS_PER_S
from router.domain.errors import QuotaExceeded, StorageUnavailable
from router.domain.tenants import LEASE_S, Orphan, QuotaLeft, Reservation, Tenant, TenantUsage
from router.ports import Clock
from router.ports.state import QuotaKeeper

MOST: Final = 10_000
MINUTE_S: Final = 60.0
NO_ALLOWANCE: Final = (
    "the tenant's budget cannot be checked while the storage does not answer, and its allowance "
    "does not cover this request: try again later, or ask for fewer output tokens"
)


@dataclass(slots=True)
class _Bucket:
    """A minute's allowance, which fills evenly; a new one is full."""

    size: float
    level: float
    at_s: float

    def fill(self, size: float, now_s: float) -> None:
        self.size = size
        added = max(0.0, now_s - self.at_s) * size / MINUTE_S
        self.level, self.at_s = min(size, self.level + added), now_s

    def lacks_ms(self, need: float) -> int:
        """A request for more than the bucket holds waits for a full one and goes into debt."""
        lacking = min(need, self.size) - self.level
        return 0 if lacking <= 0 else int(lacking * MINUTE_S / self.size * MS_PER_S) + 1


@dataclass(slots=True)
class _Granted:
    left_usd: float
    was_spent: bool = False


class LocalQuota:
    """Takes from buckets and allowances. clock: any that only goes forward. share: of the rates."""

    def __init__(self, clock: Clock, share: float) -> None:
        self._clock = clock
        self._share = share
        self._buckets: Bounded[tuple[str, str], _Bucket] = Bounded(2 * MOST)
        self._taken: Bounded[str, tuple[Reservation, _Granted | None]] = Bounded(MOST)
        self._allowances: dict[str, _Granted] = {}

    def __contains__(self, reservation_id: str) -> bool:
        return reservation_id in self._taken

    def grant(self, tenant: str, usd: float) -> None:
        """Allow a tenant to spend what the store holds for it, and nothing else."""
        self._allowances[tenant] = _Granted(usd)

    def withdraw(self, tenant: str) -> None:
        self._allowances.pop(tenant, None)

    def was_spent(self, tenant: str) -> bool:
        """True if anything was taken of the allowance since it was granted."""
        return tenant in self._allowances and self._allowances[tenant].was_spent

    def reserve(self, tenant: Tenant, reservation: Reservation) -> QuotaLeft:
        """Raises QuotaExceeded, or StorageUnavailable where no money was leased for it."""
        if reservation.id in self._taken:
            return QuotaLeft()
        requests = self._bucket(tenant, "requests_per_minute", tenant.limits.requests_per_minute)
        tokens = self._bucket(tenant, "tokens_per_minute", tenant.limits.tokens_per_minute)
        _check(requests, 1, tenant.name, "requests_per_minute")
        _check(tokens, reservation.tokens, tenant.name, "tokens_per_minute")
        spent = None
        if tenant.limits.daily_usd or tenant.limits.monthly_usd:
            spent = self._spend(tenant.name, reservation.cost_usd)
        for bucket, need in ((requests, 1), (tokens, reservation.tokens)):
            if bucket is not None:
                bucket.level -= need
        self._taken.put(reservation.id, (reservation, spent))
        return QuotaLeft(_floor(requests), _floor(tokens))

    def _spend(self, tenant: str, usd: float) -> _Granted:
        allowance = self._allowances.get(tenant)
        if allowance is None or allowance.left_usd < usd:
            raise StorageUnavailable(NO_ALLOWANCE, metadata={"kind": "no_allowance"})
        allowance.left_usd -= usd
        allowance.was_spent = True
        return allowance

    def settle(self, reservation_id: str, tokens: int, cost_usd: float) -> None:
        """Give back what was taken here and not used, to the allowance that it was taken from."""
        reservation, spent = self._taken.pop(reservation_id, (None, None))
        if reservation is None:
            return
        bucket = self._buckets.get((reservation.tenant, "tokens_per_minute"))
        if bucket is not None:
            bucket.level = min(bucket.size, bucket.level + reservation.tokens - tokens)
        if spent is not None:
            spent.left_usd += reservation.cost_usd - cost_usd

    def _bucket(self, tenant: Tenant, quota: str, limit: int) -> _Bucket | None:
        if not limit:
            return None
        size, now_s = max(1.0, limit * self._share), self._clock()
        key = (tenant.name, quota)
        if key not in self._buckets:
            self._buckets.put(key, _Bucket(size, size, now_s))
        bucket = self._buckets[key]
        bucket.fill(size, now_s)
        return bucket


def _check(bucket: _Bucket | None, need: float, tenant: str, quota: str) -> None:
    wait_ms = bucket.lacks_ms(need) if bucket else 0
    if wait_ms:
        raise QuotaExceeded(
            f"the quota {quota} is used up: try again later or have it raised",
            quota=quota,
            subject=tenant,
            retry_after_ms=wait_ms,
        )


def _floor(bucket: _Bucket | None) -> int | None:
    return None if bucket is None else max(0, int(bucket.level))


class DegradingQuota:
    """Takes quota from what this process holds, and keeps the usage for later."""

    def __init__(self, inner: QuotaKeeper, local: LocalQuota, continuity: Continuity) -> None:
        self._inner = inner
        self._local = local
        self._continuity = continuity
        self._never_held: Bounded[str, None] = Bounded(MOST)
        self.spenders: Bounded[str, tuple[int, Tenant]] = Bounded(MOST)

    async def reserve(
        self,
        tenant: Tenant,
        reservation: Reservation,
        *,
        admitted: bool = False,  # noqa: ARG002 - nobody asks it of this one
    ) -> QuotaLeft:
        was_away = self._continuity.is_away
        try:
            return await self._reserve(tenant, reservation)
        except StorageUnavailable:
            if was_away:
                self._never_held.put(reservation.id, None)
            raise

    async def _reserve(self, tenant: Tenant, reservation: Reservation) -> QuotaLeft:
        continuity = self._continuity
        self._see(tenant)
        if not continuity.may_degrade(tenant):
            return await continuity.noting(self._inner.reserve(tenant, reservation))
        try:
            return await continuity.ask(lambda: self._inner.reserve(tenant, reservation))
        except StorageUnavailable:
            left = self._reserve_here(tenant, reservation)
        try:
            await continuity.write(
                SpooledReservation(
                    at_ms=continuity.now_ms, tenant=tenant.name, reservation=reservation
                )
            )
        except StorageUnavailable:
            self._local.settle(reservation.id, 0, 0.0)
            raise
        return left

    def _see(self, tenant: Tenant) -> None:
        """Remember who may need an allowance, with the limits of this request."""
        has_budget = tenant.limits.daily_usd or tenant.limits.monthly_usd
        if has_budget and self._continuity.may_degrade(tenant):
            self.spenders.put(tenant.name, (self._continuity.now_ms, tenant))
        else:
            self.spenders.pop(tenant.name, None)

    def _reserve_here(self, tenant: Tenant, reservation: Reservation) -> QuotaLeft:
        try:
            return self._local.reserve(tenant, reservation)
        except StorageUnavailable:
            self._continuity.lacks_allowance(reservation.id)
            raise

    async def settle(self, reservation: Reservation, tokens: int, cost_usd: float) -> QuotaLeft:
        continuity = self._continuity
        if reservation.id in self._local:
            self._local.settle(reservation.id, tokens, cost_usd)
        if not continuity.waits(QUOTA, reservation.id):
            try:
                return await continuity.ask(
                    lambda: self._inner.settle(reservation, tokens, cost_usd)
                )
            except StorageUnavailable:
                # Calls that are refused while the store is away must fill no disk.
                if not (tokens or cost_usd) and reservation.id in self._never_held:
                    return QuotaLeft()
        await self.keep(reservation, tokens, cost_usd)
        return QuotaLeft()

    async def keep(self, reservation: Reservation, tokens: int, cost_usd: float) -> None:
        """Settle it on disk."""
        await self._continuity.write(
            SpooledUsage(
                at_ms=self._continuity.now_ms,
                tenant=reservation.tenant,
                reservation=reservation,
                tokens=tokens,
                cost_usd=cost_usd,
            )
        )

    async def renew(
        self, reservations: Sequence[Reservation], ttl_s: float = LEASE_S
    ) -> Sequence[str]:
        """Leave out those that the store has not heard of yet."""
        waits = self._continuity.waits
        told = [each for each in reservations if not waits(QUOTA, each.id)]
        return await self._inner.renew(told, ttl_s)

    async def usage(self, tenant: Tenant) -> TenantUsage:
        return await self._inner.usage(tenant)

    async def settle_orphans(self, most: int, *, tenant: str = "") -> Sequence[Orphan]:
        return await self._inner.settle_orphans(most, tenant=tenant)
