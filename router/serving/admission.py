"""Who may come in, and what is taken from their quota in advance."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from router.domain.errors import Overloaded, TenantNotFound, Unauthenticated
from router.domain.tenants import QuotaLeft, Reservation, Settlement, Tenant, hash_key
from router.ports import Clock
from router.ports.state import QuotaKeeper, TenantLookup
from router.runtime.background import SETTLE_S, Background
from router.serving.leases import Held

BUSY_RETRY_MS = 250
PUBLIC = Tenant("public")
"""Unlimited until an operator creates a tenant of this name."""


@dataclass(frozen=True, slots=True)
class AdmissionSettings:
    """required: without it callers that send no key are the tenant `public`.

    remember_s: how long a key is trusted before it is looked up again, so also how long a
    revoked key still works and a limit that was changed still holds.
    look_ups: keys that are looked up at once; one more is refused, and callers with keys that
    nobody knows take no more of the store than that. A key that was known a moment ago, `stale_s`,
    is trusted on while there are as many.
    """

    required: bool = True
    remember_s: float = 5.0
    remember_keys: int = 10_000
    look_ups: int = 64
    stale_s: float = 60.0


class Admission:
    """Admits callers by their key and quota, and settles what was reserved for them.

    held: what is reserved is renewed until it is settled.
    """

    def __init__(
        self,
        *,
        tenants: TenantLookup,
        quota: QuotaKeeper,
        held: Held,
        background: Background,
        clock: Clock,
        settings: AdmissionSettings,
    ) -> None:
        self._tenants = tenants
        self._quota = quota
        self._held = held
        self._background = background
        self._clock = clock
        self._settings = settings
        self._looking_up = 0
        self._cached: OrderedDict[str, tuple[float, Tenant]] = OrderedDict()

    async def authenticate(self, api_key: str) -> Tenant:
        """Raises Unauthenticated, Overloaded."""
        key_hash = hash_key(api_key)
        until_s, tenant = self._cached.get(key_hash, (0.0, None))
        late_s = self._clock() - until_s
        if tenant and late_s < 0:
            return tenant
        if self._looking_up >= self._settings.look_ups:
            if tenant and late_s < self._settings.stale_s:
                return tenant
            raise Overloaded("too many keys are looked up: try again", retry_after_ms=BUSY_RETRY_MS)
        return await self._look_up(api_key, key_hash)

    async def _look_up(self, api_key: str, key_hash: str) -> Tenant:
        self._looking_up += 1
        try:
            found = await self._tenants.find(key_hash) if api_key else await self._public_tenant()
        finally:
            self._looking_up -= 1
        if found is None:
            self._cached.pop(key_hash, None)
            raise Unauthenticated("send a valid API key as metadata `authorization: Bearer KEY`")
        self._remember(key_hash, found)
        return found

    async def _public_tenant(self) -> Tenant | None:
        if self._settings.required:
            return None
        try:
            return await self._tenants.show(PUBLIC.name)
        except TenantNotFound:
            return PUBLIC

    def _remember(self, key_hash: str, tenant: Tenant) -> None:
        self._cached[key_hash] = (self._clock() + self._settings.remember_s, tenant)
        if len(self._cached) > self._settings.remember_keys:
            self._cached.popitem(last=False)

    async def reserve(self, tenant: Tenant, reservation: Reservation) -> QuotaLeft:
        """Take quota, for every tenant: what could not be written is not begun.

        Raises QuotaExceeded, StorageUnavailable.
        """
        left = await self._quota.reserve(tenant, reservation)
        if reservation.renewed:
            self._held.reservations[reservation.id] = reservation
        return left

    async def settle(
        self, reservation: Reservation, tokens: int, cost_usd: float, patience_s: float = SETTLE_S
    ) -> QuotaLeft:
        """Insist that what was used is charged; the lease is renewed until it is.

        Raises StorageUnavailable.
        """
        try:
            return await self._background.insist(
                lambda: self._quota.settle(reservation, tokens, cost_usd),
                self._owed(reservation, tokens, cost_usd),
                patience_s,
            )
        finally:
            self._held.reservations.pop(reservation.id, None)

    def _owed(self, reservation: Reservation, tokens: int, cost_usd: float) -> Settlement | None:
        """None where nothing was taken, as far as is known: with its lease it is gone soon."""
        taken = not reservation.renewed or reservation.id in self._held.reservations
        return Settlement(reservation, tokens, cost_usd) if taken or tokens or cost_usd else None
