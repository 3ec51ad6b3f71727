"""Redis, routers, learners and an instant provider, on 127.0.0.1."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from bench.chaos.actors import Actor, Command, Redis
from demo.setup import serving
from demo.stack import free_port, listens
from router.adapters.storage import Storage, StorageSettings, open_storage

READY_S = 60.0
LOOK_S = 0.05
TENANT = "chaos"

INSTANT = ["demo.upstream", "--profile", "instant", "--port"]
PRICES = {"cheap": 0.1, "reasoning": 2.0}


def arms_of(prices: Mapping[str, float], port: int) -> dict[str, object]:
    """Returns arms of one deployment each; prices: USD per million tokens."""
    every = {"provider": "openai", "base_url": f"http://127.0.0.1:{port}/v1"}
    return {
        name: {"deployments": [{"name": name, "model": name, "price": _price(usd), **every}]}
        for name, usd in prices.items()
    }


def _price(usd: float) -> dict[str, float]:
    return dict.fromkeys(("input_usd_per_mtok", "output_usd_per_mtok"), usd)


def write_config(path: Path, document: Mapping[str, object]) -> Path:
    """Write JSON, which is YAML."""
    path.write_text(json.dumps(document))
    return path


@dataclass(frozen=True, slots=True)
class Stage:
    """Running processes; ports and metrics are those of each router, in the same order.

    config: of a router, good for the commands too. victims: processes to kill, by kind.
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
    """Number of processes, and their pace of publishing and polling."""

    routers: int = 2
    learners: int = 2
    publish_ms: int = 100
    poll_ms: int = 100


CAST = Cast()


@asynccontextmanager
async def staged(folder: Path, cast: Cast = CAST) -> AsyncIterator[Stage]:
    """Yield once everything serves; leaving it ends every process."""
    async with AsyncExitStack() as stack:
        redis, upstream = Redis(folder), free_port()
        provider = Command("upstream", folder, [*INSTANT, str(upstream)])
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
    """Wait for a condition. Raises TimeoutError."""
    async with asyncio.timeout(READY_S):
        while not await asyncio.to_thread(ready):  # noqa: ASYNC110 - other processes set no event
            await asyncio.sleep(LOOK_S)


async def gauge(client: httpx.AsyncClient, port: int, name: str) -> float:
    """Returns a metric of a process, 0 also while it does not answer."""
    try:
        page = await client.get(f"http://127.0.0.1:{port}/metrics")
    except httpx.TransportError:
        return 0.0
    found = re.search(rf"^adaptive_router_{name} (\S+)$", page.text, re.MULTILINE)
    return float(found.group(1)) if found else 0.0


@asynccontextmanager
async def opened(stage: Stage) -> AsyncIterator[Storage]:
    """Yield the storage of the running processes."""
    storage = await open_storage(StorageSettings(url=stage.redis.url, timeout_ms=10_000))
    try:
        yield storage
    finally:
        await storage.close()


def _config(folder: Path, redis: str, upstream: int, ports: tuple[int, int], cast: Cast) -> Path:
    """ports: of the API and of the metrics."""
    pace = {"publish_every_ms": cast.publish_ms, "poll_ms": cast.poll_ms}
    document = {
        "server": dict(zip(("port", "metrics_port"), ports, strict=True)),
        "cache": {"enabled": False},
        "redis": {"url": redis, "keep_events": 1_000_000},
        "learning": {"embedded": False, **pace},
        "embedding": {"workers": 1},
        "arms": arms_of(PRICES, upstream),
    }
    return write_config(folder / f"{ports[0]}.yaml", document)


def _key(config: Path) -> str:
    words = ["tenant", "create", TENANT, "--daily-usd", "1000", "--config", str(config)]
    made = subprocess.run(  # noqa: S603 - our own command, no shell
        [sys.executable, "-m", "router", *words], check=True, capture_output=True, text=True
    )
    return made.stdout.strip()
