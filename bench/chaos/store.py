"""`scripts/chaos store`: an external Redis behind a faulty network, one fault after the other."""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from math import inf
from pathlib import Path

import click
import httpx

from bench.chaos.books import Differences, Promises, differences, read_books, verified
from bench.chaos.faults import DRAIN_S, FAULTS, Gone, Store, charged_usd, slow_to_end
from bench.chaos.nodes import HOST, Node
from bench.chaos.outcome import End, StoreOutcome, Window
from bench.chaos.proxy import FaultyProxy
from bench.chaos.stage import Cast, Stage, gauge, housed, made_tenant, opened, running
from bench.chaos.traffic import SteadyTraffic
from demo.upstream import LedgerEntry, Upstream, served
from demo.world import Profile, Reply, chance
from router.adapters.storage import Storage

CAST = Cast(routers=4, learners=2, drain_ms=int(DRAIN_S * 1_000))
TENANTS = {"budget": ("--monthly-usd", "1000", "--degraded", "yes"), "free": ()}
"""Their limits by name; both may be served while the store is away."""
CALM_S = 4.0
"""Time between two faults."""
ARRIVE_S = 30.0
"""Time in which all that was acknowledged is to be in the log, and the log to be learned."""
LOOK_S = 0.5
PROVIDER = Profile(0, 0, first_token_ms=60, token_ms=2, failure_rate=0)
INPUT_TOKENS, OUTPUT_TOKENS = 150, (40, 160)


async def run(names: Sequence[str], seed: int, folder: Path, cast: Cast = CAST) -> StoreOutcome:
    """Break the store in each way, then let everything finish; folder: for data and logs."""
    rng = random.Random(seed)  # noqa: S311 - chance for a test
    ledger: list[LedgerEntry] = []
    async with _stored(folder) as store, served(_provider(ledger)) as provider:
        async with housed(folder, store.proxy.url, provider, cast) as stage:
            store.routers = dict(zip(stage.ports, stage.routers, strict=True))
            keys = [
                await made_tenant(stage.config, name, *limits) for name, limits in TENANTS.items()
            ]
            traffic, stop = SteadyTraffic(stage.ports, keys, rng), asyncio.Event()
            asking = asyncio.create_task(traffic.run(stop))
            try:
                windows = await _broken(store, names)
            finally:
                stop.set()
                await asking
            windows[-1:] = [replace(window, over_s=inf) for window in windows[-1:]]
            end = await _end(store, stage, traffic.promises)
        async with opened(store.primary.url) as storage:
            gone, books = store.gone, await read_books(storage)
            charged = await charged_usd(storage, store.tenants) + gone.charged_usd
    wrong = differences(traffic.promises, books)
    return StoreOutcome(
        windows=windows,
        calls=traffic.calls,
        ledger=ledger,
        wrong=_excused(wrong, gone),
        twice=[pair for pair in traffic.twice if pair[0] not in gone.decisions],
        redis_lost=_count(wrong) - _count(_excused(wrong, gone)),
        charged_usd=charged,
        end=end,
    )


@asynccontextmanager
async def _stored(folder: Path) -> AsyncIterator[Store]:
    primary, replica = Node("redis-0", folder), Node("redis-1", folder)
    async with running(primary, replica), FaultyProxy((HOST, primary.port)) as proxy:
        await replica.follow(primary.port)
        yield Store(proxy, primary, replica, tuple(TENANTS))


def _provider(ledger: list[LedgerEntry]) -> Upstream:
    return Upstream("any", PROVIDER, _reply, ledger=ledger)


def _reply(prompt: str) -> Reply:
    least, most = OUTPUT_TOKENS
    tokens = least + int((most - least) * chance(prompt))
    return Reply("word " * tokens, 1.0, INPUT_TOKENS, tokens)


async def _broken(store: Store, names: Sequence[str]) -> list[Window]:
    await asyncio.sleep(CALM_S)
    windows = []
    for name in names:
        began_s = time.monotonic()
        await FAULTS[name](store)
        healed_s = time.monotonic()
        await asyncio.sleep(CALM_S)
        windows.append(Window(name, began_s, healed_s, time.monotonic()))
    return windows


async def _end(store: Store, stage: Stage, promises: Promises) -> End:
    """Wait for the log, then end routers and learners as an operator would."""
    async with opened(store.primary.url) as storage:
        await _patiently(lambda: _arrived(storage, promises, store.gone))
        spooled = await _spooled(stage)
        early = [a.name for a in (*stage.routers, *stage.learners) if not a.runs]
        slow = store.slow + await slow_to_end(stage.routers)
        await _patiently(lambda: _learned(storage))
        slow += await slow_to_end(stage.learners)
        stored = await storage.snapshots.load()
        backlog = await storage.events.backlog(stored.position if stored else "0")
    same, replay = await verified(stage.config)
    return End(early, slow, spooled, backlog, same, replay)


async def _patiently(ready: Callable[[], Awaitable[bool]]) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(ARRIVE_S):
            while not await ready():  # noqa: ASYNC110 - others' state
                await asyncio.sleep(LOOK_S)


async def _arrived(storage: Storage, promises: Promises, gone: Gone) -> bool:
    wrong = _excused(differences(promises, await read_books(storage)), gone)
    return not wrong.lost and not wrong.feedback_lost


async def _spooled(stage: Stage) -> int:
    """Returns the writes that wait in routers, though the store is well."""
    async with httpx.AsyncClient() as client:
        return int(sum([await gauge(client, port, "spool_entries") for port in stage.metrics]))


async def _learned(storage: Storage) -> bool:
    stored = await storage.snapshots.load()
    return stored is not None and await storage.events.backlog(stored.position) == 0


def _excused(wrong: Differences, gone: Gone) -> Differences:
    """Leave out what Redis itself has lost."""
    return replace(
        wrong,
        lost=[i for i in wrong.lost if i not in gone.decisions],
        feedback_lost=[i for i in wrong.feedback_lost if i not in gone.feedback],
    )


def _count(wrong: Differences) -> int:
    return len(wrong.lost) + len(wrong.feedback_lost)


def _chosen(_: click.Context, __: click.Parameter, value: str) -> list[str]:
    names = [name.strip() for name in value.split(",") if name.strip()] or list(FAULTS)
    unknown = [name for name in names if name not in FAULTS]
    if unknown:
        raise click.BadParameter(f"{unknown[0]!r} is none of {', '.join(FAULTS)}")
    return names


@click.command("store")
@click.option("--faults", "names", default="", callback=_chosen, help="by comma [all]")
@click.option("--seed", default=0, show_default=True)
@click.option("--logs", type=click.Path(path_type=Path), help="a new folder to keep logs in")
def store(names: list[str], seed: int, logs: Path | None) -> None:
    """Redis reset, held, stopped, full, read-only and failed over under load."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = logs or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        outcome = asyncio.run(run(names, seed, folder))
    for line in outcome.lines():
        click.echo(line)
    if not outcome.kept:
        raise click.ClickException("a promise was broken")
