"""Answers by the whole request, and by similarity within a partition.

Beside each answer that another wording may find, its partition holds the exact key and the prompt's
embedding in half precision. One whose answer is gone finds nothing.
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

MOST_WORDINGS = 16
"""A partition is of prompts that ask the same: most are answered by the first of them."""
ID_BYTES = 40
MOST_AT_ONCE = 500
SCANNED = 500
READ = 32
"""Answers read at once by a purge: each has 256 KiB at most."""
ROUNDING = 1e-6
"""Without it a prompt could miss a threshold of 1 that its own embedding is held to."""
_PUT = load("cache_put")
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
        wordings = await self._client.call("GET", self._keys.wordings(key.partition)) or b""
        for cosine, exact in _ranked(wordings, embedding):
            if cosine < threshold - ROUNDING:
                return None
            answer = _decode(await self._client.call("GET", self._keys.answer(exact)))
            if answer is not None:
                return answer, cosine
        return None

    async def put(
        self, key: CacheKey, embedding: Embedding | None, cached: CachedAnswer, ttl_s: int
    ) -> None:
        payload = encode(cached)
        if len(payload) > self._bounds.max_entry_bytes:
            return
        wording = b"" if embedding is None else _wording(key.exact, embedding)
        most = min(self._bounds.max_entries_per_partition, MOST_WORDINGS)
        places = self._places(key.exact, key.partition)
        await self._client.script(_PUT, places, payload, ttl_s, wording, most, ID_BYTES)

    async def evict(self, exact: str, partition: str) -> None:
        await self._client.script(_EVICT, self._places(exact, partition))

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

    def _places(self, exact: str, partition: str) -> list[str]:
        return [self._keys.answer(exact), self._keys.wordings(partition)]


def _wording(exact: str, embedding: Embedding) -> bytes:
    half = np.ascontiguousarray(embedding, dtype="<f2")
    return exact.encode().ljust(ID_BYTES) + half.tobytes()


def _ranked(wordings: bytes, embedding: Embedding) -> list[tuple[float, str]]:
    """Returns cosines and exact keys, the nearest first; none of another model's embeddings."""
    size = ID_BYTES + 2 * len(embedding)
    if not wordings or len(wordings) % size:
        return []
    rows = np.frombuffer(wordings, dtype=np.uint8).reshape(-1, size)
    known = rows[:, ID_BYTES:].copy().view("<f2").astype(np.float32)
    known /= np.linalg.norm(known, axis=1, keepdims=True)
    cosines = np.clip(known @ embedding, -1.0, 1.0)
    order = np.argsort(-cosines, kind="stable")
    return [(float(cosines[i]), rows[i, :ID_BYTES].tobytes().decode().rstrip()) for i in order]


def _decode(payload: bytes | None) -> CachedAnswer | None:
    try:
        return _answer.decode(payload) if payload else None
    except StorageCorrupt:
        return None
