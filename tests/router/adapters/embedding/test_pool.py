"""The pool: what is computed, what is shared, what is refused and who goes away."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from router.adapters.embedding.bge import BgeModel
from router.adapters.embedding.clip import MAX_CHARS
from router.adapters.embedding.pool import EmbedderPool
from router.domain.errors import ModelCorrupt, ModelUnavailable, Overloaded

SLOW = "word " * 300
"""About 50 ms of one worker."""


@pytest_asyncio.fixture
async def make_pool(model_dir: Path) -> AsyncIterator[Callable[..., EmbedderPool]]:
    made: list[EmbedderPool] = []

    def make(workers: int = 1, queue: int = 8, cache_entries: int = 100) -> EmbedderPool:
        pool = EmbedderPool(model_dir, workers=workers, queue=queue, cache_entries=cache_entries)
        made.append(pool)
        return pool

    yield make
    for pool in made:
        pool.close()
    assert not embed_threads()


def embed_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("embed")]


async def test_it_gives_what_the_model_gives(
    make_pool: Callable[..., EmbedderPool], model: BgeModel
) -> None:
    pool = make_pool(workers=2)
    await pool.warm_up()
    texts = ["one", "", "three and four", SLOW, "\ud800"]
    embeddings = await asyncio.gather(*map(pool.embed, texts))
    for text, embedding in zip(texts, embeddings, strict=True):
        assert np.array_equal(embedding, model.embed(text))


async def test_a_warm_pool_needs_its_files_no_more(
    model_dir: Path, tmp_path: Path, model: BgeModel
) -> None:
    """One load serves all workers, so that none is late with its own."""
    copy = Path(shutil.copytree(model_dir, tmp_path / "model"))
    pool = EmbedderPool(copy, workers=3)
    await pool.warm_up()
    shutil.rmtree(copy)
    texts = [SLOW + str(i) for i in range(6)]
    embeddings = await asyncio.gather(*map(pool.embed, texts))
    pool.close()
    for text, embedding in zip(texts, embeddings, strict=True):
        assert np.array_equal(embedding, model.embed(text))


async def test_a_known_text_is_not_computed_again(make_pool: Callable[..., EmbedderPool]) -> None:
    pool = make_pool()
    first = await pool.embed("again")
    assert await pool.embed("again") is first
    assert (pool.stats.computed, pool.stats.hits) == (1, 1)


async def test_long_texts_that_differ_only_where_nobody_looks_are_one_text(
    make_pool: Callable[..., EmbedderPool],
) -> None:
    pool = make_pool()
    ends = "x " * MAX_CHARS
    await pool.embed(f"{ends}one{ends}")
    await pool.embed(f"{ends}another{ends}")
    assert (pool.stats.computed, pool.stats.hits) == (1, 1)


async def test_the_least_recently_used_text_is_forgotten(
    make_pool: Callable[..., EmbedderPool],
) -> None:
    pool = make_pool(cache_entries=2)
    for text in ("a", "b", "a", "c"):
        await pool.embed(text)
    assert pool.stats.computed == 3
    await pool.embed("a")
    assert pool.stats.computed == 3
    await pool.embed("b")
    assert pool.stats.computed == 4


async def test_callers_at_the_same_time_share_one_run(
    make_pool: Callable[..., EmbedderPool],
) -> None:
    pool = make_pool(workers=2)
    first, *others = await asyncio.gather(*(pool.embed("same") for _ in range(5)))
    assert all(other is first for other in others)
    assert (pool.stats.computed, pool.stats.hits) == (1, 4)


async def test_nobody_can_change_what_others_get(make_pool: Callable[..., EmbedderPool]) -> None:
    embedding = await make_pool().embed("shared")
    with pytest.raises(ValueError, match="read-only"):
        embedding[0] = 0.0


async def test_over_the_bound_comes_a_refusal_and_afterwards_an_answer(
    make_pool: Callable[..., EmbedderPool],
) -> None:
    pool = make_pool(workers=1, queue=2)
    asked = [pool.embed(f"{SLOW}{number}") for number in range(5)]
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(result) for result in results] == [np.ndarray] * 3 + [Overloaded] * 2
    assert isinstance(results[4], Overloaded)
    assert results[4].retry_after_ms > 0
    assert (pool.stats.computed, pool.stats.refused) == (3, 2)
    assert (await pool.embed(f"{SLOW}4")).shape == (384,)


async def test_what_is_known_is_answered_even_when_the_queue_is_full(
    make_pool: Callable[..., EmbedderPool],
) -> None:
    pool = make_pool(workers=1, queue=0)
    known = await pool.embed("known")
    busy = asyncio.create_task(pool.embed(SLOW))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await pool.embed("unknown")
    assert await pool.embed("known") is known
    await busy


async def test_one_who_leaves_takes_nobody_along(make_pool: Callable[..., EmbedderPool]) -> None:
    pool = make_pool()
    leaver, stayer = (asyncio.create_task(pool.embed(SLOW)) for _ in range(2))
    await asyncio.sleep(0)
    leaver.cancel()
    assert (await stayer).shape == (384,)
    with pytest.raises(asyncio.CancelledError):
        await leaver
    assert pool.stats.computed == 1


async def test_a_text_everybody_left_is_not_computed(
    make_pool: Callable[..., EmbedderPool],
) -> None:
    pool = make_pool(workers=1)
    ahead = [asyncio.create_task(pool.embed(f"{SLOW}{number}")) for number in range(6)]
    leaver = asyncio.create_task(pool.embed("left alone"))
    await asyncio.sleep(0)
    leaver.cancel()
    await asyncio.gather(*ahead)
    await pool.embed("behind it in the queue")
    assert (pool.stats.computed, pool.stats.abandoned) == (7, 1)
    await pool.embed("left alone")
    assert pool.stats.computed == 8


async def test_a_text_left_and_asked_again_while_it_waits_is_computed_once(
    make_pool: Callable[..., EmbedderPool],
) -> None:
    pool = make_pool(workers=1)
    ahead = [asyncio.create_task(pool.embed(f"{SLOW}{number}")) for number in range(6)]
    leaver = asyncio.create_task(pool.embed("wanted after all"))
    await asyncio.sleep(0)
    leaver.cancel()
    await asyncio.sleep(0)
    assert (await pool.embed("wanted after all")).shape == (384,)
    await asyncio.gather(*ahead)
    assert (pool.stats.computed, pool.stats.abandoned) == (7, 0)


async def test_those_who_left_count_against_the_bound_until_they_are_skipped(
    make_pool: Callable[..., EmbedderPool],
) -> None:
    pool = make_pool(workers=1, queue=1)
    busy = asyncio.create_task(pool.embed(SLOW))
    leaver = asyncio.create_task(pool.embed("left"))
    await asyncio.sleep(0)
    leaver.cancel()
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await pool.embed("one more")
    await busy


async def test_close_refuses_those_who_wait_and_those_who_come(
    make_pool: Callable[..., EmbedderPool],
) -> None:
    pool = make_pool(workers=1)
    asked = [asyncio.create_task(pool.embed(f"{SLOW}{number}")) for number in range(8)]
    await asyncio.sleep(0.02)
    pool.close()
    *_, last = results = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(last, ModelUnavailable)
    assert {type(result) for result in results} <= {ModelUnavailable, np.ndarray}
    with pytest.raises(ModelUnavailable, match="closing"):
        await pool.embed("late")


async def test_a_damaged_model_fails_warm_up_in_time(damaged_dir: Path) -> None:
    pool = EmbedderPool(damaged_dir, workers=2)
    with pytest.raises(ModelCorrupt, match=r"model_quantized\.onnx"):
        await pool.warm_up()
    pool.close()
    assert not embed_threads()


async def test_a_missing_model_is_told_to_every_caller(tmp_path: Path) -> None:
    pool = EmbedderPool(tmp_path, workers=1)
    results = await asyncio.gather(*map(pool.embed, "aab"), return_exceptions=True)
    assert [type(result) for result in results] == [ModelUnavailable] * 3
    pool.close()


async def test_tenants_take_turns(make_pool: Callable[..., EmbedderPool]) -> None:
    pool, order = make_pool(workers=1, queue=20), list[str]()

    async def one(tenant: str, number: int) -> None:
        await pool.embed(f"{SLOW}{tenant}{number}", tenant)
        order.append(tenant)

    loud = [asyncio.create_task(one("loud", number)) for number in range(10)]
    await asyncio.sleep(0)
    await asyncio.gather(*loud, *(one("quiet", number) for number in range(2)))
    assert [i for i, tenant in enumerate(order) if tenant == "quiet"][-1] <= 4


async def test_in_a_full_queue_who_waits_for_most_makes_room(
    make_pool: Callable[..., EmbedderPool],
) -> None:
    pool = make_pool(workers=1, queue=7)
    loud = [asyncio.create_task(pool.embed(f"{SLOW}{number}", "loud")) for number in range(8)]
    await asyncio.sleep(0)
    quiet = await asyncio.gather(*(pool.embed(f"{SLOW}quiet{i}", "quiet") for i in range(3)))
    assert len(quiet) == 3
    with pytest.raises(Overloaded):
        await asyncio.gather(*(pool.embed(f"{SLOW}more{i}", "loud") for i in range(8)))
    results = await asyncio.gather(*loud, return_exceptions=True)
    refused = [isinstance(result, Overloaded) for result in results]
    assert refused == [False] * 5 + [True] * 3  # the last to come are the first to go
    assert (await pool.embed(f"{SLOW}7", "loud")).shape == (384,)
