"""The learner that is a router's child: started again when it ends, and never silently away."""

from __future__ import annotations

import asyncio
import ctypes
import multiprocessing.context
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection

import structlog

from router.app.reloading import ConfigSource
from router.config import Config
from router.domain.errors import RouterError
from router.observe.logs import configure_logs
from router.ports.observer import Observer
from router.runtime.loops import Report, wait

LOOK_S = 0.5
RESTART_S = 2.0
MAX_RESTART_S = 60.0
STEADY_S = 10.0
"""A learner that ended before is trusted again after so long."""
GRACE_S = 10.0
PR_SET_PDEATHSIG = 1
NICENESS = 5

Started = Callable[[], None]
Target = Callable[[Config, ConfigSource | None, Started], None]
Child = multiprocessing.context.SpawnProcess


class LearnerChild:
    """Starts `target(config, source, started)` in a child, again when it ends, ends it with `stop`.

    target: calls `started()` once it learns. report: told whether the child learns.
    """

    def __init__(
        self,
        target: Target,
        config: Config,
        source: ConfigSource | None,
        report: Report,
        observer: Observer,
    ) -> None:
        self._target = target
        self._arguments = config, source
        self._report = report
        self._observer = observer
        self._context = multiprocessing.get_context("spawn")
        self._failures = 0
        self._log = structlog.get_logger("app")

    async def run(self, stop: asyncio.Event) -> None:
        await self._tell(serving=False)
        while not stop.is_set():
            told, tells = self._context.Pipe(duplex=False)
            with told:
                child = self._spawned(tells)
                tells.close()
                try:
                    await self._watch(child, told, stop)
                    if not stop.is_set():
                        await self._tell(serving=False)
                        await wait(stop, self._failed(child))
                finally:  # whatever ends this loop, no child outlives its turn
                    if child is not None:
                        await asyncio.shield(asyncio.to_thread(_end, child))

    def _spawned(self, tells: Connection) -> Child | None:
        """Returns nothing where the machine has no room for a process."""
        target = partial(self._target, *self._arguments)
        child = self._context.Process(
            target=_run_child, args=(target, os.getpid(), tells), daemon=True
        )
        try:
            child.start()
        except OSError:
            return None
        return child

    async def _watch(self, child: Child | None, told: Connection, stop: asyncio.Event) -> None:
        since_s, learns = time.monotonic(), False
        while child is not None and child.is_alive() and not stop.is_set():
            learns = learns or _heard(told)
            steady = time.monotonic() - since_s >= STEADY_S
            if learns and steady:
                self._failures = 0
            await self._tell(serving=learns and not self._failures)
            await wait(stop, LOOK_S)

    def _failed(self, child: Child | None) -> float:
        """Returns how long to wait before the next start: ever longer, up to a minute."""
        wait_s = min(MAX_RESTART_S, RESTART_S * 2.0 ** min(self._failures, 10))
        self._failures += 1
        code = child.exitcode if child else None
        killed_by = signal.Signals(-code).name if code and code < 0 else ""
        self._log.error(
            "learner_ended",
            code=code,
            signal=killed_by,
            failures=self._failures,
            restart_in_s=wait_s,
        )
        self._observer.learner_ended()
        return wait_s

    async def _tell(self, *, serving: bool) -> None:
        self._observer.learner(serving=serving)
        await self._report(serving=serving)


def _heard(told: Connection) -> bool:
    """Returns whether the child has said that it learns; one that ended says nothing more."""
    try:
        return told.poll() and bool(told.recv())
    except (EOFError, OSError):
        return False


def _end(child: multiprocessing.process.BaseProcess) -> None:
    child.terminate()  # the learner publishes what it has learned and gives its lease back
    child.join(GRACE_S)
    if child.is_alive():
        child.kill()
        child.join()


def _run_child(target: Callable[[Started], None], parent: int, tells: Connection) -> None:
    """Have the kernel end this process when the router is killed (Linux, prctl(2)).

    An error is told in a line of the log, as all else, and by the exit status.
    """
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICENESS)  # on a full machine requests go first
    if os.getppid() != parent:
        return
    configure_logs()
    log = structlog.get_logger("app")
    try:
        target(partial(tells.send, True))  # noqa: FBT003 - any one thing
    except RouterError as error:
        log.error("learner_failed", reason=error.reason, fix=error.message)  # noqa: TRY400 - its words suffice
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 - a traceback is no line of the log
        log.error("learner_failed", error=type(error).__name__)  # noqa: TRY400 - it may quote an event
        sys.exit(1)
