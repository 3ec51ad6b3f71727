"""The last turn of each session, its embedding in half floats."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

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
        kept = encode(replace(turn, embedding=_halved(turn.embedding)))
        before = await self._client.call("SET", key, kept, "EX", ttl_s, "GET")
        try:
            return _widened(_turn.decode(before), len(turn.embedding)) if before else None
        except StorageCorrupt:
            return None  # the new turn has taken its place


def _halved(embedding: bytes) -> bytes:
    return np.frombuffer(embedding, dtype="<f4").astype("<f2").tobytes()


def _widened(turn: SessionTurn, size: int) -> SessionTurn:
    """Returns the turn as it was given. size: in bytes; an earlier version kept them whole."""
    if len(turn.embedding) * 2 != size:
        return turn
    whole = np.frombuffer(turn.embedding, dtype="<f2").astype("<f4").tobytes()
    return replace(turn, embedding=whole)
