"""The leases that this router holds are renewed, and those of routers that died are settled."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from router.domain.errors import RouterError
from router.domain.tenants import LEASE_S, Orphan, Reservation
from router.ports import Clock
from router.ports.observer import Observer
from router.ports.state import AnswerCache, ClaimKey, Idempotency, QuotaKeeper
from router.runtime.loops import wait

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Held:
    """Everything this process holds: reservations by id, claims by the request that owns them.

    answers: the request that finds an answer for all that ask the same, by their exact key.
    Whoever puts one in takes it out when it is settled or released. A reservation that is found
    to be nobody's any more leaves by itself.
    """

    reservations: dict[str, Reservation] = field(default_factory=dict)
    claims: dict[str, ClaimKey] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)


ANSWERING_S: Final = 15
"""A claim to find an answer for others lapses after three renewals that did not come."""


@dataclass(frozen=True, slots=True)
class LeaseSettings:
    """renew_s: two renewals may fail before a lease lapses.

    calm_s: how long nothing is settled after the store was away: every lease may have lapsed then,
    and who lives renews his first.
    """

    renew_s: float = LEASE_S / 3
    sweep_s: float = 5.0
    retry_s: float = 1.0
    calm_s: float = LEASE_S / 3 + 5.0
    most_orphans: int = 500


class LeaseKeeper:
    """A loop of every router. clock: seconds, never set back.

    Any router settles orphans, so that budgets come back while there is one router left.
    """

    def __init__(
        self,
        *,
        quota: QuotaKeeper,
        idempotency: Idempotency,
        held: Held,
        observer: Observer,
        clock: Clock,
        settings: LeaseSettings | None = None,
        cache: AnswerCache | None = None,
    ) -> None:
        self._quota = quota
        self._idempotency = idempotency
        self._held = held
        self._observer = observer
        self._clock = clock
        self._cache = cache
        self._settings = settings or LeaseSettings()
        self._renewed_s = self._seen_s = clock()
        self._calm_until_s = self._seen_s + self._settings.calm_s

    async def run(self, stop: asyncio.Event) -> None:
        settings = self._settings
        while not stop.is_set():
            try:
                await self.step()
            except RouterError:
                self._observer.degraded("leases")
                self._calm_until_s = self._clock() + settings.calm_s
                await wait(stop, settings.retry_s)
            else:
                await wait(stop, settings.sweep_s)

    async def step(self) -> None:
        """Renew when due, then settle orphans. Raises StorageUnavailable."""
        settings, now_s = self._settings, self._clock()
        if now_s - self._seen_s > settings.renew_s:
            self._calm_until_s = now_s + settings.calm_s  # this process itself stood still
        self._seen_s = now_s
        if now_s - self._renewed_s >= settings.renew_s or now_s < self._calm_until_s:
            await self._renew()
            self._renewed_s = now_s
        if self._cache is not None and self._held.answers:
            await self._cache.renew(dict(self._held.answers), ANSWERING_S)
        if now_s >= self._calm_until_s:
            self._tell(await self._quota.settle_orphans(settings.most_orphans))

    async def _renew(self) -> None:
        held = self._held
        reservations, claims = tuple(held.reservations.values()), tuple(held.claims.values())
        # Claims first: they are renewed in memory too, where the store is away.
        if claims:
            await self._idempotency.renew(claims)
        lost = await self._quota.renew(reservations) if reservations else ()
        for reservation_id in lost:
            if held.reservations.pop(reservation_id, None) is not None:
                self._observer.degraded("lease_lost")

    def _tell(self, orphans: Sequence[Orphan]) -> None:
        for tenant, count in Counter(orphan.tenant for orphan in orphans).items():
            own = [orphan for orphan in orphans if orphan.tenant == tenant]
            charged_usd = sum(orphan.charged_usd for orphan in own)
            self._observer.orphans(count, charged_usd)
            _log.warning(
                "%d reservations of tenant %s had no owner: %.6f USD reserved, %.6f charged",
                count,
                tenant,
                sum(orphan.reserved_usd for orphan in own),
                charged_usd,
            )
