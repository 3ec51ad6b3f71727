"""Loops are restarted, bounded in time, and told of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
import uvloop

from router.observe.metrics import Metrics
from router.runtime.background import Background
from router.runtime.loops import (
    MOST_RESTARTS,
    HealthProbe,
    TaskSupervisor,
    finished_step,
    wait,
)

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
PATIENCE_S = 60.0


def run(case: Callable[[], object], name: str) -> None:
    with asyncio.Runner(loop_factory=LOOPS[name]) as runner:
        runner.run(asyncio.wait_for(case(), PATIENCE_S))  # type: ignore[arg-type]


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.01)


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(f"adaptive_router_{name}", labels) or 0.0


class Scripted:
    """Steps in turn: an error is raised, "hang" waits for ever, anything else is a good step."""

    def __init__(self, *steps: object) -> None:
        self.steps = list(steps)
        self.done = 0
        self.cancelled = 0

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            step = self.steps.pop(0) if self.steps else None
            if isinstance(step, BaseException):
                raise step
            if step == "hang":
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    self.cancelled += 1
                    raise
            self.done += 1
            await wait(stop, 0.01)


@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_that_breaks_is_started_again(name: str) -> None:
    async def case() -> None:
        metrics = Metrics()
        loops = TaskSupervisor(metrics)
        loop = Scripted(None, RuntimeError("uvloop"), None, OSError(), None)
        loops.start(loop, "mine")
        await until(lambda: loop.done > 5)
        assert not loops.failed.is_set()
        assert value(metrics, "loop_restarts_total", loop="mine", why="broke") == 2
        assert value(metrics, "loop_last_finished_timestamp_seconds", loop="mine") > 0
        await loops.end()

    run(case, name)


@pytest.mark.parametrize("name", LOOPS)
def test_a_step_that_hangs_is_cancelled_and_the_loop_goes_on(name: str) -> None:
    async def case() -> None:
        metrics = Metrics()
        loops = TaskSupervisor(metrics)
        loop = Scripted(None, "hang")
        loops.start(loop, "mine", step_s=0.2)
        await until(lambda: loop.done > 3)
        assert loop.cancelled == 1
        assert value(metrics, "loop_restarts_total", loop="mine", why="hung") == 1
        await loops.end()

    run(case, name)


@pytest.mark.parametrize("name", LOOPS)
def test_a_step_that_swallows_its_cancel_holds_up_neither_loop_nor_end(name: str) -> None:
    class Deaf(Scripted):
        async def run(self, stop: asyncio.Event) -> None:
            if self.done == 0:
                self.done = 1
                until_s = asyncio.get_running_loop().time() + 2
                while (left_s := until_s - asyncio.get_running_loop().time()) > 0:
                    try:
                        await asyncio.sleep(left_s)
                    except asyncio.CancelledError:
                        self.cancelled += 1
            await super().run(stop)

    async def case() -> None:
        loops, loop = TaskSupervisor(), Deaf()
        loops.start(loop, step_s=0.1)
        await until(lambda: loop.done > 3)
        assert loop.cancelled >= 1
        await loops.end(0.5)

    run(case, name)


async def test_waiting_is_no_step_that_hangs() -> None:
    class Slow(Scripted):
        async def run(self, stop: asyncio.Event) -> None:
            for _ in range(3):
                self.done += 1
                await wait(stop, 0.5)

    loops, loop, metrics = TaskSupervisor(), Slow(), Metrics()
    loops = TaskSupervisor(metrics)
    loops.start(loop, "slow", step_s=0.1)
    await until(lambda: loop.done == 3)
    assert value(metrics, "loop_restarts_total", loop="slow", why="hung") == 0
    await loops.end()


async def test_a_loop_without_pauses_tells_of_its_steps() -> None:
    class Busy(Scripted):
        async def run(self, stop: asyncio.Event) -> None:
            while not stop.is_set():
                await asyncio.sleep(0.05)
                self.done += 1
                finished_step()

    metrics = Metrics()
    loops, loop = TaskSupervisor(metrics), Busy()
    loops.start(loop, "busy", step_s=0.5)
    await until(lambda: loop.done > 12)
    assert value(metrics, "loop_restarts_total", loop="busy", why="hung") == 0
    await loops.end()


async def test_a_loop_that_always_breaks_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.runtime.loops.LONGEST_PAUSE_S", 0.01)
    monkeypatch.setattr("router.runtime.loops.FIRST_PAUSE_S", 0.01)
    loops = TaskSupervisor()
    loops.start(Scripted(*[RuntimeError()] * (MOST_RESTARTS + 1)))
    await asyncio.wait_for(loops.failed.wait(), PATIENCE_S)
    await loops.end()


async def test_the_end_does_not_wait_for_a_loop_that_hangs() -> None:
    loops = TaskSupervisor()
    loops.start(Scripted("hang"))
    await asyncio.sleep(0.02)
    await asyncio.wait_for(loops.end(0.1), 5)


async def test_the_end_does_not_wait_for_work_that_hangs() -> None:
    background = Background(Metrics())
    task = background.start(asyncio.Event().wait())
    await asyncio.wait_for(background.drain(0.1), 5)
    assert task.cancelled()


async def test_a_check_that_hangs_is_ill() -> None:
    told: list[bool] = []

    async def report(*, serving: bool) -> None:
        told.append(serving)

    async def hang() -> None:
        await asyncio.Event().wait()

    assert not await HealthProbe(hang, report, 1_000, limit_ms=50).step()
    assert told == [False]


async def test_a_check_that_breaks_is_ill_and_told_of() -> None:
    told: list[bool] = []

    async def report(*, serving: bool) -> None:
        told.append(serving)

    async def broken() -> None:
        raise RuntimeError("driver")

    with pytest.raises(RuntimeError):
        await HealthProbe(broken, report, 1_000).step()
    assert told == [False]
