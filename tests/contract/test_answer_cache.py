"""Suite of `router.ports.state.AnswerCache`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from router.adapters.storage import Storage
from router.domain.records import CacheKey
from router.ports.state import AnswerCache
from router.ports.upstream import Embedding
from tests.contract.samples import MAX_ENTRIES, cached, eventually

KEY = CacheKey("acme", "e1", "p1")
HOUR_S = 3_600


@pytest.fixture
def cache(storage: Storage) -> AnswerCache:
    return storage.cache


@pytest.fixture
def unit() -> Callable[[], Embedding]:
    """Random unit vectors, the same in every run."""
    rng = np.random.default_rng(7)

    def draw() -> Embedding:
        vector = rng.standard_normal(384).astype(np.float32)
        return vector / np.linalg.norm(vector)

    return draw


def at_cosine(a: Embedding, other: Embedding, cosine: float) -> Embedding:
    """A unit vector with exactly this cosine to `a`."""
    across = other - (other @ a) * a
    across /= np.linalg.norm(across)
    return (cosine * a + np.sqrt(1 - cosine**2) * across).astype(np.float32)


async def test_an_answer_comes_back_whole_and_only_for_its_key(cache: AnswerCache) -> None:
    await cache.put(KEY, None, cached(), HOUR_S)
    assert await cache.get(KEY) == cached()
    assert await cache.get(replace(KEY, exact="e2")) is None


async def test_an_answer_expires(cache: AnswerCache) -> None:
    await cache.put(KEY, None, cached(), 1)
    assert await cache.get(KEY) is not None

    async def gone() -> bool:
        return await cache.get(KEY) is None

    await eventually(gone)


@pytest.mark.parametrize("cosine", [0.999, 0.9, 0.5, 0.0, -0.5])
async def test_similarity_is_the_cosine(
    cache: AnswerCache, unit: Callable[[], Embedding], cosine: float
) -> None:
    stored = unit()
    await cache.put(KEY, stored, cached(), HOUR_S)
    found = await cache.similar(KEY, at_cosine(stored, unit(), cosine), -1.0)
    assert found is not None
    assert found[0] == cached()
    assert found[1] == pytest.approx(cosine, abs=1e-4)


async def test_only_what_reaches_the_threshold_is_found(
    cache: AnswerCache, unit: Callable[[], Embedding]
) -> None:
    stored = unit()
    await cache.put(KEY, stored, cached(), HOUR_S)
    near = at_cosine(stored, unit(), 0.95)
    assert await cache.similar(KEY, near, 0.96) is None
    assert await cache.similar(KEY, near, 0.94) is not None
    assert await cache.similar(KEY, stored, 1.0) is not None


async def test_the_nearest_of_several_is_found(
    cache: AnswerCache, unit: Callable[[], Embedding]
) -> None:
    vectors = [unit() for _ in range(MAX_ENTRIES)]
    for n, vector in enumerate(vectors):
        await cache.put(replace(KEY, exact=f"e{n}"), vector, cached(str(n)), HOUR_S)
    for n, vector in enumerate(vectors):
        found = await cache.similar(KEY, vector, 0.99)
        assert found is not None
        assert found[0].answer.text == str(n)


async def test_partitions_do_not_see_one_another(
    cache: AnswerCache, unit: Callable[[], Embedding]
) -> None:
    vector = unit()
    await cache.put(KEY, vector, cached(), HOUR_S)
    foreign = CacheKey("other", "e9", "p-of-other")
    assert await cache.similar(foreign, vector, -1.0) is None


async def test_what_was_put_without_an_embedding_is_not_found_by_one(
    cache: AnswerCache, unit: Callable[[], Embedding]
) -> None:
    await cache.put(KEY, None, cached(), HOUR_S)
    assert await cache.similar(KEY, unit(), -1.0) is None


async def test_an_expired_neighbour_gives_way_to_the_next(
    cache: AnswerCache, unit: Callable[[], Embedding]
) -> None:
    asked = unit()
    await cache.put(replace(KEY, exact="far"), at_cosine(asked, unit(), 0.9), cached("far"), HOUR_S)
    await cache.put(replace(KEY, exact="near"), asked, cached("near"), 1)

    async def nearest() -> str:
        found = await cache.similar(KEY, asked, 0.5)
        assert found is not None
        return found[0].answer.text

    async def moved_on() -> bool:
        return await nearest() == "far"

    assert await nearest() == "near"
    await eventually(moved_on)


async def test_a_full_partition_loses_its_oldest(
    cache: AnswerCache, unit: Callable[[], Embedding]
) -> None:
    vectors = [unit() for _ in range(3 * MAX_ENTRIES)]
    for n, vector in enumerate(vectors):
        await cache.put(replace(KEY, exact=f"e{n}"), vector, cached(str(n)), HOUR_S)
    found = [await cache.similar(KEY, vector, 0.99) is not None for vector in vectors]
    assert found == [False] * (2 * MAX_ENTRIES) + [True] * MAX_ENTRIES


async def test_an_evicted_answer_is_found_neither_way(
    cache: AnswerCache, unit: Callable[[], Embedding]
) -> None:
    vector = unit()
    await cache.put(KEY, vector, cached(), HOUR_S)
    await cache.evict(KEY.exact, KEY.partition)
    assert await cache.get(KEY) is None
    assert await cache.similar(KEY, vector, -1.0) is None
    await cache.evict("never put", "nor this")


async def test_an_answer_over_the_bound_is_not_kept(cache: AnswerCache) -> None:
    await cache.put(KEY, None, cached("x" * 20_000), HOUR_S)
    assert await cache.get(KEY) is None


async def test_another_embedding_model_starts_the_partition_anew(cache: AnswerCache) -> None:
    old, new = np.ones(384, dtype=np.float32), np.ones(512, dtype=np.float32)
    await cache.put(KEY, old, cached("old"), HOUR_S)
    assert await cache.similar(KEY, new, -1.0) is None
    await cache.put(replace(KEY, exact="e2"), new, cached("new"), HOUR_S)
    found = await cache.similar(KEY, new, 0.99)
    assert found is not None
    assert found[0].answer.text == "new"


async def test_many_writers_keep_the_bound(
    cache: AnswerCache, unit: Callable[[], Embedding]
) -> None:
    vectors = [unit() for _ in range(50)]
    await asyncio.gather(
        *(
            cache.put(replace(KEY, exact=f"e{n}"), vector, cached(str(n)), HOUR_S)
            for n, vector in enumerate(vectors)
        )
    )
    found = [await cache.similar(KEY, vector, 0.99) for vector in vectors]
    assert sum(one is not None for one in found) == MAX_ENTRIES


async def test_one_of_many_claims_a_key_until_it_releases(cache: AnswerCache) -> None:
    told = await asyncio.gather(*(cache.claim(KEY, f"r{n}", HOUR_S) for n in range(20)))
    (owner,) = [f"r{n}" for n, (_, leads) in enumerate(told) if leads]
    assert {answer for answer, _ in told} == {None}
    assert await cache.claim(KEY, owner, HOUR_S) == (None, True)  # its first try got no reply
    assert await cache.claimed(KEY)
    await cache.release(KEY, "stranger")
    assert await cache.claim(KEY, "stranger", HOUR_S) == (None, False)
    await cache.release(KEY, owner)
    assert not await cache.claimed(KEY)
    assert await cache.claim(KEY, "stranger", HOUR_S) == (None, True)


async def test_an_answer_is_found_and_not_claimed(cache: AnswerCache) -> None:
    await cache.put(KEY, None, cached(), HOUR_S)
    assert await cache.claim(KEY, "r", HOUR_S) == (cached(), False)
    assert not await cache.claimed(KEY)


async def test_a_claim_lapses_unless_its_owner_renews_it(cache: AnswerCache) -> None:
    other = replace(KEY, exact="e2")
    for key in (KEY, other):
        await cache.claim(key, "r", 1)
    await cache.renew({KEY.exact: "r", other.exact: "stranger", "never claimed": "r"}, HOUR_S)

    async def has_lapsed() -> bool:
        return not await cache.claimed(other)

    await eventually(has_lapsed)
    assert await cache.claimed(KEY)
    assert not await cache.claimed(replace(KEY, exact="never claimed"))


async def test_what_cannot_be_read_is_answered_anew(cache: AnswerCache, storage: Storage) -> None:
    await storage.client.call("SET", storage.keys.answer(KEY.exact), b"\xc1 nonsense")
    assert await cache.claim(KEY, "r", HOUR_S) == (None, True)
