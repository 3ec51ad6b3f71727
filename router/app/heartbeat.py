"""Whether this process makes progress: asked by probes that end one that does not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from router.runtime.loops import Report, wait

BEAT_S: Final = 1.0
LATE_S: Final = 30.0
"""No step on the event loop takes as long: work that does is handed to threads."""


class Heartbeat:
    """Beats on the event loop; any thread may ask whether it still does.

    report: told at every beat, None for nobody.
    """

    def __init__(
        self, report: Report | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._report = report
        self._clock = clock
        self._at_s = clock()

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self.step()
            await wait(stop, BEAT_S)

    async def step(self) -> None:
        self._at_s = self._clock()
        if self._report is not None:
            await self._report(serving=True)

    def alive(self) -> bool:
        return self._clock() - self._at_s < LATE_S
