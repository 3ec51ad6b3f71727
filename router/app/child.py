"""The learner in a process of its own: learning takes a core, not the requests' time."""

from __future__ import annotations

import asyncio
import ctypes
import multiprocessing
import os
import signal
from collections.abc import Callable
from functools import partial

import structlog

from router.app.reloading import Source
from router.config import Config
from router.core.watch import wait

LOOK_S = 0.5
RESTART_S = 2.0
GRACE_S = 10.0
PR_SET_PDEATHSIG = 1
NICENESS = 5


Target = Callable[[Config, Source | None], None]


class LearnerChild:
    """Starts `target(config, source)` in a child, again when it ends, and ends it with `stop`."""

    def __init__(self, target: Target, config: Config, source: Source | None) -> None:
        self._target = target
        self._told = config, source
        self._context = multiprocessing.get_context("spawn")

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            child = self._context.Process(
                target=_run, args=(partial(self._target, *self._told), os.getpid()), daemon=True
            )
            child.start()
            while child.is_alive() and not stop.is_set():
                await wait(stop, LOOK_S)
            if not stop.is_set():
                structlog.get_logger("app").error("learner_ended", code=child.exitcode)
                await wait(stop, RESTART_S)
            await asyncio.to_thread(_end, child)


def _end(child: multiprocessing.process.BaseProcess) -> None:
    child.terminate()  # the learner publishes what it has learned and gives its lease back
    child.join(GRACE_S)
    if child.is_alive():
        child.kill()
        child.join()


def _run(target: Callable[[], None], parent: int) -> None:
    """Have the kernel end this process when the router is killed (Linux, prctl(2))."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICENESS)  # on a full machine requests go first
    if os.getppid() == parent:
        target()
