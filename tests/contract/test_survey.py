"""Suite of `router.ports.survey.Survey`."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from router.adapters.storage import Storage, StorageSettings
from router.adapters.storage.survey import MOST_TERMS
from router.ports.survey import LEAST_PROMPTS, EmbeddingSample, PromptSample, Sighting, Survey


@pytest.fixture
def survey(storage: Storage) -> Survey:
    return storage.survey


async def prompts_key(storage: Storage, head: str) -> bytes:
    """The key of this test's prompt samples, by one of them; other tests share the server."""
    await storage.survey.keep_prompt(PromptSample("v1", 0, head), 2, 0.0)
    keys = await storage.client.call("KEYS", "*sampled-prompts")
    held = [b"".join(await storage.client.call("HVALS", key)) for key in keys]
    return next(key for key, values in zip(keys, held, strict=True) if head.encode() in values)


async def seen(survey: Survey, groups: list[int], *terms: str, cluster: int = 3) -> None:
    for group in groups:
        await survey.count(Sighting("v1", cluster, group, terms))


async def test_a_word_is_told_once_enough_different_prompts_held_it(survey: Survey) -> None:
    await seen(survey, [0, 1, 2, 3], "fractions")
    assert await survey.terms("v1", 8) == {}
    await seen(survey, [31], "fractions")
    assert await survey.terms("v1", 8) == {3: {"fractions": LEAST_PROMPTS}}
    await seen(survey, [31, 31], "fractions", "novel")
    assert await survey.terms("v1", 8) == {3: {"fractions": LEAST_PROMPTS + 2}}


async def test_one_prompt_sent_often_tells_nothing(survey: Survey, storage: Storage) -> None:
    await seen(survey, [7] * 50, "jonathan")
    assert await survey.terms("v1", 8) == {}
    for key in await storage.client.call("KEYS", "*"):
        kind = await storage.client.call("TYPE", key)
        content = await storage.client.call("HGETALL", key) if kind == b"hash" else []
        assert b"jonathan" not in b"".join([key, *content])


async def test_clusters_and_versions_are_counted_apart(survey: Survey) -> None:
    await seen(survey, [0, 1, 2, 3], "poem", cluster=1)
    await seen(survey, [4, 5, 6], "poem", cluster=2)
    assert await survey.terms("v1", 8) == {}
    await seen(survey, [9], "poem", cluster=1)
    assert await survey.terms("v1", 8) == {1: {"poem": LEAST_PROMPTS}}
    assert await survey.terms("v2", 8) == {}
    assert await survey.terms("v1", 1) == {}


async def test_the_terms_of_a_cluster_are_bounded_and_the_rarest_leave(survey: Survey) -> None:
    often = list(range(10))
    await seen(survey, often, "kept")
    for start in range(0, MOST_TERMS + 20, 10):
        words = [f"w{'abcdefghij'[n % 10]}{'x' * (n // 10)}" for n in range(start, start + 10)]
        await seen(survey, often[:LEAST_PROMPTS], *words)
    found = (await survey.terms("v1", 4))[3]
    assert len(found) == MOST_TERMS
    assert found["kept"] == len(often)


async def test_counts_at_once_lose_nothing(survey: Survey) -> None:
    sightings = [Sighting("v1", 0, n % 32, ("area", "circle")) for n in range(64)]
    await asyncio.gather(*map(survey.count, sightings))
    assert await survey.terms("v1", 1) == {0: {"area": 64, "circle": 64}}


def sample(value: float) -> EmbeddingSample:
    vector = np.linspace(-value, value, 384, dtype=np.float32)
    return EmbeddingSample.of("v1", vector, (0.5, -1.0))


async def test_samples_are_bounded_by_their_places(survey: Survey) -> None:
    for n in range(12):
        await survey.keep_embedding(sample(0.01 * (n + 1)), 4, n % 4 / 4)
        await survey.keep_prompt(PromptSample("v1", n, f"What is {n}?"), 3, n % 3 / 3)
    newest = {sample(0.01 * n).step for n in (9, 10, 11, 12)}
    assert {s.step for s in await survey.embeddings()} == newest
    assert {s.head for s in await survey.prompts()} == {"What is 9?", "What is 10?", "What is 11?"}


async def test_a_sample_comes_back_as_it_went(survey: Survey) -> None:
    await survey.keep_embedding(sample(0.2), 10, 0.99)
    (found,) = await survey.embeddings()
    assert found == sample(0.2)
    np.testing.assert_allclose(found.embedding(), np.linspace(-0.2, 0.2, 384), atol=found.step)


async def test_a_sample_is_forgotten_with_the_decisions(storage: Storage) -> None:
    key = await prompts_key(storage, "soon forgotten")
    (left_s,) = await storage.client.call("HTTL", key, "FIELDS", 1, 0)
    assert 0 < left_s <= StorageSettings().keep_decisions_s


async def test_an_unreadable_sample_is_passed_over(survey: Survey, storage: Storage) -> None:
    key = await prompts_key(storage, "a good one")
    await storage.client.call("HSET", key, 1, b"\xff\x00")
    assert [s.head for s in await survey.prompts()] == ["a good one"]
