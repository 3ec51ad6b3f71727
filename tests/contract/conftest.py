"""Every implementation of the ports, each on fresh state."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest

from router.adapters.storage import (
    CacheBounds,
    EmbeddedRedis,
    Storage,
    StorageSettings,
    open_storage,
)
from tests.contract.dialects import DIALECTS, Dialect
from tests.contract.parties import Party, opened
from tests.contract.samples import HEALTH, KEEP_EVENTS, MAX_ENTRIES, MAX_EVENTS, WINDOW_S, FakeTime


@pytest.fixture
def clock() -> FakeTime:
    return FakeTime()


@pytest.fixture
async def storage(redis_server: EmbeddedRedis, clock: FakeTime) -> AsyncIterator[Storage]:
    settings = StorageSettings(
        url=f"unix://{redis_server.socket}",
        prefix=f"{uuid.uuid4().hex}:",
        timeout_ms=5_000,
        join_window_s=WINDOW_S,
        max_events=MAX_EVENTS,
        keep_events=KEEP_EVENTS,
        keep_snapshots=3,
        cache=CacheBounds(max_entries_per_partition=MAX_ENTRIES, max_entry_bytes=10_000),
        health=HEALTH,
    )
    opened = await open_storage(settings, clock=clock)
    yield opened
    await opened.close()


@pytest.fixture(params=DIALECTS, ids=lambda dialect: dialect.name)
def dialect(request: pytest.FixtureRequest) -> Dialect:
    return request.param


@pytest.fixture
async def party(dialect: Dialect) -> AsyncIterator[Party]:
    async with opened(dialect) as made:
        yield made
