"""Answers given before to the same request or a like prompt, and those that are on their way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Annotated

from annotated_types import Ge, Le

from router.domain.bounds import WHOLE, Count, Similarity
from router.domain.errors import StorageCorrupt, StorageUnavailable
from router.domain.records import CachedAnswer, CacheKey
from router.ports.observer import Observer
from router.ports.state import AnswerCache
from router.ports.upstream import Embedding
from router.runtime.background import retry_write
from router.serving.leases import ANSWERING_S, Held


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
    """Wordings of one prompt that others are compared with, the newest ones; 16 at most, whatever
    stands here."""
    coalesce_wait_ms: Annotated[int, WHOLE, Ge(0), Le(600_000)] = 30_000
    """Longest wait of a request for the answer to the same one under way, in any router, and three
    quarters of its deadline at most. Then it is answered by itself. 0: no request waits."""


@dataclass(frozen=True, slots=True)
class Hit:
    cached: CachedAnswer
    similarity: float


class Ending(Enum):
    """How a flight ended without an answer for others.

    LEFT: nothing is known of the request. IN_VAIN: it got an answer that may not be shared. FAILED:
    it got none, or another router does not tell. AWAY: the store does not tell.
    """

    LEFT = "left"
    IN_VAIN = "in_vain"
    FAILED = "failed"
    AWAY = "away"


@dataclass(slots=True, eq=False)
class Flight:
    """A request under way, whose answer all that ask the same wait for.

    owner: the id of the request that began it. remote: another router finds the answer, and the
    owner waits too. landed: set to what to serve, or None. watch: looks for a remote one's answer.
    """

    key: CacheKey
    owner: str
    landed: asyncio.Future[Hit | None]
    remote: bool = False
    followers: int = 0
    ending: Ending = Ending.LEFT
    watch: asyncio.Task[None] | None = None

    def is_led_by(self, request_id: str) -> bool:
        return self.owner == request_id and not self.remote


Fits = Callable[[CachedAnswer], bool]
"""True if an answer given before may be served to a request."""


class ResponseCache:
    """A cache that is away or damaged is a cache that misses."""

    def __init__(
        self,
        *,
        cache: AnswerCache,
        observer: Observer,
        settings: ResponseCacheSettings,
        held: Held | None = None,
    ) -> None:
        self._cache = cache
        self._observer = observer
        self._settings = settings
        self._held = held or Held()
        self._flights: dict[str, Flight] = {}

    @property
    def enabled(self) -> bool:
        return self._settings.enabled

    @property
    def coalesce_wait_ms(self) -> int:
        return self._settings.coalesce_wait_ms

    async def join(self, key: CacheKey, owner: str, fits: Fits) -> tuple[Hit | None, Flight | None]:
        """Look the whole request up, and join those who ask the same or be the first of them.

        Who is the first must `leave`, whatever happens.
        """
        flight = self._flights.get(key.exact)
        if flight is None and self._settings.coalesce_wait_ms:
            return await self._take_off(key, owner, fits)
        hit = await self.exact(key)
        return (hit if hit and fits(hit.cached) else None), flight

    async def _take_off(
        self, key: CacheKey, owner: str, fits: Fits
    ) -> tuple[Hit | None, Flight | None]:
        landed = asyncio.get_running_loop().create_future()
        flight = self._flights[key.exact] = Flight(key, owner, landed)
        try:
            hit, leads = await self._claim(key, owner, fits)
        except (StorageUnavailable, StorageCorrupt):
            self._observer.degraded("cache")
            self.land(flight, None, Ending.AWAY)
            return None, None
        if hit is not None:
            self.land(flight, hit)
        elif not landed.done():
            flight.remote = not leads
            if leads:
                self._held.answers[key.exact] = owner
            return None, flight
        elif leads:
            await self._release(key, owner)  # its request ended meanwhile
        return hit, None

    async def _claim(self, key: CacheKey, owner: str, fits: Fits) -> tuple[Hit | None, bool]:
        cached, leads = await self._cache.claim(key, owner, ANSWERING_S)
        if cached is not None and not fits(cached):
            await self._cache.evict(key.exact, key.partition)
            cached, leads = await self._cache.claim(key, owner, ANSWERING_S)
        return (Hit(cached, 1.0) if cached else None), leads

    def land(self, flight: Flight, hit: Hit | None, ending: Ending = Ending.LEFT) -> None:
        """Let all go that wait; the next who asks the same begins anew."""
        if self._flights.get(flight.key.exact) is flight:
            del self._flights[flight.key.exact]
        if not flight.landed.done():
            flight.ending = ending
            flight.landed.set_result(hit)

    async def leave(
        self, key: CacheKey, owner: str, hit: Hit | None = None, ending: Ending = Ending.LEFT
    ) -> None:
        """End the flight that this request began, if it did and nobody watches for its answer."""
        flight = self._flights.get(key.exact)
        if flight is None or flight.owner != owner or flight.watch is not None:
            return
        if hit is not None:
            self.land(flight, hit)
        try:
            if not flight.remote:
                await self._release(key, owner)
        finally:  # who leads next must find the key free
            self.land(flight, hit, ending)

    async def _release(self, key: CacheKey, owner: str) -> None:
        """Where the store is not told, the claim lapses."""
        if self._held.answers.get(key.exact) == owner:
            del self._held.answers[key.exact]
        try:
            await self._cache.release(key, owner)
        except StorageUnavailable:
            self._observer.degraded("cache")

    async def look(self, key: CacheKey) -> tuple[Hit | None, bool]:
        """The answer that another router finds, and whether it is at it. Raises RouterError."""
        # In this order: what is released has been put before.
        claimed, cached = await asyncio.gather(self._cache.claimed(key), self._cache.get(key))
        return (Hit(cached, 1.0) if cached else None), claimed

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

    async def evict(self, exact: str, partition: str, patience_s: float = 0.0) -> bool:
        """An answer that was found bad is not given to another. Returns whether it is gone.

        patience_s: how long it is tried. A decision of a router without a cache has no place.
        """
        if not exact:
            return True
        try:
            await retry_write(lambda: self._cache.evict(exact, partition), patience_s)
        except (StorageUnavailable, StorageCorrupt):
            self._observer.degraded("cache")
            return False
        return True
