"""Redis, two routers, two learners and a provider that takes no time, on 127.0.0.1."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.chaos.actors import Actor, Command, Redis
from demo.setup import serving
from demo.stack import free_port, listens

READY_S = 60.0
LOOK_S = 0.05
TENANT = "chaos"

CONFIG = """
server: {{port: {port}, metrics_port: 0}}
cache: {{enabled: false}}
redis: {{url: "{redis}", keep_events: 1000000}}
learning: {{embedded: false, publish_every_ms: 100, poll_ms: 100}}
embedding: {{workers: 1}}
arms:
  cheap: {{deployments: [{cheap}]}}
  reasoning: {{deployments: [{reasoning}]}}
"""
DEPLOYMENT = (
    "{{name: {name}, provider: openai, base_url: 'http://127.0.0.1:{port}/v1', model: instant,"
    " price: {{input_usd_per_mtok: {usd}, output_usd_per_mtok: {usd}}}}}"
)


@dataclass(frozen=True, slots=True)
class Stage:
    """config: of a router, good for the commands too. victims: what may be killed, by kind."""

    redis: Redis
    ports: tuple[int, ...]
    config: Path
    key: str
    victims: tuple[tuple[Actor, ...], ...]
    learners: tuple[Actor, ...]


@asynccontextmanager
async def staged(folder: Path) -> AsyncIterator[Stage]:
    """Everything serving; leaving it ends every process."""
    async with AsyncExitStack() as stack:
        redis, upstream = Redis(folder), free_port()
        provider = Command(
            "upstream",
            folder,
            ["demo.upstream", "--profile", "instant", "--port", str(upstream)],
        )
        ports = (free_port(), free_port())
        configs = [_config(folder, redis.url, upstream, port) for port in ports]
        routers = [_run("router", "serve", folder, path) for path in configs]
        learners = [_run("learner", "learner", folder, path) for path in configs]
        actors: list[Actor] = [redis, provider, *routers, *learners]
        for actor in actors:
            await actor.start()
            stack.push_async_callback(actor.stop)
        await until(lambda: listens(upstream) and all(serving(port) for port in ports))
        yield Stage(
            redis=redis,
            ports=ports,
            config=configs[0],
            key=_key(configs[0]),
            victims=((redis,), tuple(routers), tuple(learners)),
            learners=tuple(learners),
        )


async def until(ready: Callable[[], bool]) -> None:
    """Raises TimeoutError."""
    async with asyncio.timeout(READY_S):
        while not await asyncio.to_thread(ready):  # noqa: ASYNC110 - other processes set no event
            await asyncio.sleep(LOOK_S)


def _run(name: str, command: str, folder: Path, config: Path) -> Command:
    argv = ["router", command, "--config", str(config)]
    return Command(f"{name}-{config.stem}", folder, argv)


def _config(folder: Path, redis: str, upstream: int, port: int) -> Path:
    deployments = {
        name: DEPLOYMENT.format(name=name, port=upstream, usd=usd)
        for name, usd in (("cheap", 0.1), ("reasoning", 2.0))
    }
    path = folder / f"{port}.yaml"
    path.write_text(CONFIG.format(port=port, redis=redis, **deployments))
    return path


def _key(config: Path) -> str:
    words = ["tenant", "create", TENANT, "--daily-usd", "1000", "--config", str(config)]
    made = subprocess.run(  # noqa: S603 - our own command, no shell
        [sys.executable, "-m", "router", *words], check=True, capture_output=True, text=True
    )
    return made.stdout.strip()
