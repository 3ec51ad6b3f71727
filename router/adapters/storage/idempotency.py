"""Claims on idempotency keys. A running claim lapses after its lease, a finished one is kept."""

from __future__ import annotations

from router.adapters.storage.client import Client
from router.adapters.storage.keys import Keys
from router.adapters.storage.scripts import load
from router.core.ports import Claim, ClaimState

_CLAIM = load("once_claim")
_FINISH = load("once_finish")
_RELEASE = load("once_release")


class RedisIdempotency:
    """Implements `router.core.ports.Idempotency`."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    async def claim(self, tenant: str, key: str, fingerprint: str, ttl_s: int) -> Claim:
        """ttl_s: how long the claim of a caller that crashes blocks the others."""
        place = [self._keys.idempotency(tenant, key)]
        state, payload = await self._client.script(_CLAIM, place, fingerprint, ttl_s)
        return Claim(ClaimState(state.decode()), payload)

    async def finish(self, tenant: str, key: str, payload: bytes, ttl_s: int) -> None:
        place = [self._keys.idempotency(tenant, key)]
        await self._client.script(_FINISH, place, payload, ttl_s)

    async def release(self, tenant: str, key: str) -> None:
        await self._client.script(_RELEASE, [self._keys.idempotency(tenant, key)])
