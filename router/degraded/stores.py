"""The ports that a request needs, each going on from memory and disk while the store is away."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from router.degraded.breakers import LocalHealthBoard
from router.degraded.claims import LocalIdempotency
from router.degraded.continuity import Bounded, Continuity
from router.degraded.decisions import RecentDecisions
from router.degraded.entries import (
    SpooledAnswer,
    SpooledAudit,
    SpooledDecision,
    SpooledFeedback,
    SpooledOutcome,
    SpooledReask,
    SpooledReservation,
    SpooledUsage,
    decision_order,
    quota_order,
)
from router.degraded.local_quota import LocalQuota
from router.degraded.settings import DegradedSettings
from router.domain.errors import StorageUnavailable, TenantNotFound
from router.domain.events import Audited
from router.domain.records import DecisionRecord, FeedbackReport, OutcomeReport
from router.domain.tenants import QuotaLeft, Reservation, Tenant
from router.ports import Clock
from router.ports.learning_log import DecisionLog
from router.ports.observer import Observer
from router.ports.spool import Spool
from router.ports.state import (
    Claim,
    ClaimKey,
    ClaimState,
    Health,
    HealthBoard,
    HealthPolicy,
    Idempotency,
    QuotaKeeper,
    TenantLookup,
)

MOST_TENANTS: Final = 10_000
MOST_ANSWER_BYTES: Final = 1 << 20
"""A longer answer is not kept on disk for a repeat of its key."""


class Store(Protocol):
    """The parts of the store that a request needs."""

    @property
    def tenants(self) -> TenantLookup: ...
    @property
    def quota(self) -> QuotaKeeper: ...
    @property
    def decisions(self) -> DecisionLog: ...
    @property
    def idempotency(self) -> Idempotency: ...
    @property
    def health(self) -> HealthBoard: ...


class RememberingTenants:
    """Knows keys for a while after they were seen; one that was seen revoked is forgotten."""

    def __init__(
        self, inner: TenantLookup, continuity: Continuity, keep_s: float, clock: Clock
    ) -> None:
        self._inner = inner
        self._continuity = continuity
        self._keep_s = keep_s
        self._clock = clock
        self._seen: Bounded[str, tuple[float, Tenant]] = Bounded(MOST_TENANTS)
        self._names: Bounded[str, Tenant] = Bounded(MOST_TENANTS)

    async def find(self, key_hash: str) -> Tenant | None:
        return await self._found(key_hash, lambda: self._inner.find(key_hash))

    async def show(self, name: str) -> Tenant:
        """Raises TenantNotFound."""
        found = await self._found(f"name:{name}", lambda: self._shown(name))
        if found is None:
            raise TenantNotFound("no tenant has this name")
        return found

    def named(self, name: str) -> Tenant | None:
        """Returns a tenant that was seen, whenever that was."""
        return self._names.get(name)

    def can_serve(self) -> bool:
        """True while a caller is remembered who may be served without the store."""
        return any(
            self._clock() < until_s and self._continuity.may_degrade(tenant)
            for until_s, tenant in reversed(self._seen.values())
        )

    async def _shown(self, name: str) -> Tenant | None:
        try:
            return await self._inner.show(name)
        except TenantNotFound:
            return Tenant(name) if name == "public" else None

    async def _found(self, key: str, ask: Callable[[], Awaitable[Tenant | None]]) -> Tenant | None:
        known = self._fresh(key)
        if self._continuity.is_away and known is not None:
            return known
        try:
            found = await ask()
        except StorageUnavailable:
            self._continuity.failed()
            if known is None:
                raise
            return known
        if found is None:
            self._seen.pop(key, None)
        else:
            self._seen.put(key, (self._clock() + self._keep_s, found))
            self._names.put(found.name, found)
        return found

    def _fresh(self, key: str) -> Tenant | None:
        until_s, tenant = self._seen.get(key, (0.0, None))
        fresh = tenant is not None and self._clock() < until_s
        return tenant if fresh and tenant and self._continuity.may_degrade(tenant) else None


class DegradingHealthBoard:
    """Keeps breakers in memory beside those that all replicas share."""

    def __init__(
        self, inner: HealthBoard, local: LocalHealthBoard, continuity: Continuity
    ) -> None:
        self._inner = inner
        self._local = local
        self._continuity = continuity
        self._last: Mapping[str, Health] = {}

    async def states(self, deployments: Sequence[str]) -> Mapping[str, Health]:
        try:
            found = await self._continuity.ask(lambda: self._inner.states(deployments))
        except StorageUnavailable:
            return await (await self._own()).states(deployments)
        self._last = found
        return found

    async def admit(self, deployment: str) -> bool:
        try:
            return await self._continuity.ask(lambda: self._inner.admit(deployment))
        except StorageUnavailable:
            return await (await self._own()).admit(deployment)

    async def succeeded(self, deployment: str) -> None:
        await self._local.succeeded(deployment)
        try:
            await self._continuity.ask(lambda: self._inner.succeeded(deployment))
        except StorageUnavailable:
            await self._own()

    async def failed(self, deployment: str, retry_after_ms: int | None = None) -> None:
        await self._local.failed(deployment, retry_after_ms)
        try:
            await self._continuity.ask(lambda: self._inner.failed(deployment, retry_after_ms))
        except StorageUnavailable:
            await self._own()

    async def _own(self) -> LocalHealthBoard:
        """Returns the breakers in memory, told once what the shared ones said last."""
        last, self._last = self._last, {}
        for name, state in last.items():
            if state is Health.OPEN:
                self._local.note_open(name)
        return self._local


class DegradingQuota:
    """Takes quota from what this process holds, and keeps the usage for later."""

    def __init__(self, inner: QuotaKeeper, local: LocalQuota, continuity: Continuity) -> None:
        self._inner = inner
        self._local = local
        self._continuity = continuity
        self.spenders: Bounded[str, tuple[int, Tenant]] = Bounded(MOST_TENANTS)

    async def reserve(self, tenant: Tenant, reservation: Reservation) -> QuotaLeft:
        continuity = self._continuity
        if not continuity.may_degrade(tenant):
            return await self._inner.reserve(tenant, reservation)
        if tenant.limits.daily_usd or tenant.limits.monthly_usd:
            self.spenders.put(tenant.name, (continuity.now_ms, tenant))
        try:
            return await continuity.ask(lambda: self._inner.reserve(tenant, reservation))
        except StorageUnavailable:
            left = self._local.reserve(tenant, reservation)
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

    async def settle(self, reservation: Reservation, tokens: int, cost_usd: float) -> QuotaLeft:
        continuity = self._continuity
        self._local.settle(reservation.id, tokens, cost_usd)
        if not continuity.waits(quota_order(reservation.id)):
            try:
                return await continuity.ask(
                    lambda: self._inner.settle(reservation, tokens, cost_usd)
                )
            except StorageUnavailable:
                pass
        await continuity.write(
            SpooledUsage(
                at_ms=continuity.now_ms,
                tenant=reservation.tenant,
                reservation=reservation,
                tokens=tokens,
                cost_usd=cost_usd,
            )
        )
        return QuotaLeft()


class DegradingIdempotency:
    """Honours keys within this process while the store is away; answers reach it afterwards."""

    def __init__(
        self,
        inner: Idempotency,
        local: LocalIdempotency,
        continuity: Continuity,
        tenants: RememberingTenants,
    ) -> None:
        self._inner = inner
        self._local = local
        self._continuity = continuity
        self._tenants = tenants

    async def claim(self, key: ClaimKey, fingerprint: str, ttl_s: int) -> Claim:
        found = self._local.find(key)
        if found is None or not found.here:
            try:
                claim = await self._continuity.ask(
                    lambda: self._inner.claim(key, fingerprint, ttl_s)
                )
            except StorageUnavailable:
                tenant = self._tenants.named(key.tenant)
                if tenant is None or not self._continuity.may_degrade(tenant):
                    raise
            else:
                if claim.state is ClaimState.NEW:
                    self._local.keep(key, fingerprint, ttl_s)
                return claim
        if found is None:
            self._local.keep(key, fingerprint, ttl_s, here=True)
        return await self._local.claim(key, fingerprint, ttl_s)

    async def finish(self, key: ClaimKey, payload: bytes, ttl_s: int) -> None:
        await self._local.finish(key, payload, ttl_s)
        known = self._local.find(key)
        if known is None or not known.here:
            try:
                return await self._continuity.ask(lambda: self._inner.finish(key, payload, ttl_s))
            except StorageUnavailable:
                if known is None or len(payload) > MOST_ANSWER_BYTES:
                    raise
        if known.owner == key.owner:
            known.here = True
            await self._continuity.write(
                SpooledAnswer(
                    at_ms=self._continuity.now_ms,
                    tenant=key.tenant,
                    key=key,
                    fingerprint=known.fingerprint,
                    payload=payload,
                    ttl_s=ttl_s,
                )
            )
        return None

    async def release(self, key: ClaimKey) -> None:
        await self._local.release(key)
        await self._continuity.ask(lambda: self._inner.release(key))


class DegradingDecisions:
    """Records what happens on disk while the store is away, in the order in which it happened."""

    def __init__(
        self, inner: DecisionLog, recent: RecentDecisions, continuity: Continuity
    ) -> None:
        self._inner = inner
        self._recent = recent
        self._continuity = continuity

    async def admit(self, tenant: Tenant, request_id: str) -> bool:
        """Returns whether what comes of a request can be learned, before anything is paid.

        Raises StorageUnavailable, or Overloaded where the disk has no room for it.
        """
        try:
            return await self._continuity.ask(self._inner.has_room)
        except StorageUnavailable:
            self._continuity.admit(tenant, request_id)
            return True

    async def has_room(self) -> bool:
        return self._continuity.is_away or await self._inner.has_room()

    async def record(self, record: DecisionRecord) -> None:
        continuity = self._continuity
        self._recent.remember(record)
        if await self._stored(record.id, lambda: self._inner.record(record)):
            return
        flagged = replace(record, degraded=True)
        self._recent.remember(flagged)
        await continuity.write(
            SpooledDecision(at_ms=continuity.now_ms, tenant=record.tenant, record=flagged)
        )

    async def get(self, tenant: str, decision_id: str) -> DecisionRecord:
        if not self._continuity.waits(decision_order(decision_id)):
            try:
                return await self._continuity.ask(lambda: self._inner.get(tenant, decision_id))
            except StorageUnavailable:
                pass
        return self._recent.get(tenant, decision_id)

    async def settle(self, record: DecisionRecord, report: OutcomeReport) -> bool:
        continuity = self._continuity
        if not continuity.waits(decision_order(record.id)):
            try:
                fresh = await continuity.ask(lambda: self._inner.settle(record, report))
            except StorageUnavailable:
                pass
            else:
                if self._recent.knows(record.id):
                    self._recent.note_outcome(record, report)
                return fresh
        if not self._recent.settle(record, report):
            return False
        await continuity.write(
            SpooledOutcome(
                at_ms=continuity.now_ms, tenant=record.tenant, record=record, report=report
            )
        )
        return True

    async def feedback(
        self, tenant: str, decision_id: str, report: FeedbackReport, at_ms: int | None = None
    ) -> bool:
        continuity = self._continuity
        if not continuity.waits(decision_order(decision_id)):
            try:
                fresh = await continuity.ask(
                    lambda: self._inner.feedback(tenant, decision_id, report, at_ms)
                )
            except StorageUnavailable:
                pass
            else:
                self._recent.note_feedback(decision_id, report.value)
                return fresh
        now_ms = continuity.now_ms if at_ms is None else at_ms
        if not self._recent.check_feedback(tenant, decision_id, report, now_ms):
            return False
        await continuity.write(
            SpooledFeedback(at_ms=now_ms, tenant=tenant, decision_id=decision_id, report=report)
        )
        self._recent.note_feedback(decision_id, report.value)
        return True

    async def reasked(self, decision_id: str, similarity: float, likeness: float) -> None:
        if await self._stored(
            decision_id, lambda: self._inner.reasked(decision_id, similarity, likeness)
        ):
            return
        await self._continuity.write(
            SpooledReask(
                at_ms=self._continuity.now_ms,
                tenant="",
                decision_id=decision_id,
                similarity=similarity,
                likeness=likeness,
            )
        )

    async def audited(self, audit: Audited) -> None:
        now_ms = self._continuity.now_ms
        if not await self._stored(audit.decision_id, lambda: self._inner.audited(audit)):
            noted = replace(audit, at_ms=now_ms)
            await self._continuity.write(SpooledAudit(at_ms=now_ms, tenant="", audit=noted))

    async def _stored(self, decision_id: str, write: Callable[[], Awaitable[None]]) -> bool:
        """Write to the store, unless it is away or an earlier write of the decision waits."""
        if self._continuity.waits(decision_order(decision_id)):
            return False
        try:
            await self._continuity.ask(write)
        except StorageUnavailable:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Stores:
    """The ports of a process that goes on without its store; they outlive a reload."""

    continuity: Continuity
    tenants: RememberingTenants
    quota: DegradingQuota
    decisions: DegradingDecisions
    idempotency: DegradingIdempotency
    health: DegradingHealthBoard
    local_quota: LocalQuota
    recent: RecentDecisions


def build_stores(
    store: Store,
    spool: Spool | None,
    observer: Observer,
    *,
    settings: DegradedSettings,
    health: HealthPolicy,
    join_window_s: float,
) -> Stores:
    """Wrap a store. spool: None for a process that is to serve nothing without it."""
    continuity, steady = Continuity(spool, settings, observer, time.time), time.monotonic
    tenants = RememberingTenants(store.tenants, continuity, settings.remember_keys_s, steady)
    local_quota = LocalQuota(steady, settings.rate_share)
    recent = RecentDecisions(settings.remember_decisions, int(join_window_s * 1_000))
    return Stores(
        continuity=continuity,
        tenants=tenants,
        quota=DegradingQuota(store.quota, local_quota, continuity),
        decisions=DegradingDecisions(store.decisions, recent, continuity),
        idempotency=DegradingIdempotency(
            store.idempotency, LocalIdempotency(steady), continuity, tenants
        ),
        health=DegradingHealthBoard(store.health, LocalHealthBoard(health, steady), continuity),
        local_quota=local_quota,
        recent=recent,
    )
