"""Signs of life on a stream that says nothing: what lies between would hold it for dead."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Self

from router.http.exchange import EVENTS, Exchange


class Pulse:
    """A context in which silence is broken by `ping`, first after `every_s` and then as often."""

    def __init__(self, call: Exchange, ping: bytes, every_s: float) -> None:
        self._call = call
        self._ping = ping
        self._every_s = every_s
        self._loop = asyncio.get_running_loop()
        self._heard_s = self._loop.time()
        self._timer = self._loop.call_later(every_s, self._look)
        self._sending: asyncio.Task[Any] | None = None

    def heard(self) -> None:
        """Something was written."""
        self._heard_s = self._loop.time()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None, /
    ) -> None:
        self._timer.cancel()
        if self._sending is not None:
            self._sending.cancel()

    def _look(self) -> None:
        now_s = self._loop.time()
        if now_s - self._heard_s >= self._every_s:
            # Where the caller reads nothing, the write of an answer waits for it with a limit.
            if not self._call.line.flow.write_paused:
                self._sending = self._loop.create_task(self._send())
            self._heard_s = now_s
        self._timer = self._loop.call_at(self._heard_s + self._every_s, self._look)

    async def _send(self) -> None:
        if not self._call.is_begun:
            await self._call.begin(200, EVENTS)
        await self._call.write(self._ping)
