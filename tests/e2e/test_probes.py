"""Probes of the metrics port tell of the doors, from their opening on and while they drain."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
import yaml

from demo.stack import free_port
from router.observe.exposition import LIVE, READY
from tests.e2e.conftest import Router
from tests.e2e.http_doors import PATIENCE_S, QUESTION, Held, door, post, raw, says
from tests.e2e.wire import on_uvloop

BODY = json.dumps({"model": "auto", "messages": QUESTION}).encode()
PORTS = ("port", "http_port", "metrics_port")
SECTIONS = """
auth: {required: false}
embedding: {workers: 1}
learning: {embedded: false}
arms:
  a:
    deployments:
      - {name: d, provider: openai, model: m, base_url: 'http://127.0.0.1:9/v1',
         price: {input_usd_per_mtok: 1, output_usd_per_mtok: 1}}
"""


@pytest.fixture(autouse=True)
def _model(model_dir: Path) -> None:
    """The router finds it where it was fetched to."""


def status(port: int, path: str) -> int:
    """Returns 0 where nobody listens."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}{path}", trust_env=False).status_code
    except httpx.ConnectError:
        return 0


def test_it_is_ready_once_its_doors_are_open(tmp_path: Path) -> None:
    """In a process of its own: the libraries of the HTTP door take their time to load."""
    ports = {name: free_port() for name in PORTS}
    redis = {"embedded": {"data_dir": str(tmp_path / "redis"), "appendfsync": "everysec"}}
    path = tmp_path / "router.yaml"
    path.write_text(yaml.safe_dump({"server": ports, "redis": redis}) + SECTIONS)
    argv = [sys.executable, "-m", "router", "serve", "--config", str(path)]
    end_s, told = time.monotonic() + PATIENCE_S, []
    with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as started:  # noqa: S603 - ours
        try:
            while not told or told[-1] != 200:
                assert time.monotonic() < end_s
                told.append(status(ports["metrics_port"], READY))
            assert status(ports["http_port"], "/readyz") == 200
            assert status(ports["metrics_port"], LIVE) == 200
        finally:
            started.terminate()
            assert started.wait(PATIENCE_S) == 0
    assert 503 in told


@on_uvloop
async def test_while_it_drains_it_is_alive_but_not_ready(tmp_path: Path) -> None:
    wire = Held(says())

    async def watched(router: Router, call: asyncio.Task[bytes]) -> tuple[int, bool]:
        """Returns what is told of life once /ready is 503, and whether the call went on."""
        async with asyncio.timeout(PATIENCE_S):
            while await asyncio.to_thread(status, router.metrics_port, READY) != 503:
                await asyncio.sleep(0.01)
        found = await asyncio.to_thread(status, router.metrics_port, LIVE), not call.done()
        call.cancel()
        return found

    async with door(tmp_path, wire) as router:
        assert await asyncio.to_thread(status, router.metrics_port, READY) == 200
        call = asyncio.create_task(raw(router, post("/v1/chat/completions", BODY)))
        await wire.began.wait()
        watch = asyncio.create_task(watched(router, call))
    assert await watch == (200, True)
    with suppress(asyncio.CancelledError):
        await call
