"""Callers that were seen, remembered for a while."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

from router.degraded.continuity import Bounded, Continuity
from router.domain.errors import KeyExpired, StorageUnavailable, TenantNotFound
from router.domain.tenancy import EXPIRED
from router.domain.tenants import Tenant
from router.ports import Clock
from router.ports.state import TenantLookup

MOST: Final = 10_000


@dataclass(frozen=True, slots=True)
class _Seen:
    at_s: float
    keep_s: float
    tenant: Tenant

    @property
    def expires_s(self) -> float:
        return self.at_s + self.tenant.valid_s

    @property
    def until_s(self) -> float:
        return min(self.at_s + self.keep_s, self.expires_s)


class RememberingTenants:
    """Knows keys for a while after they were seen; one that was seen revoked is forgotten."""

    def __init__(
        self, inner: TenantLookup, continuity: Continuity, keep_s: float, clock: Clock
    ) -> None:
        self._inner = inner
        self._continuity = continuity
        self._keep_s = keep_s
        self._clock = clock
        self._seen: Bounded[str, _Seen] = Bounded(MOST)
        self._scopes: Bounded[str, Tenant] = Bounded(MOST)

    async def find(self, key_hash: str) -> Tenant | None:
        return await self._found(key_hash, lambda: self._inner.find(key_hash))

    async def show(self, name: str) -> Tenant:
        """Raises TenantNotFound."""
        found = await self._found(f"name:{name}", lambda: self._shown(name))
        if found is None:
            raise TenantNotFound("no tenant has this name")
        return found

    def of_scope(self, scope: str) -> Tenant | None:
        """Returns a tenant that was seen, whenever that was."""
        return self._scopes.get(scope)

    def can_serve(self) -> bool:
        """True while a caller is remembered who may be served without the store."""
        return any(
            self._clock() < seen.until_s and self._continuity.may_degrade(seen.tenant)
            for seen in reversed(self._seen.values())
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
            found = await self._continuity.noting(ask())
        except KeyExpired:
            self._seen.pop(key, None)
            raise
        except StorageUnavailable:
            if known is None:
                self._check_expiry(key)
                raise
            return known
        if found is None:
            self._seen.pop(key, None)
        else:
            self._seen.put(key, _Seen(self._clock(), self._keep_s, found))
            self._scopes.put(found.scope, found)
        return found

    def _fresh(self, key: str) -> Tenant | None:
        seen, now_s = self._seen.get(key), self._clock()
        if seen is None or now_s >= seen.until_s or not self._continuity.may_degrade(seen.tenant):
            return None
        return replace(seen.tenant, valid_s=seen.expires_s - now_s)

    def _check_expiry(self, key: str) -> None:
        """Raises KeyExpired for a key whose time ended while the store is away."""
        seen = self._seen.get(key)
        if seen is not None and self._clock() >= seen.expires_s:
            raise KeyExpired(EXPIRED)
