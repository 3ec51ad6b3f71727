"""Who learns."""

from __future__ import annotations

from router.adapters.storage.client import Client
from router.adapters.storage.keys import Keys
from router.adapters.storage.scripts import load

_ACQUIRE = load("lease_acquire")
_RELEASE = load("lease_release")


class RedisLease:
    """Implements `router.ports.state.Lease`."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    async def acquire(self, owner: str, ttl_ms: int) -> int | None:
        fence: int | None = await self._client.script(
            _ACQUIRE, [self._keys.lease, self._keys.fence], owner, ttl_ms
        )
        return fence

    async def release(self, owner: str) -> None:
        await self._client.script(_RELEASE, [self._keys.lease], owner)
