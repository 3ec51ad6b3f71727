"""Redis, routers, learners and a provider that takes no time, on 127.0.0.1."""

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
server: {{port: {port}, metrics_port: {metrics}}}
cache: {{enabled: false}}
redis: {{url: "{redis}", keep_events: 1000000}}
learning: {{embedded: false, publish_every_ms: {publish_ms}, poll_ms: {poll_ms}}}
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
    """config: of a router, good for the commands too. victims: what may be killed, by kind.

    ports, metrics: of each router, in the same order.
    """

    redis: Redis
    ports: tuple[int, ...]
    metrics: tuple[int, ...]
    config: Path
    key: str
    victims: tuple[tuple[Actor, ...], ...]
    learners: tuple[Actor, ...]


@dataclass(frozen=True, slots=True)
class Cast:
    """How many of each, and how eagerly they publish and look."""

    routers: int = 2
    learners: int = 2
    publish_ms: int = 100
    poll_ms: int = 100


CAST = Cast()


@asynccontextmanager
async def staged(folder: Path, cast: Cast = CAST) -> AsyncIterator[Stage]:
    """Everything serving; leaving it ends every process."""
    async with AsyncExitStack() as stack:
        redis, upstream = Redis(folder), free_port()
        provider = Command(
            "upstream",
            folder,
            ["demo.upstream", "--profile", "instant", "--port", str(upstream)],
        )
        ports = tuple(free_port() for _ in range(cast.routers))
        metrics = tuple(free_port() for _ in ports)
        pairs = zip(ports, metrics, strict=True)
        configs = [_config(folder, redis.url, upstream, pair, cast) for pair in pairs]
        routers = [
            Command(f"router-{n}", folder, ["router", "serve", "--config", str(path)])
            for n, path in enumerate(configs)
        ]
        alone = _config(folder, redis.url, upstream, (free_port(), 0), cast)
        learners = [
            Command(f"learner-{n}", folder, ["router", "learner", "--config", str(alone)])
            for n in range(cast.learners)
        ]
        actors: list[Actor] = [redis, provider, *routers, *learners]
        for actor in actors:
            await actor.start()
            stack.push_async_callback(actor.stop)
        await until(lambda: listens(upstream) and all(serving(port) for port in ports))
        yield Stage(
            redis=redis,
            ports=ports,
            metrics=metrics,
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


def _config(folder: Path, redis: str, upstream: int, ports: tuple[int, int], cast: Cast) -> Path:
    """ports: of the API and of the metrics."""
    deployments = {
        name: DEPLOYMENT.format(name=name, port=upstream, usd=usd)
        for name, usd in (("cheap", 0.1), ("reasoning", 2.0))
    }
    path = folder / f"{ports[0]}.yaml"
    pace = {"publish_ms": cast.publish_ms, "poll_ms": cast.poll_ms}
    text = CONFIG.format(port=ports[0], metrics=ports[1], redis=redis, **pace, **deployments)
    path.write_text(text)
    return path


def _key(config: Path) -> str:
    words = ["tenant", "create", TENANT, "--daily-usd", "1000", "--config", str(config)]
    made = subprocess.run(  # noqa: S603 - our own command, no shell
        [sys.executable, "-m", "router", *words], check=True, capture_output=True, text=True
    )
    return made.stdout.strip()
