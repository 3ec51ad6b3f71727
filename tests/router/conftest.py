"""A config on disk, with a Redis of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from router.adapters.storage import EmbeddedRedis, Storage
from router.app.process import opened_storage
from router.config import Config, load_config

ARMS = """\
arms:
  cheap:
    deployments:
      - name: mini
        provider: openai
        base_url: http://127.0.0.1:9/v1
        model: small
        price: {input_usd_per_mtok: 0.1, output_usd_per_mtok: 0.4}
  reasoning:
    deployments:
      - name: big
        provider: anthropic
        base_url: http://127.0.0.1:9
        model: large
        price: {input_usd_per_mtok: 3, output_usd_per_mtok: 15}
"""


@pytest.fixture
def write_config(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a config with more sections, whose Redis is private to the test."""

    def write(more: str = "") -> Path:
        path = tmp_path / "router.yaml"
        redis = f"redis: {{embedded: {{data_dir: {tmp_path}/redis, appendfsync: everysec}}}}\n"
        path.write_text(ARMS + redis + more)
        return path

    return write


@pytest.fixture
def config(tmp_path: Path, write_config: Callable[[str], Path]) -> Iterator[Path]:
    """Commands join the server that runs on its data directory, as beside a running router."""
    server = EmbeddedRedis(tmp_path / "redis", appendfsync="everysec")
    asyncio.run(server.start())
    yield write_config("")
    asyncio.run(server.stop())


@pytest.fixture
def loaded(config: Path) -> Config:
    return load_config(config, {})


@pytest.fixture
async def storage(loaded: Config) -> AsyncIterator[Storage]:
    async with opened_storage(loaded, {}) as opened:
        yield opened
