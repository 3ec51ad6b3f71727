"""What requests leave to the next ones for a while: circuit breakers, sessions, conversations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec
import numpy as np

from router.adapters.storage.client import Client, load
from router.adapters.storage.codec import Codec, encode
from router.adapters.storage.keys import Keys
from router.domain.conversations import Conversation, Seen
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


class _Kept(msgspec.Struct, array_like=True):
    """A conversation without the names of fields, each deployment's name once.

    tokens, ages_ms: of those that have read of it, in the order of the names; the age is how long
    before `at_ms`. first, last: indexes of names, -1 for none.
    """

    names: list[str] = []
    tokens: list[int] = []
    ages_ms: list[int] = []
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

    async def find(self, keys: Sequence[str]) -> Sequence[Conversation | None]:
        if not keys:
            return ()
        found = await self._client.call("MGET", *map(self._keys.turn, keys))
        return [None if data is None else _unfolded(data) for data in found]

    async def keep(self, key: str, conversation: Conversation, ttl_s: int) -> None:
        data = encode(_folded(conversation))
        await self._client.call("SET", self._keys.turn(key), data, "EX", ttl_s)


def _folded(conversation: Conversation) -> _Kept:
    seen = conversation.seen
    at_ms = max((s.at_ms for _, s in seen), default=0)
    ends = (conversation.first, conversation.last)
    names = list(dict.fromkeys((*(name for name, _ in seen), *filter(None, ends))))
    first, last = (names.index(name) if name else -1 for name in ends)
    return _Kept(
        names,
        [s.tokens for _, s in seen],
        [at_ms - s.at_ms for _, s in seen],
        at_ms,
        conversation.turns,
        first,
        last,
        conversation.spent_usd,
        conversation.stay_usd,
    )


def _unfolded(data: bytes) -> Conversation | None:
    """None for what can't be read: the conversation goes on as a new one."""
    try:
        kept = _kept.decode(data)
    except StorageCorrupt:
        return None
    names = kept.names
    if not (len(kept.tokens) == len(kept.ages_ms) <= len(names)):
        return None
    if max(kept.first, kept.last) >= len(names):
        return None
    read = zip(names, kept.tokens, kept.ages_ms, strict=False)
    return Conversation(
        seen=tuple((name, Seen(tokens, kept.at_ms - age)) for name, tokens, age in read),
        turns=kept.turns,
        first=names[kept.first] if kept.first >= 0 else "",
        last=names[kept.last] if kept.last >= 0 else "",
        spent_usd=kept.spent_usd,
        stay_usd=kept.stay_usd,
    )
