"""Claims on idempotency keys. A running claim lapses after its lease, a finished one is kept."""

from __future__ import annotations

from router.adapters.storage.client import Client, load
from router.adapters.storage.keys import Keys
from router.ports.state import Claim, ClaimKey, ClaimState

_CLAIM = load("once_claim")
_FINISH = load("once_finish")
_RELEASE = load("once_release")


class RedisIdempotency:
    """Implements `router.ports.state.Idempotency`."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    async def claim(self, key: ClaimKey, fingerprint: str, ttl_s: int) -> Claim:
        state, payload = await self._client.script(
            _CLAIM, self._places(key), key.owner, fingerprint, ttl_s
        )
        return Claim(ClaimState(state.decode()), payload)

    async def finish(self, key: ClaimKey, payload: bytes, ttl_s: int) -> None:
        await self._client.script(_FINISH, self._places(key), key.owner, payload, ttl_s)

    async def release(self, key: ClaimKey) -> None:
        await self._client.script(_RELEASE, self._places(key), key.owner)

    def _places(self, key: ClaimKey) -> list[str]:
        return [self._keys.idempotency(key.tenant, key.key)]
