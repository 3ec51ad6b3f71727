"""`scripts/chaos learning`: kill -9 at random, then compare every promise with the store."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import click

from bench.chaos.books import Books, Differences, Promises, differences, read_books, verified
from bench.chaos.callers import Callers
from bench.chaos.stage import TENANT, Stage, opened, staged, until
from demo.setup import serving
from router.adapters.storage import Storage

IN_FLIGHT = 6
PAUSES_S = (0.5, 2.0)
"""Time between two kills."""
DOWN_S = (0.0, 0.4)
DRAIN_S = 120.0
NANO = 1_000_000_000


async def run(kills: int, seed: int) -> tuple[Counter[str], Verdict]:
    """Kill so many times, then let everything finish; returns the kills by kind."""
    rng = random.Random(seed)  # noqa: S311 - chance for a test
    with tempfile.TemporaryDirectory() as name:
        async with staged(Path(name)) as stage:
            callers, stop = Callers(stage.ports, stage.key, rng), asyncio.Event()
            asking = asyncio.create_task(callers.run(IN_FLIGHT, stop))
            killed = await _kill(stage, kills, rng, asking)
            await until(lambda: all(serving(port) for port in stage.ports))
            stop.set()
            await asking
            async with opened(stage.url) as storage:
                await _drained(storage)
                for actor in stage.learners:
                    await actor.stop()
                return killed, await judged(storage, callers.promises, stage.config, TENANT)


async def _kill(
    stage: Stage, kills: int, rng: random.Random, asking: asyncio.Task[None]
) -> Counter[str]:
    killed: Counter[str] = Counter()
    while killed.total() < kills:
        await asyncio.sleep(rng.uniform(*PAUSES_S))
        if asking.done():
            break  # it failed: its error is raised where it is awaited
        victim = rng.choice(rng.choice((stage.stores, stage.routers, stage.learners)))
        if victim.kill():
            killed[victim.name.partition("-")[0]] += 1
        await asyncio.sleep(rng.uniform(*DOWN_S))
        await victim.start()
    return killed


async def _drained(storage: Storage) -> None:
    """Wait until a snapshot knows every event. Raises TimeoutError."""
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
    killed, verdict = asyncio.run(run(kills, seed))
    who = ", ".join(f"{name} {times}" for name, times in sorted(killed.items()))
    click.echo(f"{killed.total()} kills ({who})")
    click.echo(f"{verdict.decisions} decisions answered, {verdict.feedback} feedback acknowledged")
    click.echo(verdict.wrong)
    click.echo(f"charged ${verdict.charged_usd:.9f}, owed ${verdict.owed_usd:.9f}")
    click.echo(f"replay: {verdict.replay}")
    if not verdict.kept:
        raise click.ClickException("a promise was broken")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of a run: promises, money and the replay.

    charged_usd, owed_usd: what the tenant was charged, and what its decisions cost together with
    the estimates of those that a kill left open. replay: what `learner replay --verify` said.
    """

    decisions: int
    feedback: int
    wrong: Differences
    charged_usd: float
    owed_usd: float
    same: bool
    replay: str

    @property
    def kept(self) -> bool:
        fair = abs(self.charged_usd - self.owed_usd) < 1 / NANO * max(1, self.decisions)
        return self.same and fair and self.wrong.none


async def judged(storage: Storage, promises: Promises, config: Path, tenant: str) -> Verdict:
    books = await read_books(storage)
    decisions, feedback = len(promises.answered), len(promises.told)
    money = await _money(storage, books, tenant)
    wrong = differences(promises, books)
    return Verdict(decisions, feedback, wrong, *money, *await verified(config))


async def _money(storage: Storage, books: Books, tenant: str) -> tuple[float, float]:
    """Returns USD charged to the tenant, and owed by it."""
    call = storage.client.call
    charged = await call("HGET", f"ar:usage:{tenant}", "daily")
    costs = dict(books.costs_usd)
    for key in await call("KEYS", "ar:reservation:*"):
        # Open, or an orphan's: it is charged at its bound or estimate, whatever was recorded.
        estimate = await call("HGET", key, "cost")
        costs[key.decode().rpartition(":")[2]] = float(estimate) / NANO
    return float(charged or 0) / NANO, sum(costs.values())
