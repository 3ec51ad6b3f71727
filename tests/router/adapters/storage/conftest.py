"""A storage, its client and the bare driver beside it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import uvloop
from redis.asyncio import Redis

from router.adapters.storage import EmbeddedRedis, Storage, StorageSettings, open_storage
from router.adapters.storage.keys import Keys


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The event loop of production."""
    del config, item
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
def keys() -> Keys:
    return Keys(f"{uuid.uuid4().hex}:")


@pytest.fixture
async def shared(redis_server: EmbeddedRedis, keys: Keys) -> AsyncIterator[Storage]:
    """A storage on the server of the whole run."""
    url = f"unix://{redis_server.socket}"
    opened = await open_storage(StorageSettings(url=url, prefix=keys.prefix, timeout_ms=5_000))
    yield opened
    await opened.close()


@pytest.fixture
async def bare(redis_server: EmbeddedRedis) -> AsyncIterator[Redis]:
    async with Redis(unix_socket_path=redis_server.socket) as redis:
        yield redis
