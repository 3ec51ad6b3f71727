"""Fixtures that every suite may use."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.adapters.storage import EmbeddedRedis

ROOT = Path(__file__).parents[1]
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # for tests that import onnxruntime themselves


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests begin first: over several workers none ends long after the others."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    count = Counter(item.path for item in items)
    items.sort(key=lambda item: (item.path not in slow, -count[item.path], str(item.path)))


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
    script, env = ROOT / "scripts/fetch_model", os.environ | {"PYTHON": sys.executable}
    done = subprocess.run([script], env=env, stdout=subprocess.PIPE, check=True, text=True)  # noqa: S603 - our own script
    return Path(done.stdout.strip())
