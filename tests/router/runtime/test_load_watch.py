"""How late the event loop is, and how many calls are under way."""

from __future__ import annotations

import asyncio
import time

from router.ports.observer import LOAD_S, Observer
from router.runtime.loops import LoadWatch, TaskSupervisor

PATIENCE_S = 60.0


class Told(Observer):
    def __init__(self) -> None:
        self.loads: list[tuple[int, float]] = []
        self.restarts: list[str] = []

    def load(self, in_flight: int, late_s: float) -> None:
        self.loads.append((in_flight, late_s))

    def loop_restarted(self, name: str, why: str) -> None:
        self.restarts.append(f"{name} {why}")


async def test_a_blocked_loop_is_late() -> None:
    told, stop = Told(), asyncio.Event()
    watching = asyncio.create_task(LoadWatch(lambda: 3, told).run(stop))
    async with asyncio.timeout(PATIENCE_S):
        while not told.loads:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0)
        time.sleep(LOAD_S + 0.2)  # noqa: ASYNC251 - what is measured
        while len(told.loads) < 2:
            await asyncio.sleep(0.01)
        stop.set()
        await watching
    assert told.loads[1][0] == 3
    assert 0.15 < told.loads[1][1] < PATIENCE_S


async def test_it_is_not_taken_for_one_that_hangs() -> None:
    told = Told()
    supervisor = TaskSupervisor(told)
    supervisor.start(LoadWatch(lambda: 0, told), "load", step_s=6 * LOAD_S)
    async with asyncio.timeout(PATIENCE_S):
        while len(told.loads) < 10:
            await asyncio.sleep(0.01)
    await supervisor.end()
    assert not told.restarts
