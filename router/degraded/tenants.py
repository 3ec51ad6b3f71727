"""Callers that were seen, remembered for a while."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from router.degraded.continuity import Bounded, Continuity
from router.domain.errors import StorageUnavailable, TenantNotFound
from router.domain.tenants import Tenant
from router.ports import Clock
from router.ports.state import TenantLookup

MOST: Final = 10_000


class RememberingTenants:
    """Knows keys for a while after they were seen; one that was seen revoked is forgotten."""

    def __init__(
        self, inner: TenantLookup, continuity: Continuity, keep_s: float, clock: Clock
    ) -> None:
        self._inner = inner
        self._continuity = continuity
        self._keep_s = keep_s
        self._clock = clock
        self._seen: Bounded[str, tuple[float, Tenant]] = Bounded(MOST)
        self._names: Bounded[str, Tenant] = Bounded(MOST)

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
            found = await self._continuity.noting(ask())
        except StorageUnavailable:
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
