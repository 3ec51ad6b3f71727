"""Loops in the background: supervised together, waiting at intervals, probing a dependency."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

from router.domain.errors import RouterError


class Loop(Protocol):
    async def run(self, stop: asyncio.Event) -> None: ...


class TaskSupervisor:
    """Runs loops until `end`. failed: set when one broke down; the process must then end."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.failed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, loop: Loop) -> None:
        task = asyncio.create_task(loop.run(self.stop))
        task.add_done_callback(self._done)
        self._tasks.append(task)

    def _done(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            structlog.get_logger("app").error("loop_broke", error=type(error).__name__)
            self.failed.set()

    async def end(self) -> None:
        self.stop.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class Report(Protocol):
    async def __call__(self, *, serving: bool) -> None: ...


class HealthProbe:
    """check() raises RouterError when the dependency is ill; report is told each time."""

    def __init__(
        self,
        check: Callable[[], Awaitable[None]],
        report: Report,
        every_ms: int,
    ) -> None:
        self._check = check
        self._report = report
        self._every_s = every_ms / 1_000

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self.step()
            await wait(stop, self._every_s)

    async def step(self) -> None:
        try:
            await self._check()
        except RouterError:
            await self._report(serving=False)
        else:
            await self._report(serving=True)


async def wait(stop: asyncio.Event, seconds: float) -> None:
    """Wait until `stop` is set, at most for so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
