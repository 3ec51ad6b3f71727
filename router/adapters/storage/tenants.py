"""Tenants by the hash of their API key; no key is ever stored."""

from __future__ import annotations

from collections.abc import Sequence

from router.adapters.storage.client import Client, load
from router.adapters.storage.codec import Codec, encode
from router.adapters.storage.keys import Keys
from router.domain.errors import TenantExists, TenantNotFound
from router.domain.tenants import Tenant, TenantLimits

_FIND = load("tenant_find")
_CREATE = load("tenants_common", "tenant_create")
_REKEY = load("tenants_common", "tenant_rekey")
_LIMIT = load("tenant_limit")
_limits = Codec(TenantLimits)


class RedisTenantDirectory:
    """Implements `router.ports.state.TenantDirectory`."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client = client
        self._lookup = [keys.key_owners, keys.tenants]
        self._all = [keys.key_owners, keys.tenants, keys.current_keys]
        self._tenants = keys.tenants

    async def find(self, key_hash: str) -> Tenant | None:
        found = await self._client.script(_FIND, self._lookup, key_hash)
        return Tenant(found[0].decode(), _limits.decode(found[1])) if found else None

    async def create(self, tenant: Tenant, key_hash: str) -> None:
        limits = encode(tenant.limits)
        if not await self._client.script(_CREATE, self._all, tenant.name, limits, key_hash):
            raise TenantExists(
                "a tenant of this name exists: choose another name or rotate its key"
            )

    async def rotate(self, name: str, key_hash: str) -> None:
        _require(await self._client.script(_REKEY, self._all, name, key_hash))

    async def revoke(self, name: str) -> None:
        _require(await self._client.script(_REKEY, self._all, name, ""))

    async def limit(self, name: str, limits: TenantLimits) -> None:
        _require(await self._client.script(_LIMIT, [self._tenants], name, encode(limits)))

    async def show(self, name: str) -> Tenant:
        limits = await self._client.call("HGET", self._tenants, name)
        _require(limits)
        return Tenant(name, _limits.decode(limits))

    async def list(self) -> Sequence[Tenant]:
        """Every tenant, revoked ones included, by name."""
        flat = await self._client.call("HGETALL", self._tenants)
        pairs = zip(flat[::2], flat[1::2], strict=True)
        return sorted((Tenant(n.decode(), _limits.decode(v)) for n, v in pairs), key=_name)


def _name(tenant: Tenant) -> str:
    return tenant.name


def _require(found: object) -> None:
    if not found:
        raise TenantNotFound("no tenant has this name: `adaptive-router tenant create` makes one")
