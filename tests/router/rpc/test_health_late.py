"""A component whose watch tells nothing in time does not serve."""

from __future__ import annotations

import asyncio

from grpc_health.v1 import health_pb2

from router.rpc.health import HealthReporter
from router.runtime.loops import HealthProbe, TaskSupervisor

PATIENCE_S = 60.0
SERVING = health_pb2.HealthCheckResponse.SERVING


async def status(reporter: HealthReporter, component: str) -> bool:
    asked = health_pb2.HealthCheckRequest(service=component)
    return bool((await reporter.Check(asked, None)).status == SERVING)  # type: ignore[arg-type]


async def turns(reporter: HealthReporter, component: str, *, serving: bool) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while await status(reporter, component) is not serving:
            await asyncio.sleep(0.01)


async def test_a_watch_that_hangs_is_late_and_the_whole_with_it() -> None:
    reporter, hangs, loops = HealthReporter(), asyncio.Event(), TaskSupervisor()
    for component in ("embedder", "redis"):
        await reporter.set(component, serving=component == "embedder")

    async def check() -> None:
        if hangs.is_set():
            await asyncio.Event().wait()

    watch = HealthProbe(check, reporter.watched("redis", 0.3), every_ms=20)
    loops.start(watch, "redis")
    await turns(reporter, "redis", serving=True)
    await turns(reporter, "", serving=True)
    await asyncio.sleep(0.5)
    assert await status(reporter, "redis")
    hangs.set()
    await turns(reporter, "redis", serving=False)
    assert not await status(reporter, "")
    await loops.end(0.1)


async def test_a_watch_that_is_told_again_serves_again() -> None:
    reporter = HealthReporter()
    report = reporter.watched("redis", 0.05)
    await report(serving=True)
    await turns(reporter, "redis", serving=False)
    await report(serving=True)
    assert await status(reporter, "redis")


async def test_a_late_watch_says_nothing_after_the_end() -> None:
    reporter = HealthReporter()
    await reporter.watched("redis", 0.01)(serving=True)
    reporter.drain()
    await asyncio.sleep(0.05)
    assert not await status(reporter, "redis")
