"""Background loops that end together."""

from __future__ import annotations

import asyncio
from typing import Protocol

import structlog


class Loop(Protocol):
    async def run(self, stop: asyncio.Event) -> None: ...


class TaskSupervisor:
    """failed: set when a loop broke down; a service without its loops must not go on serving."""

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
