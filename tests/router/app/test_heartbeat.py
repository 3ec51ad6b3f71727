"""A process whose event loop stands still is told by a thread that does not."""

from __future__ import annotations

import asyncio
import threading
import time

import uvloop

from router.app.heartbeat import LATE_S, Heartbeat
from router.runtime.loops import TaskSupervisor


def test_it_beats_until_it_is_stopped_and_reports() -> None:
    told: list[bool] = []

    async def report(*, serving: bool) -> None:
        told.append(serving)

    async def scene() -> None:
        loops = TaskSupervisor()
        loops.start(Heartbeat(report))
        await asyncio.sleep(0.05)
        await loops.end()

    uvloop.run(scene())
    assert told == [True]


def test_a_loop_that_stands_still_is_told_and_lives_again_when_it_goes_on() -> None:
    skipped_s = 0.0
    heart = Heartbeat(clock=lambda: time.monotonic() + skipped_s)
    seen: list[bool] = []
    blocks, goes_on = threading.Event(), threading.Event()

    def probe() -> None:
        nonlocal skipped_s
        blocks.wait()
        seen.append(heart.alive())
        skipped_s = LATE_S + 1
        seen.append(heart.alive())
        goes_on.set()

    async def scene() -> None:
        loops = TaskSupervisor()
        loops.start(heart)
        await asyncio.sleep(0.01)
        blocks.set()
        goes_on.wait()  # the loop stands still
        await heart.step()
        seen.append(heart.alive())
        await loops.end()

    asking = threading.Thread(target=probe)
    asking.start()
    uvloop.run(scene())
    asking.join()
    assert seen == [True, False, True]
