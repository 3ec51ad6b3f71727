"""Loops in the background: supervised together, waiting at intervals, probing a dependency."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final, Protocol

import structlog

from router.domain.errors import RouterError
from router.ports.observer import LOAD_S, Observer

STEP_S: Final = 60.0
"""A step that takes longer is cancelled; a loop may have a limit of its own."""
CANCEL_S: Final = 0.25
FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 15.0
MOST_RESTARTS: Final = 8
WITHIN_S: Final = 120.0
"""So many restarts in so short a time set `failed`: the process must then end."""
END_S: Final = 10.0


class Loop(Protocol):
    """Calls `finished_step` after every step, or `wait`, which does so."""

    async def run(self, stop: asyncio.Event) -> None: ...


@dataclass(slots=True)
class _Pulse:
    """The state of one loop. began_s: of the step under way, None while it waits."""

    name: str
    observer: Observer
    limit_s: float
    began_s: float | None = None
    restarts_s: list[float] = field(default_factory=list)
    overran: bool = False

    def begin(self) -> None:
        self.began_s = time.monotonic()

    def left_s(self) -> float:
        """Returns how long nothing can have taken too long."""
        if self.began_s is None:
            return self.limit_s
        return self.limit_s - (time.monotonic() - self.began_s)

    def finish(self) -> None:
        self.began_s = None
        self.observer.loop_finished(self.name)


_PULSE: ContextVar[_Pulse | None] = ContextVar("pulse", default=None)


def finished_step() -> None:
    """Tell the supervisor that a step of this loop has ended and the next one begins."""
    pulse = _PULSE.get()
    if pulse is not None:
        pulse.finish()
        pulse.begin()


class TaskSupervisor:
    """Runs loops until `end`: restarts one that breaks, cancels a step that hangs.

    failed: set when one broke again and again; the process must then end.
    """

    def __init__(self, observer: Observer | None = None) -> None:
        self.stop = asyncio.Event()
        self.failed = asyncio.Event()
        self._observer = observer or Observer()
        self._tasks: list[asyncio.Task[None]] = []
        self._log = structlog.get_logger("app")

    def start(self, loop: Loop, name: str = "", *, step_s: float = STEP_S) -> None:
        """name: of metrics and logs; step_s: longest that a step may take."""
        pulse = _Pulse(name or type(loop).__name__, self._observer, step_s)
        self._tasks.append(asyncio.create_task(self._supervise(loop, pulse)))

    async def end(self, patience_s: float = END_S) -> None:
        """Let loops end by themselves; cancel those that do not in time."""
        self.stop.set()
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=patience_s)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=1.0)

    async def _supervise(self, loop: Loop, pulse: _Pulse) -> None:
        pause_s = FIRST_PAUSE_S
        while not self.stop.is_set():
            began_s = time.monotonic()
            error = await self._run(loop, pulse)
            if error is None:
                return
            self._restarting(pulse, error)
            if time.monotonic() - began_s > WITHIN_S:
                pause_s = FIRST_PAUSE_S
            await wait(self.stop, pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _run(self, loop: Loop, pulse: _Pulse) -> BaseException | None:
        """Returns the error that ended the loop; None where it has come to its end."""
        pulse.begin()
        pulse.overran = False
        running = asyncio.create_task(_pulsing(loop, pulse, self.stop))
        try:
            while not running.done():
                await asyncio.wait({running}, timeout=pulse.left_s())
                if pulse.left_s() <= 0 and not running.done():
                    pulse.overran = True
                    running.cancel()
                    # One that swallows the cancel is left behind, and another begun.
                    await asyncio.wait({running}, timeout=CANCEL_S)
                    return TimeoutError()
        except asyncio.CancelledError:
            running.cancel()
            raise
        return asyncio.CancelledError() if running.cancelled() else running.exception()

    def _restarting(self, pulse: _Pulse, error: BaseException) -> None:
        name = type(error).__name__
        if pulse.overran:
            self._log.error("loop_step_hung", loop=pulse.name, limit_s=pulse.limit_s)
        else:
            self._log.error("loop_broke", loop=pulse.name, error=name)
        self._observer.loop_restarted(pulse.name, "hung" if pulse.overran else "broke")
        now_s = time.monotonic()
        pulse.restarts_s = [at_s for at_s in pulse.restarts_s if now_s - at_s < WITHIN_S]
        pulse.restarts_s.append(now_s)
        if len(pulse.restarts_s) > MOST_RESTARTS:
            self.failed.set()


async def _pulsing(loop: Loop, pulse: _Pulse, stop: asyncio.Event) -> None:
    _PULSE.set(pulse)
    await loop.run(stop)


class LoadWatch:
    """Tells how many calls are under way, and how late the event loop comes back to its work.

    queued: counts what waits, by queue. clock: seconds.
    """

    def __init__(
        self,
        load: Callable[[], int],
        observer: Observer,
        queued: Callable[[], Mapping[str, int]] = dict,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._load = load
        self._queued = queued
        self._observer = observer
        self._clock = clock

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            began_s = self._clock()
            await asyncio.sleep(LOAD_S)
            late_s = max(0.0, self._clock() - began_s - LOAD_S)
            self._observer.load(self._load(), late_s)
            self._observer.queued(self._queued())
            finished_step()


class Report(Protocol):
    async def __call__(self, *, serving: bool) -> None: ...


class HealthProbe:
    """check() raises RouterError when the dependency is ill; report is told each time.

    ill_every_ms: between two looks while it is ill. limit_ms: for a check; a later one is ill.
    """

    def __init__(
        self,
        check: Callable[[], Awaitable[None]],
        report: Report,
        every_ms: int,
        *,
        ill_every_ms: int | None = None,
        limit_ms: int = 30_000,
    ) -> None:
        self._check = check
        self._report = report
        self._every_s = every_ms / 1_000
        self._ill_every_s = (ill_every_ms or every_ms) / 1_000
        self._limit_s = limit_ms / 1_000

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            serves = await self.step()
            await wait(stop, self._every_s if serves else self._ill_every_s)

    async def step(self) -> bool:
        try:
            async with asyncio.timeout(self._limit_s):
                await self._check()
        except (RouterError, TimeoutError):
            await self._report(serving=False)
            return False
        except Exception:
            await self._report(serving=False)
            raise
        await self._report(serving=True)
        return True


async def wait(stop: asyncio.Event, seconds: float) -> None:
    """Wait until `stop` is set, at most for so many seconds. A step of a loop ends here."""
    pulse = _PULSE.get()
    if pulse is not None:
        pulse.finish()
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        pass
    if pulse is not None:
        pulse.begin()
