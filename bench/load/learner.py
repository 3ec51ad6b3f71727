"""Speed of a learner, time until another one takes over, memory of the log in Redis."""

from __future__ import annotations

import asyncio
import re
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import click
import httpx

from bench.chaos.actors import Command
from bench.chaos.stage import arms_of, write_config
from bench.load.traffic import fill
from demo.stack import free_port
from router.adapters.storage import Storage, StorageSettings
from router.adapters.storage.storage import open_storage
from router.config import Config, parse_config

LOOK_S = 0.02
LONGEST_S = 3_600.0
KIB, MIB = 1024, 1024**2
CHALLENGERS = {"lin": {"name": "linucb"}, "bold": {"draw_width": 1.0}}
PRICES = {"cheap": 0.2, "reasoning": 6.0, "fallback": 0.8}
CLOSED_PORT = 9
_BACKLOG = re.compile(r"^adaptive_router_backlog_events (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class LogSize:
    """Memory of the log in Redis. event_bytes: in the stream. all_bytes: decisions as well."""

    event_bytes: float
    all_bytes: float


async def run(decisions: int, *, challenged: bool) -> None:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        storage = await open_storage(_settings(folder, decisions))
        stack.push_async_callback(storage.close)
        document, port = _config(storage, decisions, CHALLENGERS if challenged else {})
        path = write_config(folder / "router.yaml", document)
        config = parse_config(path.read_text(), "bench", {})
        taken = await _filled(storage, config, decisions)
        learner = Command("learner", folder, ["router", "learner", "--config", str(path)])
        stack.push_async_callback(learner.stop)
        rate = await _rate(learner, port)
        again_s = await _again(learner, storage, config)
        snapshot = await storage.snapshots.load()
    size = len(snapshot.payload) / KIB if snapshot else 0
    click.echo(
        f"{decisions} decisions with feedback, {len(config.challengers)} challengers: "
        f"{rate:.0f} events a second\n"
        f"killed with all of it learned, one more decision made: a learner started then has "
        f"published that after {again_s:.2f} s\n"
        f"snapshot {size:.0f} KiB; in Redis {taken.event_bytes:.0f} bytes an event, "
        f"{taken.all_bytes / decisions:.0f} bytes a decision with its events, so "
        f"{taken.all_bytes / decisions * 1e6 / MIB:.0f} MiB a million decisions"
    )


async def _filled(storage: Storage, config: Config, decisions: int) -> LogSize:
    before = await _memory(storage)
    await fill(storage, config, decisions, seed=0)
    stream = await storage.client.call("MEMORY", "USAGE", "ar:events", "SAMPLES", 1_000)
    return LogSize(stream / 2 / decisions, await _memory(storage) - before)


async def _rate(learner: Command, port: int) -> float:
    """Returns events a second, from the first that are learned to the last."""
    await learner.start()
    async with httpx.AsyncClient() as client, asyncio.timeout(LONGEST_S):
        while not (first := await _backlog(client, port)):  # noqa: ASYNC110 - another process
            await asyncio.sleep(LOOK_S)
        began_s = time.perf_counter()
        while await _backlog(client, port):  # noqa: ASYNC110 - another process
            await asyncio.sleep(LOOK_S)
        return first / (time.perf_counter() - began_s)


async def _again(learner: Command, storage: Storage, config: Config) -> float:
    """Returns seconds until another learner publishes what came after the newest snapshot.

    It waits for the lease of the one that was killed.
    """
    learner.kill()
    await fill(storage, config, 1, seed=1)
    began_s, version = time.perf_counter(), await storage.snapshots.latest_version()
    await learner.start()
    async with asyncio.timeout(LONGEST_S):
        while await storage.snapshots.latest_version() == version:  # noqa: ASYNC110 - see above
            await asyncio.sleep(LOOK_S)
    return time.perf_counter() - began_s


async def _backlog(client: httpx.AsyncClient, port: int) -> float:
    """Returns 0 also while the learner does not answer."""
    try:
        page = await client.get(f"http://127.0.0.1:{port}/metrics")
    except httpx.TransportError:
        return 0.0
    found = _BACKLOG.search(page.text)
    return float(found.group(1)) if found else 0.0


async def _memory(storage: Storage) -> int:
    lines = (await storage.client.call("INFO", "memory")).decode().splitlines()
    return int(dict(line.split(":", 1) for line in lines if ":" in line)["used_memory"])


def _settings(folder: Path, decisions: int) -> StorageSettings:
    events = 2 * decisions + 2
    return StorageSettings(
        data_dir=folder, appendfsync="everysec", max_events=events, keep_events=events
    )


def _config(storage: Storage, decisions: int, challengers: object) -> tuple[dict[str, object], int]:
    """Returns a document and the port of its metrics."""
    assert storage.server is not None  # noqa: S101 - opened without a URL
    port, events = free_port(), 2 * decisions + 2
    redis = {"url": f"unix://{storage.server.socket}", "max_events": events, "keep_events": events}
    document = {
        "server": {"metrics_port": port},
        "redis": redis,
        "arms": arms_of(PRICES, CLOSED_PORT),
        "challengers": challengers,
    }
    return document, port
