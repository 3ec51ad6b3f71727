"""Terms and samples for the map, and a walk over every decision on record."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final, TypeVar

from router.adapters.storage.client import Client, load
from router.adapters.storage.codec import Codec, encode
from router.adapters.storage.events import RedisEventLog
from router.adapters.storage.keys import Keys
from router.domain.errors import StorageCorrupt
from router.domain.records import DecisionRecord
from router.ports.survey import LEAST_PROMPTS, EmbeddingSample, PromptSample, Sighting

T = TypeVar("T")

MOST_TERMS: Final = 200
"""Per cluster; the rarest makes room."""
MOST_WAITING: Final = 20_000
"""Words not seen in enough prompts yet; a random one makes room."""
KEEP_TERMS_S: Final = 90 * 86_400
"""Since the last sighting in the cluster."""
BATCH: Final = 500
_SPECIAL: Final = str.maketrans({c: f"\\{c}" for c in "\\*?[]^-"})
_COUNT = load("survey_count")
_embedding = Codec(EmbeddingSample)
_prompt = Codec(PromptSample)


class RedisSurvey:
    """Implements `router.ports.survey.Survey`. keep_s: of samples."""

    def __init__(self, client: Client, keys: Keys, keep_s: int) -> None:
        self._client = client
        self._keys = keys
        self._keep_s = keep_s

    async def count(self, sighting: Sighting) -> None:
        version, cluster = sighting.version, sighting.cluster
        keys = [self._keys.waiting_terms(version), self._keys.terms(version, cluster)]
        bounds = (LEAST_PROMPTS, MOST_TERMS, MOST_WAITING, KEEP_TERMS_S)
        words = [part for term in sighting.terms for part in (_hash(cluster, term), term)]
        await self._client.script(_COUNT, keys, sighting.group, *bounds, *words)

    async def terms(self, version: str, clusters: int) -> Mapping[int, Mapping[str, int]]:
        found = await self._client.call_many(
            ("ZRANGE", self._keys.terms(version, cluster), 0, -1, "WITHSCORES")
            for cluster in range(clusters)
        )
        pairs = [zip(flat[::2], flat[1::2], strict=True) for flat in found]
        named = [{t.decode(errors="replace"): int(float(n)) for t, n in each} for each in pairs]
        return {cluster: terms for cluster, terms in enumerate(named) if terms}

    async def keep_embedding(self, sample: EmbeddingSample, most: int, draw: float) -> None:
        await self._keep(self._keys.embeddings, encode(sample), most, draw)

    async def keep_prompt(self, sample: PromptSample, most: int, draw: float) -> None:
        await self._keep(self._keys.prompts, encode(sample), most, draw)

    async def embeddings(self) -> Sequence[EmbeddingSample]:
        return await self._read(self._keys.embeddings, _embedding)

    async def prompts(self) -> Sequence[PromptSample]:
        return await self._read(self._keys.prompts, _prompt)

    async def _keep(self, key: str, payload: bytes, most: int, draw: float) -> None:
        """Keep it in a random place: ages fall off geometrically, `most` samples being the mean."""
        place = int(draw * most)
        await self._client.call("HSETEX", key, "EX", self._keep_s, "FIELDS", 1, place, payload)

    async def _read(self, key: str, codec: Codec[T]) -> list[T]:
        found = []
        for payload in await self._client.call("HVALS", key):
            try:
                found.append(codec.decode(payload))
            except StorageCorrupt:
                continue  # a sample less
        return found


def _hash(cluster: int, term: str) -> bytes:
    return hashlib.blake2b(f"{cluster}:{term}".encode(), digest_size=8).digest()


class RedisKeptDecisions:
    """Implements `router.ports.learning_log.KeptDecisions` without holding the server."""

    def __init__(self, client: Client, keys: Keys, events: RedisEventLog) -> None:
        self._client = client
        self._prefix = keys.decision("")
        self._events = events

    async def each(self, most: int) -> AsyncIterator[DecisionRecord]:
        """A decision that can't be read is passed over. SCAN may name a key twice."""
        pattern, cursor, seen = f"{self._prefix.translate(_SPECIAL)}*", b"0", set[str]()
        while True:
            cursor, keys = await self._client.call(
                "SCAN", cursor, "MATCH", pattern, "COUNT", BATCH, "TYPE", "hash"
            )
            ids = [key.decode(errors="replace")[len(self._prefix) :] for key in keys]
            fresh = [i for i in dict.fromkeys(ids) if i not in seen][: most - len(seen)]
            seen.update(fresh)
            for record in await self._events.records(fresh):
                if record is not None:
                    yield record
            if cursor == b"0" or len(seen) >= most:
                return
