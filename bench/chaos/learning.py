"""`scripts/chaos learning`: kill -9 at random, then compare every promise with the store."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import click

from bench.chaos.callers import Callers, Promises
from bench.chaos.stage import TENANT, Stage, opened, staged, until
from demo.setup import serving
from router.adapters.storage import Storage
from router.domain.events import Decided, Event, FeedbackGiven

IN_FLIGHT = 6
PAUSES_S = (0.5, 2.0)
"""Time between two kills."""
DOWN_S = (0.0, 0.4)
DRAIN_S = 120.0
BATCH = 1_000
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
            async with opened(stage) as storage:
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
        victim = rng.choice(rng.choice(stage.victims))
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
    click.echo(f"decisions lost {len(verdict.lost)}, doubled {len(verdict.doubled)}")
    lost, doubled = len(verdict.feedback_lost), len(verdict.feedback_doubled)
    click.echo(f"feedback lost {lost}, doubled {doubled}")
    click.echo(f"charged ${verdict.charged_usd:.9f}, owed ${verdict.owed_usd:.9f}")
    click.echo(f"replay: {verdict.replay}")
    if not verdict.kept:
        raise click.ClickException("a promise was broken")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Decision ids by what is wrong with them; all empty when every promise was kept.

    charged_usd, owed_usd: what the tenant was charged, and what its decisions cost together with
    the estimates of those that a kill left open. replay: what `learner replay --verify` said.
    """

    decisions: int
    feedback: int
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    feedback_lost: list[str] = field(default_factory=list)
    feedback_doubled: list[str] = field(default_factory=list)
    charged_usd: float = 0.0
    owed_usd: float = 0.0
    replay: str = ""
    same: bool = False

    @property
    def kept(self) -> bool:
        wrong = (self.lost, self.doubled, self.feedback_lost, self.feedback_doubled)
        fair = abs(self.charged_usd - self.owed_usd) < 1 / NANO * max(1, self.decisions)
        return self.same and fair and not any(wrong)


async def judged(storage: Storage, promises: Promises, config: Path, tenant: str) -> Verdict:
    events = await _events(storage)
    decided = Counter(e.record.id for e in events if isinstance(e, Decided))
    told = Counter(e.decision_id for e in events if isinstance(e, FeedbackGiven))
    values = {e.decision_id: e.quality for e in events if isinstance(e, FeedbackGiven)}
    charged_usd, owed_usd = await _money(storage, events, tenant)
    replay = subprocess.run(  # noqa: S603, ASYNC221 - our own command; nothing else runs by now
        [sys.executable, "-m", "router", "learner", "replay", "--verify", "--config", str(config)],
        check=False,
        capture_output=True,
        text=True,
    )
    return Verdict(
        decisions=len(promises.answered),
        feedback=len(promises.told),
        lost=[i for i in promises.answered if i not in decided] + promises.refused,
        doubled=[i for i, times in decided.items() if times > 1],
        feedback_lost=[i for i, quality in promises.told.items() if values.get(i) != quality],
        feedback_doubled=[i for i, times in told.items() if times > 1],
        charged_usd=charged_usd,
        owed_usd=owed_usd,
        replay=(replay.stdout + replay.stderr).strip(),
        same=replay.returncode == 0,
    )


async def _events(storage: Storage) -> list[Event]:
    found: list[Event] = []
    position = "0"
    while batch := await storage.events.read(position, BATCH, 0):
        found += [event for _, event in batch]
        position = batch[-1][0]
    return found


async def _money(storage: Storage, events: list[Event], tenant: str) -> tuple[float, float]:
    """Returns USD charged to the tenant, and owed by it."""
    call = storage.client.call
    charged = await call("HGET", f"ar:usage:{tenant}", "daily")
    costs = {e.record.id: e.record.cost_usd for e in events if isinstance(e, Decided)}
    for key in await call("KEYS", "ar:reservation:*"):
        # Open, or an orphan's: it is charged at its bound or estimate, whatever was recorded.
        estimate = await call("HGET", key, "cost")
        costs[key.decode().rpartition(":")[2]] = float(estimate) / NANO
    return float(charged or 0) / NANO, sum(costs.values())
