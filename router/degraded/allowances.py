"""Leases a small part of budgets ahead, to be spent while the store is away.

The store holds it as reserved, so that all routers and all allowances together stay within the
limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Final

from router.degraded.continuity import Continuity
from router.degraded.quota import DegradingQuota, LocalQuota
from router.domain import MS_PER_S
from router.domain.errors import QuotaExceeded, RouterError
from router.domain.tenants import Reservation, Tenant
from router.ports import Clock
from router.ports.observer import Observer
from router.ports.state import QuotaKeeper
from router.runtime.loops import wait

POLL_S: Final = 1.0
SEEN_S: Final = 900.0
DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class _Allowance:
    reservation: Reservation
    day: int


class AllowanceKeeper:
    """Holds an allowance for each tenant with a budget that was seen lately and may be served.

    leases: what is in it is renewed by others, and leaves it where it was lost. owner: names this
    router in the store. share: of the smaller budget. clock: seconds since the epoch.
    """

    def __init__(
        self,
        *,
        store: QuotaKeeper,
        quota: DegradingQuota,
        local: LocalQuota,
        leases: MutableMapping[str, Reservation],
        continuity: Continuity,
        observer: Observer,
        owner: str,
        share: float,
        clock: Clock,
    ) -> None:
        self._store = store
        self._quota = quota
        self._local = local
        self._leases = leases
        self._continuity = continuity
        self._observer = observer
        self._owner = owner
        self._share = share
        self._clock = clock
        self._held: dict[str, _Allowance] = {}
        self._number = 0

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self.step()
            await wait(stop, POLL_S)
        await self._try(*(self._give_back(name) for name in list(self._held)))

    async def step(self) -> None:
        """Take, renew and give back what is due."""
        if self._continuity.is_away:
            return
        seen = self._seen()
        gone = [name for name in self._held if name not in seen]
        await self._try(
            *(self._keep(tenant) for tenant in seen.values()),
            *(self._give_back(name) for name in gone),
        )

    def _seen(self) -> dict[str, Tenant]:
        since_ms = (self._clock() - SEEN_S) * MS_PER_S
        return {
            name: tenant
            for name, (at_ms, tenant) in self._quota.spenders.items()
            if at_ms >= since_ms and self._continuity.may_degrade(tenant)
        }

    async def _try(self, *work: object) -> None:
        for error in await asyncio.gather(*work, return_exceptions=True):  # type: ignore[call-overload]
            if isinstance(error, RouterError):
                self._observer.degraded("allowance")
            elif isinstance(error, BaseException):
                raise error

    async def _keep(self, tenant: Tenant) -> None:
        held, now_s = self._held.get(tenant.name), self._clock()
        lost = held is not None and held.reservation.id not in self._leases
        if held is None or lost or held.day != now_s // DAY_S or self._is_past(tenant, held):
            await self._take(tenant)

    def _is_past(self, tenant: Tenant, held: _Allowance) -> bool:
        """True once it is used, or the tenant's limits have changed.

        It covers what was spent of it until that is in the store.
        """
        is_spent = self._local.was_spent(tenant.name)
        if is_spent and self._continuity.state.entries:
            return False
        return is_spent or held.reservation.cost_usd != self._size_usd(tenant)

    def _size_usd(self, tenant: Tenant) -> float:
        limits = tenant.limits
        return self._share * min(usd for usd in (limits.daily_usd, limits.monthly_usd) if usd)

    async def _take(self, tenant: Tenant) -> None:
        """Lease anew; only then is the one before given back.

        Where the store went meanwhile, the one before is spent on.
        """
        self._number += 1
        name = f"allowance:{self._owner}:{tenant.name}:{self._number}"
        usd = self._size_usd(tenant)
        lease, now_s = Reservation(name, tenant.name, 0, usd, expected_usd=0.0), self._clock()
        before = self._held.get(tenant.name)
        try:
            await self._store.reserve(tenant, lease)
        except QuotaExceeded:
            if before is not None:
                await self._give_back(tenant.name)
            return  # nothing is left to be spent ahead
        self._held[tenant.name] = _Allowance(lease, int(now_s // DAY_S))
        self._leases[name] = lease
        self._local.grant(tenant.name, usd)
        if before is not None:
            await self._settle(before.reservation)

    async def _give_back(self, name: str) -> None:
        self._local.withdraw(name)
        await self._settle(self._held.pop(name).reservation)

    async def _settle(self, lease: Reservation) -> None:
        """Where the store does not hear of it, the lease lapses and nothing is charged."""
        self._leases.pop(lease.id, None)
        await self._store.settle(lease, 0, 0.0)
