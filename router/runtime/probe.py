"""Looks after a dependency at intervals and says whether it is well."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from router.domain.errors import RouterError


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
    """Until `stop` is set, or as long as that."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
