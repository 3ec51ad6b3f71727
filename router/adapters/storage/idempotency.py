"""Claims on idempotency keys. A running claim lapses after its lease, a finished one is kept."""

from __future__ import annotations

from collections.abc import Sequence

from router.adapters.storage.client import Client, load
from router.adapters.storage.keys import Keys
from router.domain.tenants import LEASE_S
from router.ports.state import Claim, ClaimKey, ClaimState

MOST_AT_ONCE = 500
_CLAIM = load("once_claim")
_FINISH = load("once_finish")
_RENEW = load("once_renew")
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

    async def renew(self, keys: Sequence[ClaimKey], ttl_s: int = LEASE_S) -> None:
        places, owners = [self._place(key) for key in keys], [key.owner for key in keys]
        for start in range(0, len(keys), MOST_AT_ONCE):
            batch = slice(start, start + MOST_AT_ONCE)
            await self._client.script(_RENEW, places[batch], ttl_s, *owners[batch])

    async def finish(
        self, key: ClaimKey, payload: bytes, ttl_s: int, fingerprint: str = ""
    ) -> None:
        await self._client.script(
            _FINISH, self._places(key), key.owner, payload, ttl_s, fingerprint
        )

    async def release(self, key: ClaimKey) -> None:
        await self._client.script(_RELEASE, self._places(key), key.owner)

    def _places(self, key: ClaimKey) -> list[str]:
        return [self._place(key)]

    def _place(self, key: ClaimKey) -> str:
        return self._keys.idempotency(key.tenant, key.key)
