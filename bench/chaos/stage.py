"""Redis, routers, learners and an instant provider, on 127.0.0.1."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx

from bench.chaos.actors import Actor, Command, Program, Redis
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

    url: of the store. config: of a router, good for the commands too. key: of TENANT.
    """

    url: str
    stores: tuple[Actor, ...]
    routers: tuple[Program, ...]
    learners: tuple[Program, ...]
    ports: tuple[int, ...]
    metrics: tuple[int, ...]
    config: Path
    key: str


@dataclass(frozen=True, slots=True)
class Cast:
    """Number of processes, their pace of publishing and polling, and the time to end in."""

    routers: int = 2
    learners: int = 2
    publish_ms: int = 100
    poll_ms: int = 100
    drain_ms: int = 20_000


CAST = Cast()


@asynccontextmanager
async def staged(folder: Path, cast: Cast = CAST) -> AsyncIterator[Stage]:
    """Yield once everything serves; leaving it ends every process."""
    redis, upstream = Redis(folder), free_port()
    provider = Command("upstream", folder, [*INSTANT, str(upstream)])
    async with running(redis, provider):
        await until(lambda: listens(upstream))
        async with housed(folder, redis.url, upstream, cast) as stage:
            yield replace(stage, stores=(redis,))


@asynccontextmanager
async def housed(folder: Path, url: str, upstream: int, cast: Cast) -> AsyncIterator[Stage]:
    """Yield once all routers serve, which share a store and a provider with their learners."""
    ports = tuple(free_port() for _ in range(cast.routers))
    metrics = tuple(free_port() for _ in ports)
    configs = [_config(folder, url, upstream, p, cast) for p in zip(ports, metrics, strict=True)]
    routers = [
        Command(f"router-{n}", folder, ["router", "serve", "--config", str(path)])
        for n, path in enumerate(configs)
    ]
    alone = _config(folder, url, upstream, (free_port(), 0), cast)
    learners = [
        Command(f"learner-{n}", folder, ["router", "learner", "--config", str(alone)])
        for n in range(cast.learners)
    ]
    async with running(*routers, *learners):
        await until(lambda: all(serving(port) for port in ports))
        yield Stage(
            url=url,
            stores=(),
            routers=tuple(routers),
            learners=tuple(learners),
            ports=ports,
            metrics=metrics,
            config=configs[0],
            key=await made_tenant(configs[0], TENANT, "--daily-usd", "1000"),
        )


@asynccontextmanager
async def running(*actors: Actor) -> AsyncIterator[None]:
    """Start one after the other; leaving it ends them, the last started first."""
    async with AsyncExitStack() as stack:
        for actor in actors:
            await actor.start()
            stack.push_async_callback(actor.stop)
        yield


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
async def opened(url: str) -> AsyncIterator[Storage]:
    """Yield the storage at an address."""
    storage = await open_storage(StorageSettings(url=url, timeout_ms=10_000))
    try:
        yield storage
    finally:
        await storage.close()


def _config(folder: Path, redis: str, upstream: int, ports: tuple[int, int], cast: Cast) -> Path:
    """ports: of the API and of the metrics."""
    pace = {"publish_every_ms": cast.publish_ms, "poll_ms": cast.poll_ms}
    document = {
        "server": {"port": ports[0], "metrics_port": ports[1], "drain_ms": cast.drain_ms},
        "cache": {"enabled": False},
        "redis": {"url": redis, "keep_events": 1_000_000},
        "learning": {"embedded": False, **pace},
        "degraded": {"spool_dir": str(folder / f"spool-{ports[0]}")},
        "embedding": {"workers": 1},
        "arms": arms_of(PRICES, upstream),
    }
    return write_config(folder / f"{ports[0]}.yaml", document)


async def made_tenant(config: Path, name: str, *limits: str) -> str:
    """Returns the key of a new tenant."""
    done, told = await commanded("tenant", "create", name, *limits, "--config", str(config))
    if done:
        raise RuntimeError(told)
    return told


async def commanded(*words: str) -> tuple[int, str]:
    """Run one of the router's commands; returns its exit code, and what it printed or complained.

    Nothing waits meanwhile that runs on the same loop.
    """
    argv = (sys.executable, "-m", "router", *words)
    process = await asyncio.create_subprocess_exec(*argv, stdout=PIPE, stderr=PIPE)
    printed, complained = await process.communicate()
    return process.returncode or 0, (printed or complained).decode().strip()
