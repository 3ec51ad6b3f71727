"""A router's process ends, or does not begin, in time, whatever its store does."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from bench.chaos.proxy import FaultyProxy, Mode
from demo.stack import free_port
from router.adapters.storage import EmbeddedRedis
from tests.e2e.conftest import ARMS

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0
DRAIN_MS = 2_000
SECRET = "hunter2-secret"


@dataclass(slots=True)
class Served:
    process: subprocess.Popen[bytes]
    log: Path
    port: int

    async def is_serving(self, component: str = "redis") -> bool:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            asked = health_pb2.HealthCheckRequest(service=component)
            try:
                answer = await health_pb2_grpc.HealthStub(channel).Check(asked, timeout=5)
            except grpc.aio.AioRpcError:
                return False
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    async def turns(self, *, serving: bool) -> float:
        """Seconds until the health is so."""
        began_s = time.monotonic()
        async with asyncio.timeout(PATIENCE_S):
            while await self.is_serving() is not serving:
                assert self.process.poll() is None, self.log.read_text()[-3_000:]
                await asyncio.sleep(0.02)
        return time.monotonic() - began_s

    async def ends(self) -> float:
        """Seconds from SIGTERM to the end."""
        self.process.send_signal(signal.SIGTERM)
        began_s = time.monotonic()
        async with asyncio.timeout(PATIENCE_S):
            while self.process.poll() is None:
                await asyncio.sleep(0.02)
        return time.monotonic() - began_s


@pytest.fixture
def redis(request: pytest.FixtureRequest) -> str:
    return getattr(request, "param", "pool_size: 4")


@asynccontextmanager
async def serving(
    text: str, folder: Path, command: str = "serve", **env: str
) -> AsyncIterator[Served]:
    port = free_port()
    text = re.sub(r"\n  port: \d+|\nserver:.*", "", text)
    server = f"\nserver: {{port: {port}, metrics_port: 0, drain_ms: {DRAIN_MS}}}\n"
    (folder / "router.yaml").write_text(text + server)
    log = folder / "log"
    words = [sys.executable, "-m", "router", command, "--config", str(folder / "router.yaml")]
    with log.open("wb") as written:
        process = subprocess.Popen(words, cwd=ROOT, env=os.environ | env, stderr=written)  # noqa: ASYNC220, S603 - our own
    try:
        yield Served(process, log, port)
    finally:
        process.kill()
        process.wait()


def write(config: Callable[..., str], folder: Path, redis: str) -> str:
    text = config(folder, dict.fromkeys(ARMS, 9))
    return re.sub(r"(?m)^redis:.*$", f"redis: {redis}", text)


@pytest.mark.usefixtures("model_dir")
@pytest.mark.parametrize("mode", [Mode.SWALLOW, Mode.HOLD, Mode.REFUSE])
async def test_sigterm_ends_a_router_whose_store_is_gone(
    mode: Mode, tmp_path: Path, config: Callable[..., str], redis_server: EmbeddedRedis
) -> None:
    async with FaultyProxy(redis_server.socket) as proxy:
        text = write(config, tmp_path, f"{{url: '{proxy.url}'}}")
        async with serving(text, tmp_path) as served:
            await served.turns(serving=True)
            await proxy.set(mode)
            assert await served.turns(serving=False) < 8
            assert await served.ends() < DRAIN_MS / 1_000 + 8
            assert served.process.returncode == 0


@pytest.mark.usefixtures("model_dir")
async def test_resets_of_idle_connections_leave_health_watch_and_end_alive(
    tmp_path: Path, config: Callable[..., str], redis_server: EmbeddedRedis
) -> None:
    async with FaultyProxy(redis_server.socket) as proxy:
        text = write(config, tmp_path, f"{{url: '{proxy.url}'}}")
        async with serving(text, tmp_path) as served:
            await served.turns(serving=True)
            for _ in range(20):
                proxy.reset_all()
                await asyncio.sleep(0.1)
            await proxy.set(Mode.REFUSE)
            await served.turns(serving=False)  # so the watch still runs
            await proxy.set(Mode.PASS)
            assert await served.turns(serving=True) < 5
            assert await served.ends() < DRAIN_MS / 1_000 + 8
            told = served.log.read_text()
            # Resets that meet calls under way for half a second are an outage, and are told once.
            assert 1 <= told.count("the storage does not serve: away") <= 2
            assert "the storage serves again" in told


async def told(served: Served, words: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while words not in served.log.read_text():
            assert served.process.poll() is None, served.log.read_text()[-3_000:]
            await asyncio.sleep(0.02)


@pytest.mark.usefixtures("model_dir")
@pytest.mark.parametrize("command", ["serve", "learner"])
async def test_a_black_hole_from_the_start_on_holds_up_no_end(
    command: str, tmp_path: Path, config: Callable[..., str], redis_server: EmbeddedRedis
) -> None:
    async with FaultyProxy(redis_server.socket) as proxy:
        await proxy.set(Mode.SWALLOW)
        text = write(config, tmp_path, f"{{url: '{proxy.url}'}}")
        async with serving(text, tmp_path, command) as served:
            await told(served, "started")
            await told(served, "the storage does not serve: timeout")
            assert await served.ends() < DRAIN_MS / 1_000 + 8
            assert served.process.returncode == 0


WRONG = {
    f"redis://u:{SECRET}@127.0.0.1:1/0?sokcet_timeout=1": "socket_timeout",
    f"redis://u:{SECRET}/x@h:1": "percent-encoded",
    "redis://127.0.0.1:1?db=abc": "db",
}


@pytest.mark.parametrize("url", WRONG)
async def test_a_mistyped_url_ends_the_start_at_once_and_says_what_is_wrong(
    url: str, tmp_path: Path, config: Callable[..., str]
) -> None:
    text = write(config, tmp_path, "{url_env: STORE_URL}")
    async with serving(text, tmp_path, STORE_URL=url) as served:
        async with asyncio.timeout(PATIENCE_S):
            while served.process.poll() is None:
                await asyncio.sleep(0.02)
        told = served.log.read_text()
        assert served.process.returncode not in (0, None)
        assert "redis.url_env" in told
        assert WRONG[url] in told
        assert SECRET not in told
        assert "Traceback" not in told
