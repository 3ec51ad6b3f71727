"""Speed of a learner on a log as routers leave it, and what the log takes in Redis."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import click
import httpx
import numpy as np

from bandit import ContextMap, PromptFacts, make_policy
from bench.chaos.actors import Command
from bench.chaos.stage import arms_of, gauge, write_config
from demo.stack import free_port
from router.adapters.storage import Storage, StorageSettings, open_storage
from router.config import Config, parse_config
from router.config.values import catalog_of, settings_of, weights_of
from router.domain.catalog import Catalog
from router.domain.chat import Usage
from router.domain.errors import RouterError
from router.domain.records import (
    Attempt,
    AttemptOutcome,
    Choice,
    DecisionRecord,
    FeedbackReport,
    Mode,
)
from router.domain.requests import WeightOverrides
from router.serving.decider import Bounds, Decider

LOOK_S = 0.02
LONGEST_S = 3_600.0
KIB, MIB = 1024, 1024**2
CHALLENGERS = {"lin": {"name": "linucb"}, "bold": {"draw_width": 1.0}}
PRICES = {"cheap": 0.2, "reasoning": 6.0, "fallback": 0.8}
CLOSED_PORT = 9
TENANT = "bench"
AT_ONCE = 64
ESCALATED = 0.3
DIMENSIONS = 384
ID_BYTES = 16


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
        while not (first := await gauge(client, port, "backlog_events")):  # noqa: ASYNC110 - another process
            await asyncio.sleep(LOOK_S)
        began_s = time.perf_counter()
        while await gauge(client, port, "backlog_events"):  # noqa: ASYNC110 - another process
            await asyncio.sleep(LOOK_S)
        return first / (time.perf_counter() - began_s)


async def _again(learner: Command, storage: Storage, config: Config) -> float:
    """Returns seconds until another learner has the lease and publishes one more decision."""
    learner.kill()
    await fill(storage, config, 1, seed=1)
    began_s, version = time.perf_counter(), await storage.snapshots.latest_version()
    await learner.start()
    async with asyncio.timeout(LONGEST_S):
        while await storage.snapshots.latest_version() == version:  # noqa: ASYNC110 - see above
            await asyncio.sleep(LOOK_S)
    return time.perf_counter() - began_s


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


async def fill(storage: Storage, config: Config, decisions: int, seed: int) -> None:
    """Two events for each decision, one after the other."""
    made = records(config, decisions, np.random.default_rng(seed))
    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(_write(storage, made))


async def _write(storage: Storage, made: Iterator[tuple[DecisionRecord, float]]) -> None:
    for record, quality in made:
        await storage.decisions.record(record)
        await storage.decisions.feedback(TENANT, record.id, FeedbackReport(quality=quality))


def records(
    config: Config, decisions: int, rng: np.random.Generator
) -> Iterator[tuple[DecisionRecord, float]]:
    """Yield records, each with the quality of its feedback."""
    catalog, context_map = catalog_of(config), ContextMap.default()
    settings = settings_of(config, catalog, context_map)
    policy = make_policy(config.policy.name, settings, context_map.version, rng)
    decider = Decider(context_map, policy, weights_of(config))
    plans = tuple(catalog.plans.values())
    for _ in range(decisions):
        embedding = rng.normal(size=DIMENSIONS).astype(np.float32)
        facts = PromptFacts(text="x" * int(rng.integers(20, 400)))
        context = context_map.build(embedding / np.linalg.norm(embedding), facts)
        choice = decider.choose(context, plans, WeightOverrides(), Bounds())
        if choice is None:
            raise RouterError("without bounds a plan is always chosen")
        yield _record(choice, catalog, rng), float(rng.integers(2))


def _record(choice: Choice, catalog: Catalog, rng: np.random.Generator) -> DecisionRecord:
    rungs = catalog.plans[choice.plan].rungs
    called = rungs[: 1 + (len(rungs) > 1 and rng.random() < ESCALATED)]
    attempts = tuple(_attempt(catalog, arm, rng, served=arm == called[-1]) for arm in called)
    last = attempts[-1]
    return DecisionRecord(
        id=UUID(bytes=rng.bytes(ID_BYTES)).hex,
        tenant=TENANT,
        created_ms=int(time.time() * 1_000),
        mode=Mode.COMPLETE,
        choice=choice,
        attempts=attempts,
        arm=last.arm,
        deployment=last.deployment,
        model=last.model,
    )


def _attempt(catalog: Catalog, arm: str, rng: np.random.Generator, *, served: bool) -> Attempt:
    deployment = catalog.arms[arm].deployments[0]
    usage = Usage(int(rng.integers(50, 800)), int(rng.integers(20, 600)))
    return Attempt(
        arm=arm,
        deployment=deployment.name,
        model=deployment.model,
        outcome=AttemptOutcome.ACCEPTED if served else AttemptOutcome.ESCALATED,
        why="" if served else "refusal",
        latency_ms=float(rng.lognormal(6, 0.5)),
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cost_usd=deployment.price.cost_usd(usage),
    )
