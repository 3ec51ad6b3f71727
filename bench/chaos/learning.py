"""`scripts/chaos learning`: kill -9 at random, then hold every promise against the store."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from bench.chaos.callers import Callers
from bench.chaos.stage import TENANT, Stage, staged, until
from bench.chaos.verdict import Verdict, judged
from demo.setup import serving
from router.adapters.storage import Storage, StorageSettings, open_storage

IN_FLIGHT = 6
PAUSES_S = (0.5, 2.0)
"""Between two kills."""
DOWN_S = (0.0, 0.4)
DRAIN_S = 120.0


@dataclass(frozen=True, slots=True)
class Ran:
    kills: Counter[str]
    verdict: Verdict


async def run(kills: int, seed: int) -> Ran:
    """Bounded: so many kills, then everything is let finish."""
    rng = random.Random(seed)  # noqa: S311 - chance for a test
    with tempfile.TemporaryDirectory() as name:
        async with staged(Path(name)) as stage:
            callers, stop = Callers(stage.ports, stage.key, rng), asyncio.Event()
            asking = asyncio.create_task(callers.run(IN_FLIGHT, stop))
            killed = await _kill(stage, kills, rng, asking)
            await until(lambda: all(serving(port) for port in stage.ports))
            stop.set()
            await asking
            async with _opened(stage) as storage:
                await _drained(storage)
                for actor in stage.learners:
                    await actor.stop()
                return Ran(killed, await judged(storage, callers.promises, stage.config, TENANT))


async def _kill(
    stage: Stage, kills: int, rng: random.Random, asking: asyncio.Task[None]
) -> Counter[str]:
    killed: Counter[str] = Counter()
    while killed.total() < kills:
        await asyncio.sleep(rng.uniform(*PAUSES_S))
        if asking.done():
            break  # it failed: its error is raised where it is awaited
        victim = rng.choice(rng.choice(stage.victims))
        if victim.kill():
            killed[victim.name.partition("-")[0]] += 1
        await asyncio.sleep(rng.uniform(*DOWN_S))
        await victim.start()
    return killed


@asynccontextmanager
async def _opened(stage: Stage) -> AsyncIterator[Storage]:
    storage = await open_storage(StorageSettings(url=stage.redis.url, timeout_ms=10_000))
    try:
        yield storage
    finally:
        await storage.close()


async def _drained(storage: Storage) -> None:
    """Until a snapshot knows every event. Raises TimeoutError."""
    async with asyncio.timeout(DRAIN_S):
        while True:
            stored = await storage.snapshots.load()
            if stored and await storage.events.backlog(stored.position) == 0:
                return
            await asyncio.sleep(0.1)


@click.command("learning")
@click.option("--kills", default=100, show_default=True, type=click.IntRange(1, 10_000))
@click.option("--seed", default=0, show_default=True)
def learning(kills: int, seed: int) -> None:
    """Routers, learners and Redis killed at random: nothing acknowledged may be lost or doubled."""
    ran = asyncio.run(run(kills, seed))
    verdict = ran.verdict
    who = ", ".join(f"{name} {times}" for name, times in sorted(ran.kills.items()))
    click.echo(f"{ran.kills.total()} kills ({who})")
    click.echo(f"{verdict.decisions} decisions answered, {verdict.feedback} feedback acknowledged")
    click.echo(f"decisions lost {len(verdict.lost)}, doubled {len(verdict.doubled)}")
    lost, doubled = len(verdict.feedback_lost), len(verdict.feedback_doubled)
    click.echo(f"feedback lost {lost}, doubled {doubled}")
    click.echo(f"charged ${verdict.charged_usd:.9f}, owed ${verdict.owed_usd:.9f}")
    click.echo(f"replay: {verdict.replay}")
    if not verdict.kept:
        raise click.ClickException("a promise was broken")
