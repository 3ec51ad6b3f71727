"""Answers given before: looked up by the whole request, then by similarity; never required."""

from __future__ import annotations

from dataclasses import dataclass

from router.domain.bounds import Count, Similarity
from router.domain.errors import StorageCorrupt, StorageUnavailable
from router.domain.records import CachedAnswer, CacheKey, DecisionRecord
from router.ports.observer import Observer
from router.ports.state import AnswerCache
from router.ports.upstream import Embedding


@dataclass(frozen=True, slots=True)
class ResponseCacheSettings:
    """The answer cache of each tenant.

    Only answers that passed their gate are kept. One prompt gets another's answer only where the
    embedding model saw all of both: 254 tokens at most, no unknown word.
    """

    enabled: bool = True
    """Read and write the answer cache."""
    ttl_s: Count = 3_600
    """How long an answer is kept."""
    semantic_threshold: Similarity | None = 0.97
    """Cosine similarity from which another prompt's answer is served; null: never."""
    max_entries_per_partition: Count = 1_000
    """Answers kept for similarity look-ups among requests alike but for the last user message."""


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
