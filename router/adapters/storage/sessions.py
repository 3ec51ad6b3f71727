"""The last turn of each session."""

from __future__ import annotations

from router.adapters.storage.client import Client
from router.adapters.storage.codec import Codec, encode
from router.adapters.storage.keys import Keys
from router.domain.errors import StorageCorrupt
from router.domain.records import SessionTurn

_turn = Codec(SessionTurn)


class RedisSessions:
    """Implements `router.ports.state.Sessions`."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    async def swap(
        self, tenant: str, session_id: str, turn: SessionTurn, ttl_s: int
    ) -> SessionTurn | None:
        key = self._keys.session(tenant, session_id)
        before = await self._client.call("SET", key, encode(turn), "EX", ttl_s, "GET")
        try:
            return _turn.decode(before) if before else None
        except StorageCorrupt:
            return None  # the new turn has taken its place
