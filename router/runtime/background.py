"""Work that must end although its caller has left, and writes that are tried again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

from router.domain.errors import RouterError, StorageUnavailable
from router.ports.observer import Observer

T = TypeVar("T")


DRAIN_S: Final = 5.0


class Background:
    """Keeps tasks alive; what fails in one nobody waits for is counted, not lost in silence."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            name = error.reason.lower() if isinstance(error, RouterError) else "internal"
            self._observer.degraded(f"background_{name}")

    async def drain(self, patience_s: float = DRAIN_S) -> None:
        """Wait for all to end; cancel those that do not in time."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + patience_s
        while self._tasks and (left_s := until_s - loop.time()) > 0:
            await asyncio.wait(self._tasks, timeout=left_s)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1.0)


PAUSES_S: Final = (0.05, 0.25, 1.0)


async def retry_write(write: Callable[[], Awaitable[T]]) -> T:
    """Try once and then again after each pause. The write is idempotent: a lost reply repeats it.

    Raises StorageUnavailable.
    """
    for pause_s in PAUSES_S:
        try:
            return await write()
        except StorageUnavailable:
            await asyncio.sleep(pause_s)
    return await write()
