"""Wraps the parts of the store that a request needs, so that it goes on while they are away."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

from router.degraded.breakers import DegradingHealthBoard, LocalHealthBoard
from router.degraded.claims import DegradingIdempotency, LocalIdempotency
from router.degraded.continuity import Continuity
from router.degraded.decisions import DegradingDecisions, RecentDecisions
from router.degraded.quota import DegradingQuota, LocalQuota
from router.degraded.settings import DegradedSettings
from router.degraded.tenants import RememberingTenants
from router.domain import MS_PER_S
from router.domain.events import EvidenceBought
from router.domain.records import DecisionRecord
from router.domain.tenants import Settlement
from router.ports import Clock
from router.ports.learning_log import DecisionLog
from router.ports.observer import Observer
from router.ports.spool import Spool
from router.ports.state import HealthBoard, HealthPolicy, Idempotency, QuotaKeeper, TenantLookup


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

    async def keep(self, owed: object) -> None:
        """Keep on disk what nobody could write any more: a decision, evidence, or what was used."""
        if isinstance(owed, DecisionRecord):
            await self.decisions.keep(owed)
        elif isinstance(owed, Settlement):
            await self.quota.keep(owed.reservation, owed.tokens, owed.cost_usd)
        elif isinstance(owed, EvidenceBought):
            await self.decisions.keep_evidence(owed)


def build_stores(
    store: Store,
    spool: Spool | None,
    observer: Observer,
    *,
    settings: DegradedSettings,
    health: HealthPolicy,
    join_window_s: float,
    clock: Clock = time.time,
    steady: Clock = time.monotonic,
) -> Stores:
    """Wrap a store. spool: None for a process that is to serve nothing without it.

    clock: seconds since the epoch. steady: seconds, never set back.
    """
    continuity = Continuity(spool, settings, observer, clock)
    tenants = RememberingTenants(store.tenants, continuity, settings.remember_keys_s, steady)
    local_quota = LocalQuota(steady, settings.rate_share)
    recent = RecentDecisions(settings.remember_decisions, int(join_window_s * MS_PER_S))
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
