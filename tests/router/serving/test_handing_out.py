"""An answer that was paid for reaches its caller in time, whatever becomes of the store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from router.adapters.storage import EmbeddedRedis
from router.domain.chat import Answer
from tests.router.serving.conftest import ANSWER, Core, asked

DEADLINE_S = 4.0


@pytest.fixture
async def redis_server(tmp_path: Path) -> AsyncIterator[EmbeddedRedis]:
    made = EmbeddedRedis(tmp_path, appendfsync="everysec")
    await made.start()
    yield made
    await made.stop()


async def never() -> Answer:
    raise AssertionError("the key's answer is paid for already")


@pytest.mark.parametrize("key", ["", "k"])
async def test_an_answer_is_handed_out_before_its_caller_s_deadline(
    core: Core, redis_server: EmbeddedRedis, key: str
) -> None:
    async def end_store() -> Answer:
        await redis_server.stop()
        return ANSWER

    core.provider.reply = end_store
    async with asyncio.timeout(DEADLINE_S):
        done = await core.service.complete(replace(asked(key), deadline_s=time.time() + DEADLINE_S))
    assert done.answer == ANSWER
    assert done.record.degraded
    assert core.degraded("unrecorded") == 1
    await redis_server.start()
    async with asyncio.timeout(60):
        await core.background.drain(60)
    kept = await core.storage.decisions.get("acme", done.record.id)
    assert kept.id == done.record.id
    if key:
        core.provider.reply = never
        assert (await core.service.complete(asked(key))).answer == ANSWER
