"""Requests that wait for the answer to the same request, which is under way."""

from __future__ import annotations

import asyncio
from typing import Final

from router.domain import MS_PER_S
from router.domain.errors import RouterError
from router.domain.records import CacheStatus
from router.ports import Clock
from router.ports.observer import Observer
from router.runtime.background import Background
from router.serving.earlier_answers import Ending, Fits, Flight, Hit, ResponseCache
from router.serving.request_state import RequestState

MOST_FOLLOWERS: Final = 256
"""Requests that wait for one answer in a router; more are answered by themselves."""
PATIENCE: Final = 6
SPENT: Final = {Ending.IN_VAIN: 3, Ending.FAILED: 1}
"""Of the patience, by how another's request ended; without any a request is answered by itself."""
DEADLINE_SHARE: Final = 0.75
"""Share of the time left that is waited: the rest is for a call of its own."""
FIRST_PAUSE_S: Final = 0.02
LONGEST_PAUSE_S: Final = 0.2


class Followers:
    """Waits beside one that leads, in this router or another. clock: as that of deadlines."""

    def __init__(
        self, *, cache: ResponseCache, background: Background, observer: Observer, clock: Clock
    ) -> None:
        self._cache = cache
        self._background = background
        self._observer = observer
        self._clock = clock

    async def follow(self, state: RequestState, fits: Fits) -> None:
        """Wait until the request has an answer, or leads, or is to be answered by itself.

        Where one that leads ends without an answer, one of those who waited leads the others.
        """
        until_s, spent = self._until_s(state), 0
        while state.hit is None and (flight := state.flight) is not None:
            if flight.is_led_by(state.id):
                break
            state.hit = _fitting(await self._landing(flight, until_s), fits)
            spent += SPENT.get(flight.ending, 0)
            if state.hit is None and self._may_go_on(flight, spent, until_s):
                state.hit, state.flight = await self._cache.join(state.key, state.id, fits)
            else:
                state.flight = None
        if state.hit is not None:
            state.cache, state.flight = CacheStatus.EXACT, None
        self._observer.coalesced(_result(state))

    def _until_s(self, state: RequestState) -> float:
        now_s, wait_s = self._clock(), self._cache.coalesce_wait_ms / MS_PER_S
        if state.deadline_s is not None:
            wait_s = min(wait_s, (state.deadline_s - now_s) * DEADLINE_SHARE)
        return now_s + wait_s

    def _may_go_on(self, flight: Flight, spent: int, until_s: float) -> bool:
        if not flight.landed.done() or flight.ending is Ending.AWAY:
            return False
        return spent < PATIENCE and self._clock() < until_s

    async def _landing(self, flight: Flight, until_s: float) -> Hit | None:
        if flight.followers >= MOST_FOLLOWERS:
            return None
        flight.followers += 1
        if flight.remote and flight.watch is None:
            flight.watch = self._background.start(self._watch(flight))
        try:
            await asyncio.wait({flight.landed}, timeout=max(0.0, until_s - self._clock()))
        finally:
            flight.followers -= 1
        return flight.landed.result() if flight.landed.done() else None

    async def _watch(self, flight: Flight) -> None:
        """Look for the answer of another router, once for all that wait for it here."""
        hit, ending, pause_s = None, Ending.LEFT, FIRST_PAUSE_S
        try:
            while hit is None and flight.followers and ending is Ending.LEFT:
                await asyncio.sleep(pause_s)
                pause_s = min(1.5 * pause_s, LONGEST_PAUSE_S)
                hit, claimed = await self._cache.look(flight.key)
                ending = Ending.LEFT if claimed else Ending.FAILED
        except RouterError:
            self._observer.degraded("cache")
            ending = Ending.AWAY
        finally:
            self._cache.land(flight, hit, ending)


def _fitting(hit: Hit | None, fits: Fits) -> Hit | None:
    return hit if hit is not None and fits(hit.cached) else None


def _result(state: RequestState) -> str:
    if state.hit is not None:
        return "served"
    return "led" if state.flight is not None else "alone"
