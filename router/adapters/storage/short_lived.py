"""Keeps what requests leave to the next ones: circuit breakers, sessions, conversations."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from hashlib import blake2b
from typing import Final

import msgspec
import numpy as np

from router.adapters.storage.client import Client, load
from router.adapters.storage.codec import Codec, encode
from router.adapters.storage.keys import Keys
from router.domain import MS_PER_S
from router.domain.conversations import MOST_SEEN, Conversation, Seen
from router.domain.errors import StorageCorrupt
from router.domain.records import SessionTurn
from router.ports.state import Health, HealthPolicy

_STATES = (Health.CLOSED, Health.HALF_OPEN, Health.OPEN)
_READ = load("health_common", "health_states")
_ADMIT = load("health_common", "health_admit")
_SUCCEEDED = load("health_common", "health_succeeded")
_GIVE_BACK = load("health_give_back")
_FAILED = load("health_common", "health_failed")

_turn = Codec(SessionTurn)


class RedisHealthBoard:
    """Implements `router.ports.state.HealthBoard` on the server's clock."""

    def __init__(self, client: Client, keys: Keys, policy: HealthPolicy) -> None:
        self._client = client
        self._keys = keys
        self._policy = policy

    async def states(self, deployments: Sequence[str]) -> Mapping[str, Health]:
        keys = [self._keys.health(name) for name in deployments]
        found = await self._client.script(_READ, keys)
        return {name: _STATES[state] for name, state in zip(deployments, found, strict=True)}

    async def admit(self, deployment: str) -> bool:
        key = self._keys.health(deployment)
        return bool(await self._client.script(_ADMIT, [key], self._policy.probe_ms))

    async def succeeded(self, deployment: str) -> None:
        await self._client.script(_SUCCEEDED, [self._keys.health(deployment)])

    async def failed(self, deployment: str, retry_after_ms: int | None = None) -> None:
        policy = self._policy
        await self._client.script(
            _FAILED,
            [self._keys.health(deployment)],
            policy.failures,
            policy.cooldown_ms,
            policy.max_cooldown_ms,
            policy.max_retry_after_ms,
            -1 if retry_after_ms is None else retry_after_ms,
        )

    async def give_back(self, deployment: str) -> None:
        await self._client.script(_GIVE_BACK, [self._keys.health(deployment)])


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


_READING: Final = struct.Struct("<4sIH")
_MOST_TOKENS: Final = 2**32 - 1
_MOST_AGE_S: Final = 2**16 - 1
_MOST_TURNS: Final = 2**31
_MOST_MS: Final = 2**48


class _Kept(msgspec.Struct, array_like=True):
    """A conversation in few bytes: deployments by their marks, without the names of fields.

    readings: mark, tokens and age of each deployment that has read of it. The age is in whole
    seconds before `at_ms`. The first and the last deployment stand here too; one that has read
    nothing has no tokens. first, last: numbers of readings, -1 for none.
    """

    readings: bytes = b""
    at_ms: int = 0
    turns: int = 0
    first: int = -1
    last: int = -1
    spent_usd: float = 0.0
    stay_usd: float = 0.0


_kept = Codec(_Kept)


class RedisConversations:
    """Implements `router.ports.state.Conversations`."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    async def find(
        self, keys: Sequence[str], deployments: Sequence[str]
    ) -> Sequence[Conversation | None]:
        if not keys:
            return ()
        found = await self._client.call("MGET", *map(self._keys.turn, keys))
        names = {_mark(name): name for name in deployments} if any(found) else {}
        return [None if data is None else _unfolded(data, names) for data in found]

    async def keep(self, key: str, conversation: Conversation, ttl_s: int) -> None:
        data = encode(_folded(conversation))
        await self._client.call("SET", self._keys.turn(key), data, "EX", ttl_s)


@lru_cache(maxsize=1_024)
def _mark(deployment: str) -> bytes:
    """Returns bytes that stand for a name, which may be long."""
    return blake2b(deployment.encode(), digest_size=4).digest()


def _folded(conversation: Conversation) -> _Kept:
    at_ms = max((seen.at_ms for _, seen in conversation.seen), default=0)
    readings = {name: _reading(name, seen, at_ms) for name, seen in conversation.seen}
    ends = (conversation.first, conversation.last)
    readings |= {
        name: _READING.pack(_mark(name), 0, 0) for name in ends if name and name not in readings
    }
    names = list(readings)
    first, last = (names.index(name) if name else -1 for name in ends)
    return _Kept(
        b"".join(readings.values()),
        at_ms,
        conversation.turns,
        first,
        last,
        conversation.spent_usd,
        conversation.stay_usd,
    )


def _reading(name: str, seen: Seen, at_ms: int) -> bytes:
    """Returns what is kept of it; it may become older, and is forgotten where it is very old."""
    age_s = -((seen.at_ms - at_ms) // MS_PER_S)
    tokens = min(seen.tokens, _MOST_TOKENS) if age_s <= _MOST_AGE_S else 0
    return _READING.pack(_mark(name), tokens, min(age_s, _MOST_AGE_S))


def _is_sound(kept: _Kept, readings: int) -> bool:
    """Returns whether it can have been written by a router."""
    return (
        readings <= MOST_SEEN + 2
        and 0 <= kept.at_ms <= _MOST_MS
        and 0 <= kept.turns <= _MOST_TURNS
        and all(-1 <= end < readings for end in (kept.first, kept.last))
        and all(0 <= usd < math.inf for usd in (kept.spent_usd, kept.stay_usd))
    )


def _unfolded(data: bytes, names: Mapping[bytes, str]) -> Conversation | None:
    """None for what can't be read: the conversation goes on as a new one."""
    try:
        kept = _kept.decode(data)
        readings = list(_READING.iter_unpack(kept.readings))
    except (StorageCorrupt, struct.error):
        return None
    if not _is_sound(kept, len(readings)):
        return None
    known = [names.get(mark, "") for mark, _, _ in readings]
    return Conversation(
        seen=tuple(
            (name, Seen(tokens, kept.at_ms - age_s * MS_PER_S))
            for name, (_, tokens, age_s) in zip(known, readings, strict=True)
            if name and tokens
        ),
        turns=kept.turns,
        first=known[kept.first] if kept.first >= 0 else "",
        last=known[kept.last] if kept.last >= 0 else "",
        spent_usd=kept.spent_usd,
        stay_usd=kept.stay_usd,
    )
