"""Work that must end although its caller has left, and writes that are insisted on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from random import SystemRandom
from typing import Any, Final, TypeVar

from router.domain.errors import RouterError, StorageUnavailable
from router.ports.observer import Observer

T = TypeVar("T")
INSIST_S: Final = 10.0
"""How long a write that somebody waits for is tried."""
SETTLE_S: Final = 300.0
"""How long one that nobody waits for is tried."""
DRAIN_S: Final = 5.0
END_S: Final = 2.0
STOP_S: Final = 2.0
"""How long spare work may go on once a router ends."""
FIRST_PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 2.0
_draw = SystemRandom().random


class Background:
    """Keeps tasks alive; what fails in one nobody waits for is counted, not lost in silence.

    spool: is handed what `insist` could not write, by its value; set by who keeps it elsewhere.
    stopping: nothing that costs anything is to be begun any more.
    """

    def __init__(
        self, observer: Observer, *, spool: Callable[[object], None] | None = None
    ) -> None:
        self._observer = observer
        self._tasks: set[asyncio.Task[Any]] = set()
        self.spool = spool
        self.stopping = False
        self._spare: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            name = error.reason.lower() if isinstance(error, RouterError) else "internal"
            self._observer.degraded(f"background_{name}")

    async def insist(
        self, write: Callable[[], Awaitable[T]], owed: object, patience_s: float = SETTLE_S
    ) -> T:
        """Retry a write; where it could not be had, the spool is told what is owed, if anything.

        Raises StorageUnavailable.
        """
        try:
            return await retry_write(write, patience_s)
        except (StorageUnavailable, asyncio.CancelledError):
            if owed is not None:
                self._lose(owed)
            raise

    def _lose(self, owed: object) -> None:
        if self.spool is None:
            self._observer.degraded("write_lost")
        else:
            self.spool(owed)

    def spare(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start work that calls others and that nobody waits for: `stop` ends it."""
        task = self.start(work)
        self._spare.add(task)
        task.add_done_callback(self._spare.discard)
        return task

    async def stop(self, patience_s: float = STOP_S) -> None:
        """End spare work while there are still connections; it writes down what it has paid for."""
        self.stopping = True
        await _ended(self._spare, patience_s)

    async def drain(self, patience_s: float = DRAIN_S) -> None:
        """Wait for what is under way; what takes longer is ended, and what it owes spooled."""
        await _ended(self._tasks, patience_s)


async def _ended(tasks: set[asyncio.Task[Any]], patience_s: float) -> None:
    """Wait for tasks, those that they start among them; cancel what takes longer."""
    loop = asyncio.get_running_loop()
    until_s = loop.time() + patience_s
    while tasks and loop.time() < until_s:
        await asyncio.wait(tasks, timeout=until_s - loop.time())
    # What a task does about its end may take a write of its own.
    left = set(tasks)
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=END_S)


async def retry_write(write: Callable[[], Awaitable[T]], patience_s: float = INSIST_S) -> T:
    """Try for so long, pausing longer from try to try.

    The write is idempotent: a lost reply repeats it. Raises StorageUnavailable, at once where the
    store refuses this one command.
    """
    until_s, pause_s = time.monotonic() + patience_s, FIRST_PAUSE_S
    while True:
        try:
            return await write()
        except StorageUnavailable as error:
            left_s = until_s - time.monotonic()
            if left_s <= 0 or error.is_refused:
                raise
        # Routers that lost the store together do not return to it together.
        await asyncio.sleep(min(left_s, pause_s * (0.5 + _draw())))
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
