"""Watches the server that keeps the state: how full it is, and what of it is wrong."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from router.adapters.storage.server_facts import ServerFacts, findings
from router.domain.errors import RouterError
from router.ports.observer import Observer
from router.runtime.loops import wait

EVERY_S: Final = 10.0
_log = logging.getLogger(__name__)


class StoreWatch:
    """Tells of each finding once when it comes up, and again when it has come back."""

    def __init__(
        self,
        ask: Callable[[], Awaitable[ServerFacts]],
        observer: Observer,
        *,
        is_ours: bool,
        every_s: float = EVERY_S,
    ) -> None:
        """is_ours: a private server, which is started as it should be."""
        self._ask = ask
        self._observer = observer
        self._is_ours = is_ours
        self._every_s = every_s
        self._known = frozenset[str]()

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self.step()
            await wait(stop, self._every_s)

    async def step(self) -> None:
        try:
            facts = await self._ask()
        except RouterError:
            return  # the health of the storage tells of it
        found = [] if self._is_ours else findings(facts)
        self._observer.store_memory(facts.used_bytes, facts.limit_bytes)
        self._observer.store_findings([one.what for one in found])
        for one in found:
            if one.what not in self._known:
                level = logging.ERROR if one.grave else logging.WARNING
                _log.log(level, "the store is not as it should be: %s", one.text)
        self._known = frozenset(one.what for one in found)
