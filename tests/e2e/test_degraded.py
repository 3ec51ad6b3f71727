"""A router whose Redis dies under it serves on, and Redis hears of everything afterwards."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from router.adapters.storage import EmbeddedRedis
from router.domain.events import Decided, FeedbackGiven
from tests.e2e.conftest import Router, health, until


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedRedis]:
    made = EmbeddedRedis(tmp_path / "store", appendfsync="everysec")
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
def redis(server: EmbeddedRedis) -> str:
    return f"url: 'unix://{server.socket}', timeout_ms: 500"


@pytest.fixture
def degraded() -> str:
    return ""


@pytest.fixture
def sections(tmp_path: Path, degraded: str) -> str:
    return f"degraded: {{spool_dir: {tmp_path}/spool, {degraded}}}"


@pytest.fixture
def learns() -> bool:
    return False


def kill(server: EmbeddedRedis) -> None:
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)


async def events(router: Router) -> list[object]:
    return [event for _, event in await router.storage.events.read("0", 1_000, 0)]


async def caught_up(router: Router) -> None:
    await until(lambda: health(router, "redis"))
    await until(lambda: health(router, "degraded"))


async def test_it_serves_on_and_the_store_hears_of_everything_once(
    router: Router, server: EmbeddedRedis, texts: Iterator[str]
) -> None:
    before = (await router.complete(next(texts))).receipt
    assert not before.degraded
    assert await health(router, "spool") or True
    kill(server)
    done = (await router.complete(next(texts))).receipt
    assert done.degraded
    for receipt, quality in ((done, 1.0), (before, 0.25)):
        assert not (await router.feedback(receipt.decision_id, quality)).already_recorded
        assert (await router.feedback(receipt.decision_id, quality)).already_recorded
    assert (await router.decision(done.decision_id)).feedback_quality == 1.0
    await until(lambda: _not(health(router, "redis")))
    assert await health(router, "")
    assert not await health(router, "degraded")
    await server.start()
    await caught_up(router)
    found = await events(router)
    assert [e.record.id for e in found if isinstance(e, Decided)] == [
        before.decision_id,
        done.decision_id,
    ]
    assert [(e.decision_id, e.quality) for e in found if isinstance(e, FeedbackGiven)] == [
        (done.decision_id, 1.0),
        (before.decision_id, 0.25),
    ]
    assert not (await router.complete(next(texts))).receipt.degraded
    assert (await router.decision(done.decision_id)).receipt.degraded


async def _not(condition: object) -> bool:
    return not await condition
