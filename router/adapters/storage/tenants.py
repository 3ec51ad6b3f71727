"""Tenants by the hash of their API key; no key is ever stored."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from router.adapters.storage.client import Client, load
from router.adapters.storage.codec import Codec, encode
from router.adapters.storage.keys import Keys
from router.domain import MS_PER_S
from router.domain.errors import (
    KeyExpired,
    KeyNotFound,
    StorageCorrupt,
    TenantExists,
    TenantNotFound,
    TooManyKeys,
)
from router.domain.tenancy import EXPIRED, MOST_KEYS, NO_FACTS, ApiKey, KeyFacts
from router.domain.tenants import Tenant, TenantLimits

_FIND = load("tenant_find")
_CREATE = load("tenants_common", "tenant_create")
_REKEY = load("tenants_common", "tenant_rekey")
_ADD = load("tenants_common", "tenant_key_add")
_KEYS = load("tenants_common", "tenant_keys")
_REVOKE = load("tenants_common", "tenant_key_revoke")
_DELETE = load("tenants_common", "tenant_delete")
_LIMIT = load("tenant_limit")
_limits = Codec(TenantLimits)
_facts = Codec(KeyFacts)
NO_KEY: Final = "no key of this tenant has an id that begins so"


class RedisTenantDirectory:
    """Implements `router.ports.state.TenantDirectory`."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client = client
        self._lookup = [keys.key_owners, keys.tenants, keys.key_facts, keys.generations]
        self._all = [keys.key_owners, keys.tenants, keys.current_keys, *self._lookup[2:]]
        self._tenants, self._generations = keys.tenants, keys.generations

    async def find(self, key_hash: str) -> Tenant | None:
        found = await self._client.script(_FIND, self._lookup, key_hash)
        if not found:
            return None
        limits, generation = _limits.decode(found[1]), found[4].decode()
        tenant = Tenant(found[0].decode(), limits, generation=generation)
        until_ms = _facts_of(found[2]).expires_ms
        if not until_ms:
            return tenant
        valid_s = (until_ms - found[3]) / MS_PER_S
        if valid_s <= 0:
            raise KeyExpired(EXPIRED)
        return replace(tenant, valid_s=valid_s)

    async def create(self, tenant: Tenant, key_hash: str, facts: KeyFacts = NO_FACTS) -> None:
        told = tenant.name, encode(tenant.limits), key_hash, encode(facts)
        if not await self._client.script(_CREATE, self._all, *told):
            raise TenantExists(
                "a tenant of this name exists: choose another name or rotate its key"
            )

    async def rotate(self, name: str, key_hash: str, facts: KeyFacts = NO_FACTS) -> None:
        _require(await self._client.script(_REKEY, self._all, name, key_hash, encode(facts)))

    async def revoke(self, name: str) -> int:
        stopped = await self._client.script(_REKEY, self._all, name, "", "")
        _require(stopped)
        return int(stopped) - 1

    async def add_key(self, name: str, key_hash: str, facts: KeyFacts = NO_FACTS) -> None:
        told = name, key_hash, encode(facts), MOST_KEYS
        added = await self._client.script(_ADD, self._all, *told)
        _require(added)
        if added < 0:
            raise TooManyKeys(
                f"a tenant has at most {MOST_KEYS} keys: revoke one, or an expired one"
            )

    async def keys(self, name: str) -> Sequence[ApiKey]:
        told = await self._client.script(_KEYS, self._all, name)
        _require(told)
        now_ms, *flat = told
        found = [_key(*pair, now_ms) for pair in zip(flat[::2], flat[1::2], strict=True)]
        return sorted(found, key=lambda key: (key.facts.created_ms, key.hash))

    async def every_key(self) -> Mapping[str, Sequence[ApiKey]]:
        """Return the keys of each tenant that has any."""
        owners, facts, now_ms = await asyncio.gather(
            self._client.call("HGETALL", self._lookup[0]),
            self._client.call("HGETALL", self._lookup[2]),
            self.now_ms(),
        )
        known = dict(zip(facts[::2], facts[1::2], strict=True))
        found: dict[str, list[ApiKey]] = {}
        for key_hash, name in zip(owners[::2], owners[1::2], strict=True):
            own = found.setdefault(name.decode(), [])
            own.append(_key(key_hash, known.get(key_hash, b""), now_ms))
        return found

    async def revoke_key(self, name: str, beginning: str) -> ApiKey:
        told = await self._client.script(_REVOKE, self._all, name, beginning.lower())
        _require(told)
        found, *facts = told
        if not facts:
            how = f"{found} keys of this tenant have ids that begin so" if found else NO_KEY
            raise KeyNotFound(f"{how}: `adaptive-router tenant key list` shows them")
        return _key(found, facts[0], 0)

    async def delete(self, name: str) -> None:
        await self._client.script(_DELETE, self._all, name)

    async def limit(self, name: str, limits: TenantLimits) -> None:
        _require(await self._client.script(_LIMIT, [self._tenants], name, encode(limits)))

    async def show(self, name: str) -> Tenant:
        places = (self._tenants, self._generations)
        limits, generation = await self._client.call_many([("HGET", at, name) for at in places])
        _require(limits)
        return Tenant(name, _limits.decode(limits), generation=(generation or b"").decode())

    async def list(self) -> Sequence[Tenant]:
        """Every tenant, revoked ones included, by name."""
        flat = await self._client.call("HGETALL", self._tenants)
        pairs = zip(flat[::2], flat[1::2], strict=True)
        return sorted((Tenant(n.decode(), _limits.decode(v)) for n, v in pairs), key=_name)

    async def now_ms(self) -> int:
        seconds, micros = await self._client.call("TIME")
        return int(seconds) * MS_PER_S + int(micros) // 1_000


def _name(tenant: Tenant) -> str:
    return tenant.name


def _key(key_hash: bytes, facts: bytes, now_ms: int) -> ApiKey:
    try:
        known = _facts_of(facts)
    except StorageCorrupt:  # it lets nobody in, and can be revoked
        known = NO_FACTS
    return ApiKey(key_hash.decode(), known, expired=0 < known.expires_ms <= now_ms)


def _facts_of(data: bytes) -> KeyFacts:
    return _facts.decode(data) if data else NO_FACTS


def _require(found: object) -> None:
    if not found:
        raise TenantNotFound("no tenant has this name: `adaptive-router tenant create` makes one")
