"""What every suite may use."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.adapters.embedding.fetch import fetch_model
from router.adapters.storage import EmbeddedRedis


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """A real server for the whole run; tests keep apart by key prefix."""
    server = EmbeddedRedis(tmp_path_factory.mktemp("redis"))
    asyncio.run(server.start())
    yield server
    asyncio.run(server.stop())


@pytest.fixture(scope="session")
def model_dir() -> Path:
    """The real model; fetched where it is not there yet."""
    return fetch_model(progress=False)
