"""Who may come in, what is taken from their quota in advance, and who came before by a key."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import msgspec

from router.domain.errors import (
    IdempotencyConflict,
    IdempotencyRunning,
    KeyExpired,
    Overloaded,
    TenantNotFound,
    Unauthenticated,
)
from router.domain.requests import Completion, RouteRequest, request_digest
from router.domain.tenants import LEASE_S, QuotaLeft, Reservation, Settlement, Tenant, hash_key
from router.ports import Clock
from router.ports.state import ClaimKey, ClaimState, Idempotency, QuotaKeeper, TenantLookup
from router.runtime.background import SETTLE_S, Background, retry_write
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
    is trusted on while there are as many. Neither is longer than the key itself is valid.
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
        """Until when each key is trusted without a look, and its tenant."""

    async def authenticate(self, api_key: str) -> Tenant:
        """Raises Unauthenticated, Overloaded."""
        key_hash = hash_key(api_key)
        until_s, tenant = self._cached.get(key_hash, (0.0, None))
        late_s = self._clock() - until_s
        if tenant and late_s < 0:
            return tenant
        if self._looking_up >= self._settings.look_ups:
            if tenant and late_s < min(self._settings.stale_s, self._rest_s(tenant)):
                return tenant
            raise Overloaded("too many keys are looked up: try again", retry_after_ms=BUSY_RETRY_MS)
        return await self._look_up(api_key, key_hash)

    async def _look_up(self, api_key: str, key_hash: str) -> Tenant:
        self._looking_up += 1
        try:
            found = await self._tenants.find(key_hash) if api_key else await self._public_tenant()
        except KeyExpired:
            self._cached.pop(key_hash, None)
            raise
        finally:
            self._looking_up -= 1
        if found is None:
            self._cached.pop(key_hash, None)
            raise Unauthenticated("send a valid API key as `authorization: Bearer KEY`")
        self._remember(key_hash, found)
        return found

    def _rest_s(self, tenant: Tenant) -> float:
        """Return how long a key is valid after it was last trusted without a look."""
        return max(0.0, tenant.valid_s - self._settings.remember_s)

    async def _public_tenant(self) -> Tenant | None:
        if self._settings.required:
            return None
        try:
            return await self._tenants.show(PUBLIC.name)
        except TenantNotFound:
            return PUBLIC

    def _remember(self, key_hash: str, tenant: Tenant) -> None:
        trusted_s = min(self._settings.remember_s, tenant.valid_s)
        self._cached[key_hash] = (self._clock() + trusted_s, tenant)
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


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Completion).decode


@dataclass(frozen=True, slots=True)
class IdempotencySettings:
    """running_s: a claim that its owner does not renew is free again after this long."""

    running_s: int = LEASE_S
    keep_s: int = 86_400


class IdempotencyGuard:
    """Answers a repeated key from the first answer. owner: the id of the request that asks.

    held: a claim is renewed until it is finished or released.
    """

    def __init__(
        self, *, idempotency: Idempotency, held: Held, settings: IdempotencySettings
    ) -> None:
        self._idempotency = idempotency
        self._held = held
        self._settings = settings

    async def begin(self, request: RouteRequest, owner: str) -> Completion | None:
        """The answer given before, or None: then `finish` or `release` must follow.

        Raises IdempotencyConflict, IdempotencyRunning.
        """
        if not request.options.idempotency_key:
            return None
        key, print_ = _key(request, owner), _fingerprint(request)
        claim = await self._idempotency.claim(key, print_, self._settings.running_s)
        if claim.state is ClaimState.CONFLICT:
            raise IdempotencyConflict(
                "this idempotency key was used for another request: use a new key"
            )
        if claim.state is ClaimState.RUNNING:
            raise IdempotencyRunning("the first request with this key is still running: wait")
        if claim.state is ClaimState.NEW:
            self._held.claims[owner] = key
        return _decode(claim.payload) if claim.state is ClaimState.DONE else None

    async def finish(self, request: RouteRequest, owner: str, completion: Completion) -> None:
        """Keep the completion, which a retry would pay again. Raises StorageUnavailable."""
        if not request.options.idempotency_key:
            return
        key, payload = _key(request, owner), _encode(completion)
        keep_s, print_ = self._settings.keep_s, _fingerprint(request)
        await retry_write(lambda: self._idempotency.finish(key, payload, keep_s, print_))

    def leave(self, owner: str) -> None:
        """Renew the claim no longer, if there is one: unless it is finished, it lapses soon."""
        self._held.claims.pop(owner, None)

    async def release(self, request: RouteRequest, owner: str) -> None:
        """Does nothing for another owner's claim, so it is safe whatever `begin` came to.

        It is not renewed from here on: it lapses soon where this cannot be written.
        """
        if request.options.idempotency_key:
            self.leave(owner)
            key = _key(request, owner)
            await retry_write(lambda: self._idempotency.release(key))


def _fingerprint(request: RouteRequest) -> str:
    labels = (request.task,) if request.task or request.plan else ()
    plan = (request.plan,) if request.plan else ()
    return request_digest(request.chat, request.options, *labels, *plan)


def _key(request: RouteRequest, owner: str) -> ClaimKey:
    return ClaimKey(request.tenant.scope, request.options.idempotency_key, owner)
