"""Answers given before: to the same key, or to a like prompt."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from router.domain.bounds import Count, Similarity
from router.domain.errors import (
    IdempotencyConflict,
    IdempotencyRunning,
    StorageCorrupt,
    StorageUnavailable,
)
from router.domain.records import CachedAnswer, CacheKey, DecisionRecord
from router.domain.requests import Completion, RouteRequest, request_digest
from router.domain.tenants import LEASE_S
from router.ports.observer import Observer
from router.ports.state import AnswerCache, ClaimKey, ClaimState, Idempotency
from router.ports.upstream import Embedding
from router.runtime.background import retry_write
from router.serving.leases import Held


@dataclass(frozen=True, slots=True)
class ResponseCacheSettings:
    """The answer cache of each tenant.

    Only answers that passed their gate are kept. One prompt gets another's answer only where both
    are one line of 500 characters at most and differ in politeness, contractions, a final mark or
    another of the wordings that change nothing.
    """

    enabled: bool = True
    """Read and write the answer cache."""
    ttl_s: Count = 3_600
    """How long an answer is kept."""
    semantic_threshold: Similarity | None = 0.85
    """Cosine similarity that another wording of a prompt needs to get its answer; null: none gets
    it."""
    max_entries_per_partition: Count = 1_000
    """Answers kept for similarity look-ups among requests alike but for the wording of the last
    user message."""


@dataclass(frozen=True, slots=True)
class Hit:
    cached: CachedAnswer
    similarity: float


class ResponseCache:
    """A cache that is away or damaged is a cache that misses."""

    def __init__(
        self, *, cache: AnswerCache, observer: Observer, settings: ResponseCacheSettings
    ) -> None:
        self._cache = cache
        self._observer = observer
        self._settings = settings

    @property
    def enabled(self) -> bool:
        return self._settings.enabled

    async def exact(self, key: CacheKey) -> Hit | None:
        try:
            cached = await self._cache.get(key)
        except (StorageUnavailable, StorageCorrupt):
            self._observer.degraded("cache")
            return None
        return Hit(cached, 1.0) if cached else None

    async def similar(self, key: CacheKey, embedding: Embedding | None) -> Hit | None:
        """Find the nearest answer. embedding: None where only the same request may be answered."""
        threshold = self._settings.semantic_threshold
        if threshold is None or embedding is None:
            return None
        try:
            found = await self._cache.similar(key, embedding, threshold)
        except (StorageUnavailable, StorageCorrupt):
            self._observer.degraded("cache")
            return None
        return Hit(*found) if found else None

    async def put(self, key: CacheKey, embedding: Embedding | None, cached: CachedAnswer) -> None:
        """Keep an answer. embedding: None where only the same request may find it."""
        semantic = self._settings.semantic_threshold is not None
        try:
            await self._cache.put(
                key, embedding if semantic else None, cached, self._settings.ttl_s
            )
        except (StorageUnavailable, StorageCorrupt):
            self._observer.degraded("cache")

    async def evict(self, record: DecisionRecord) -> None:
        """An answer that its caller found bad is not given to another."""
        try:
            await self._cache.evict(record.cache_exact, record.cache_partition)
        except (StorageUnavailable, StorageCorrupt):
            self._observer.degraded("cache")


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Completion).decode


@dataclass(frozen=True, slots=True)
class IdempotencySettings:
    """running_s: a claim that its owner does not renew is free again after this long."""

    running_s: int = LEASE_S
    keep_s: int = 86_400


class IdempotencyGuard:
    """Answers a repeated key from the first answer. owner: the id of the request that asks.

    held: a claim is renewed until it is finished or released.
    """

    def __init__(
        self, *, idempotency: Idempotency, held: Held, settings: IdempotencySettings
    ) -> None:
        self._idempotency = idempotency
        self._held = held
        self._settings = settings

    async def begin(self, request: RouteRequest, owner: str) -> Completion | None:
        """The answer given before, or None: then `finish` or `release` must follow.

        Raises IdempotencyConflict, IdempotencyRunning.
        """
        if not request.options.idempotency_key:
            return None
        key, print_ = _key(request, owner), _fingerprint(request)
        claim = await self._idempotency.claim(key, print_, self._settings.running_s)
        if claim.state is ClaimState.CONFLICT:
            raise IdempotencyConflict(
                "this idempotency key was used for another request: use a new key"
            )
        if claim.state is ClaimState.RUNNING:
            raise IdempotencyRunning("the first request with this key is still running: wait")
        if claim.state is ClaimState.NEW:
            self._held.claims[owner] = key
        return _decode(claim.payload) if claim.state is ClaimState.DONE else None

    async def finish(self, request: RouteRequest, owner: str, completion: Completion) -> None:
        """Keep the completion, which a retry would pay again. Raises StorageUnavailable."""
        if not request.options.idempotency_key:
            return
        key, payload = _key(request, owner), _encode(completion)
        keep_s, print_ = self._settings.keep_s, _fingerprint(request)
        await retry_write(lambda: self._idempotency.finish(key, payload, keep_s, print_))

    def leave(self, owner: str) -> None:
        """Renew the claim no longer, if there is one: unless it is finished, it lapses soon."""
        self._held.claims.pop(owner, None)

    async def release(self, request: RouteRequest, owner: str) -> None:
        """Does nothing for another owner's claim, so it is safe whatever `begin` came to.

        It is not renewed from here on: it lapses soon where this cannot be written.
        """
        if request.options.idempotency_key:
            self.leave(owner)
            key = _key(request, owner)
            await retry_write(lambda: self._idempotency.release(key))


def _fingerprint(request: RouteRequest) -> str:
    return request_digest(request.chat, request.options)


def _key(request: RouteRequest, owner: str) -> ClaimKey:
    return ClaimKey(request.tenant.name, request.options.idempotency_key, owner)
