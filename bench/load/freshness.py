"""Time from acknowledged feedback to weights in use on every router."""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from pathlib import Path

import click
import httpx
import numpy as np

from bench.chaos.callers import Callers
from bench.chaos.stage import Cast, Stage, gauge, opened, staged
from router.adapters.storage import Storage
from router.domain.events import number_of

DEFAULTS = Cast(routers=3, learners=1, publish_ms=1_000, poll_ms=250)
"""The service's own pace."""
LOOK_S = 0.01
LONGEST_S = 30.0


async def run(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        async with (
            staged(Path(name), DEFAULTS) as stage,
            httpx.AsyncClient() as client,
            opened(stage.url) as storage,
        ):
            took_s = [await _round(stage, storage, client, n) for n in range(rounds)]
    half, most = np.percentile(took_s, [50, 99])
    click.echo(
        f"{rounds} rounds, {DEFAULTS.routers} routers: feedback acknowledged to learned and in use "
        f"on every router: p50 {half:.2f} s, p99 {most:.2f} s"
    )


async def _round(stage: Stage, storage: Storage, client: httpx.AsyncClient, number: int) -> float:
    """Returns seconds until every router serves a snapshot that knows one piece of feedback."""
    rng = random.Random(number)  # noqa: S311 - chance for a measurement
    await asyncio.sleep(rng.random())  # not in step with the learner
    callers = Callers(stage.ports, stage.key, rng)
    decision_id = await callers.ask(f"Round {number}: what is new?")
    began_s = time.perf_counter()
    position = await storage.events.position_of(decision_id)
    async with asyncio.timeout(LONGEST_S):
        while not await _known(stage, storage, client, position or "0"):  # noqa: ASYNC110 - others' state
            await asyncio.sleep(LOOK_S)
    took_s = time.perf_counter() - began_s
    await callers.close()
    return took_s


async def _known(stage: Stage, storage: Storage, client: httpx.AsyncClient, position: str) -> bool:
    positions = await storage.snapshots.positions()
    knowing = [v for v, p in positions.items() if number_of(p) >= number_of(position)]
    if not knowing:
        return False
    gauges = (gauge(client, port, "snapshot_version") for port in stage.metrics)
    return min(await asyncio.gather(*gauges)) >= min(knowing)
