"""The labelled pairs of prompts through the real cache, and a part of them through the service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from adaptive_router.v1 import router_pb2

from router.adapters.embedding.pool import EmbedderPool
from router.domain.canonical import canonical
from router.domain.chat import ChatRequest, Message, Role, TextPart
from router.domain.records import CacheKey
from router.domain.requests import cache_key
from router.ports.observer import Observer
from router.ports.upstream import Embedding
from router.serving.earlier_answers import ResponseCache, ResponseCacheSettings
from tests.contract.samples import cached
from tests.e2e.conftest import Router, request, until
from tests.pairs.make import Pair, different, same

LEAST_SHARE = 0.7
OF_A_KIND = 3
MISS, EXACT, SEMANTIC = (
    router_pb2.CACHE_STATUS_MISS,
    router_pb2.CACHE_STATUS_EXACT,
    router_pb2.CACHE_STATUS_SEMANTIC,
)

pytestmark = pytest.mark.slow


@pytest.fixture
def learns() -> bool:
    return False


@pytest_asyncio.fixture
async def embedder(model_dir: Path) -> AsyncIterator[EmbedderPool]:
    pool = EmbedderPool(model_dir, workers=2)
    yield pool
    pool.close()


class AnsweredPairs:
    """Puts an answer to the first prompt of a pair and looks it up by the second."""

    def __init__(self, router: Router, embedder: EmbedderPool) -> None:
        settings = ResponseCacheSettings()
        self._embedder = embedder
        self._cache = ResponseCache(
            cache=router.storage.cache, observer=Observer(), settings=settings
        )

    async def hits(self, number: int, pair: Pair) -> bool:
        key, embedding = await self._seen(f"tenant-{number}", pair.one)
        await self._cache.put(key, embedding, replace(cached(), exact=key.exact))
        assert await self._cache.exact(key) is not None
        found = await self._cache.similar(*await self._seen(f"tenant-{number}", pair.other))
        return found is not None

    async def _seen(self, tenant: str, prompt: str) -> tuple[CacheKey, Embedding | None]:
        key = cache_key(tenant, ChatRequest((Message(Role.USER, (TextPart(prompt),)),)))
        return key, await self._embedder.embed(prompt) if key.partition else None


async def test_the_cache_gives_no_answer_to_what_asks_something_else(
    router: Router, embedder: EmbedderPool
) -> None:
    pairs = AnsweredPairs(router, embedder)
    assert [p for i, p in enumerate(different()) if await pairs.hits(i, p)] == []


async def test_the_cache_answers_most_wordings_of_the_same(
    router: Router, embedder: EmbedderPool
) -> None:
    pairs = AnsweredPairs(router, embedder)
    hits = [await pairs.hits(i, p) for i, p in enumerate(same())]
    assert sum(hits) / len(hits) >= LEAST_SHARE


async def _status(router: Router, number: int, pair: Pair) -> int:
    """Returns how the second prompt is answered when the first one's answer is kept."""
    metadata = await router.tenant(f"tenant-{number}")

    async def ask(text: str) -> int:
        done = await router.stub.Complete(request(text), metadata=metadata)
        return done.receipt.cache

    async def is_kept() -> bool:
        return await ask(pair.one) == EXACT

    await until(is_kept)
    return await ask(pair.other)


def _some(pairs: list[Pair]) -> list[Pair]:
    """Returns the first, the middle and the last of each kind."""
    found = dict[str, list[Pair]]()
    for pair in pairs:
        found.setdefault(pair.kind, []).append(pair)
    return [
        kind[(len(kind) - 1) * i // (OF_A_KIND - 1)]
        for kind in found.values()
        for i in range(OF_A_KIND)
    ]


async def test_the_service_gives_no_answer_to_what_asks_something_else(router: Router) -> None:
    for number, pair in enumerate(_some(different())):
        if pair.one.strip(" \t\r\n") != pair.other.strip(" \t\r\n"):
            assert await _status(router, number, pair) == MISS, pair


async def test_the_service_answers_another_wording_of_the_same(router: Router) -> None:
    alike = [pair for pair in same() if canonical(pair.one) == canonical(pair.other)]
    statuses = [await _status(router, i, pair) for i, pair in enumerate(_some(alike))]
    assert set(statuses) <= {SEMANTIC, MISS}
    assert statuses.count(SEMANTIC) / len(statuses) >= 0.9
