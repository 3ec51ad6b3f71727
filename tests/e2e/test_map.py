"""Requests in, a map of them out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from router.config import parse_config
from router.tools.map.run import MapOptions, write_map
from tests.e2e.conftest import Router, until

VERSES = ("rivers", "gravity", "bread", "chess", "violins", "moss", "glaciers", "harbours", "snow")


@pytest.fixture
def sections() -> str:
    return "map: {terms: yes, sample_embeddings: 50, sample_prompts: 50}\ncache: {enabled: false}"


async def asked(router: Router) -> None:
    """Alike prompts, so that they share a cluster."""
    for verse in VERSES:
        done = await router.complete(f"Write me a short poem about {verse}, please.")
        await router.feedback(done.receipt.decision_id, 0.8)


async def test_what_was_asked_and_learned_is_on_the_map(
    router: Router, tmp_path: Path, config: Callable[..., str]
) -> None:
    await asked(router)
    survey = router.storage.survey

    async def is_noted() -> bool:
        return len(await survey.prompts()) > 5 and await router.storage.snapshots.load() is not None

    await until(is_noted)
    written = parse_config(config(tmp_path, {"cheap": 1, "reasoning": 2, "fallback": 3}), "x", {})
    out = tmp_path / "map.html"
    atlas = await asyncio.to_thread(write_map, written, MapOptions(out), {})
    text = out.read_text()
    assert atlas.requests == len(VERSES)
    assert atlas.regions[0].requests > len(VERSES) / 2
    assert atlas.regions[0].name[0] in {"poem", "write", "short", "please"}
    assert "short poem about" in text
    assert f"{len(VERSES)} requests on record" in text
    assert atlas.head.learned > 0


class TestByDefault:
    @pytest.fixture
    def sections(self) -> str:
        return "cache: {enabled: false}"

    async def test_nothing_is_kept_of_prompts(self, router: Router) -> None:
        await asked(router)
        keys = await router.storage.client.call("KEYS", "*")
        assert keys
        assert not [key for key in keys if b"terms" in key or b"sampled" in key]
