"""How fast a learner learns, how soon another one takes over, and what the log takes in Redis."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import click
from threadpoolctl import threadpool_limits

from bench.traffic import fill
from router.adapters.storage import Storage
from router.app import opened_storage
from router.app.brain import Brain
from router.app.build import build_learner
from router.config import Config, parse_config
from router.config.values import catalogue_of
from router.core.observer import NullObserver

SEED = 0
KIB, MIB = 1024, 1024**2
CHALLENGERS = {"lin": {"name": "linucb"}, "bold": {"draw_width": 1.0}}
PRICES = {"cheap": 0.2, "reasoning": 6.0, "fallback": 0.8}


@dataclass(frozen=True, slots=True)
class Learned:
    """How many events a learner got through, and the time of the wall and of its process."""

    events: int
    wall_s: float
    cpu_s: float


class _Done(NullObserver):
    """Stops a learner when nothing waits. events: how many it has learned."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.events = 0

    def learned(self, events: int, backlog: int) -> None:
        self.events += events
        if not backlog:
            self.stop.set()


async def run(decisions: int, *, challenged: bool) -> None:
    with tempfile.TemporaryDirectory() as name, threadpool_limits(limits=1):
        config = _config(Path(name), 2 * decisions, CHALLENGERS if challenged else {})
        async with opened_storage(config, {}) as storage:
            before = await _memory(storage, "used_memory")
            await fill(storage, config, decisions, SEED)
            used = await _memory(storage, "used_memory") - before
            stream = await storage.client.call("MEMORY", "USAGE", "ar:events", "SAMPLES", 1_000)
            learned = await _catch_up(config, storage)
            again = await _catch_up(config, storage)
            snapshot = await storage.snapshots.load()
    if snapshot is None:
        raise click.ClickException("nothing was published")
    if again.events:
        raise click.ClickException("a successor learned again what was published")
    rate = learned.events / learned.wall_s
    click.echo(
        f"{learned.events} events of {decisions} decisions, {len(config.challengers)} challengers: "
        f"learned in {learned.wall_s:.1f} s ({rate:.0f} a second, "
        f"{learned.cpu_s / learned.wall_s:.2f} cores)\n"
        f"a learner that finds a snapshot of all of them is there after {again.wall_s:.2f} s\n"
        f"snapshot {len(snapshot.payload) / KIB:.0f} KiB; in Redis "
        f"{stream / 2 / decisions:.0f} bytes an event, "
        f"{used / decisions:.0f} bytes a decision with its events, "
        f"so {used / decisions * 1e6 / MIB:.0f} MiB a million decisions"
    )


async def _catch_up(config: Config, storage: Storage) -> Learned:
    """By a learner that is started now, until nothing waits and all of it is published."""
    catalogue, done = catalogue_of(config), _Done()
    brain = Brain(config, catalogue)
    learner = build_learner(config, catalogue, brain, storage, done)
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    await learner.run(done.stop)
    return Learned(done.events, time.perf_counter() - began_s, time.process_time() - began_cpu_s)


async def _memory(storage: Storage, field: str) -> int:
    lines = (await storage.client.call("INFO", "memory")).decode().splitlines()
    return int(dict(line.split(":", 1) for line in lines if ":" in line)[field])


def _config(folder: Path, events: int, challengers: object) -> Config:
    arms = {name: {"deployments": [_deployment(name)]} for name in PRICES}
    embedded = {"data_dir": str(folder), "appendfsync": "everysec"}
    redis = {"max_events": events, "keep_events": events, "embedded": embedded}
    document = {"redis": redis, "arms": arms, "challengers": challengers}
    return parse_config(json.dumps(document), "bench", {})  # JSON is YAML


def _deployment(name: str) -> object:
    price = dict.fromkeys(("input_usd_per_mtok", "output_usd_per_mtok"), PRICES[name])
    url = "http://127.0.0.1:9/v1"
    return {"name": name, "provider": "openai", "base_url": url, "model": name, "price": price}
