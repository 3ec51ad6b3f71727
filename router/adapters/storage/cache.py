"""Answers by the whole request, and by similarity within a partition.

The server's similarity is (1 + cosine) / 2; only the cosine leaves this file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import numpy as np

from router.adapters.storage.client import Client, load
from router.adapters.storage.codec import Codec, encode
from router.adapters.storage.keys import Keys
from router.adapters.storage.settings import CacheBounds
from router.domain.errors import StorageCorrupt
from router.domain.records import CachedAnswer, CacheKey
from router.ports.upstream import Embedding

MAX_EXPIRED = 16
MOST_AT_ONCE = 500
SCANNED = 500
READ = 32
"""Answers read at once by a purge: each has 256 KiB at most."""
ROUNDING = 1e-6
_PUT = load("cache_put")
_SIMILAR = load("cache_similar")
_EVICT = load("cache_evict")
_CLAIM = load("cache_claim")
_RENEW = load("cache_renew")
_RELEASE = load("lease_release")
_answer = Codec(CachedAnswer)


class RedisAnswerCache:
    """Implements `router.ports.state.AnswerCache`. What can't be decoded is a miss."""

    def __init__(self, client: Client, keys: Keys, bounds: CacheBounds) -> None:
        self._client = client
        self._keys = keys
        self._bounds = bounds

    async def get(self, key: CacheKey) -> CachedAnswer | None:
        return _decode(await self._client.call("GET", self._keys.answer(key.exact)))

    async def claim(
        self, key: CacheKey, owner: str, ttl_s: int
    ) -> tuple[CachedAnswer | None, bool]:
        places = [self._keys.answer(key.exact), self._keys.answering(key.exact)]
        told = await self._client.script(_CLAIM, places, owner, ttl_s)
        if isinstance(told, int):
            return None, bool(told)
        answer = _decode(told)
        return answer, answer is None  # what can't be read is answered anew, and replaced

    async def claimed(self, key: CacheKey) -> bool:
        return bool(await self._client.call("EXISTS", self._keys.answering(key.exact)))

    async def renew(self, owners: Mapping[str, str], ttl_s: int) -> None:
        exact = list(owners)
        for start in range(0, len(exact), MOST_AT_ONCE):
            some = exact[start : start + MOST_AT_ONCE]
            places = [self._keys.answering(one) for one in some]
            await self._client.script(_RENEW, places, ttl_s, *(owners[one] for one in some))

    async def release(self, key: CacheKey, owner: str) -> None:
        await self._client.script(_RELEASE, [self._keys.answering(key.exact)], owner)

    async def similar(
        self, key: CacheKey, embedding: Embedding, threshold: float
    ) -> tuple[CachedAnswer, float] | None:
        keys = [
            self._keys.vectors(key.partition),
            self._keys.ages(key.partition),
            self._keys.answers,
        ]
        # Scores are float32: without slack an equal vector could miss a threshold of 1.
        least = (1 + threshold) / 2 - ROUNDING
        found = await self._client.script(_SIMILAR, keys, _blob(embedding), least, MAX_EXPIRED)
        answer = _decode(found[0]) if found else None
        return (answer, min(1.0, 2 * float(found[1]) - 1)) if answer else None

    async def put(
        self, key: CacheKey, embedding: Embedding | None, cached: CachedAnswer, ttl_s: int
    ) -> None:
        payload = encode(cached)
        if len(payload) > self._bounds.max_entry_bytes:
            return
        vector = b"" if embedding is None else _blob(embedding)
        most = self._bounds.max_entries_per_partition
        keys = self._place(key.exact, key.partition)
        await self._client.script(_PUT, keys, payload, ttl_s, key.exact, vector, most)

    async def evict(self, exact: str, partition: str) -> None:
        await self._client.script(_EVICT, self._place(exact, partition), exact)

    async def purge(self, tenant: str, prompt: str = "") -> int:
        """Evict a tenant's answers, or those to the prompt of this digest. Returns their number.

        Entries of earlier versions name no tenant: they stay until they lapse. Raises
        StorageUnavailable.
        """
        removed, cursor = 0, b"0"
        while True:
            pattern = self._keys.answer("*")
            words = ("SCAN", cursor, "MATCH", pattern, "COUNT", SCANNED)
            cursor, places = await self._client.call(*words)
            for start in range(0, len(places), READ):
                found = await self._read(places[start : start + READ])
                own = [f for f in found if f.tenant == tenant and prompt in ("", f.prompt)]
                await asyncio.gather(*(self.evict(f.exact, f.partition) for f in own))
                removed += len(own)
            if cursor == b"0":
                return removed

    async def _read(self, places: Sequence[bytes]) -> list[CachedAnswer]:
        found = await self._client.call_many([("GET", place) for place in places])
        return [answer for answer in map(_decode, found) if answer is not None]

    def _place(self, exact: str, partition: str) -> list[str]:
        keys = self._keys
        return [keys.answer(exact), keys.vectors(partition), keys.ages(partition)]


def _blob(embedding: Embedding) -> bytes:
    return np.ascontiguousarray(embedding, dtype="<f4").tobytes()


def _decode(payload: bytes | None) -> CachedAnswer | None:
    try:
        return _answer.decode(payload) if payload else None
    except StorageCorrupt:
        return None
