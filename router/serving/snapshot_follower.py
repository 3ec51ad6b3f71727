"""Every replica follows the newest snapshot; a bad one is refused and the last good one serves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from bandit.errors import BanditError
from router.domain.errors import RouterError, SnapshotRefused
from router.learning.learner_state import LearnerState
from router.ports.observer import Observer
from router.ports.ports import Clock, EventLog, SnapshotStore
from router.serving.decider import Decider
from router.serving.snapshot_lag import LagTracker

_log = logging.getLogger(__name__)


class SnapshotFollower:
    """load(payload) restores policy and gates, off the event loop, or raises BanditError."""

    def __init__(
        self,
        *,
        snapshots: SnapshotStore,
        events: EventLog,
        decider: Decider,
        load: Callable[[bytes], LearnerState],
        observer: Observer,
        clock: Clock,
    ) -> None:
        self._snapshots = snapshots
        self._events = events
        self._clock = clock
        self._decider = decider
        self._load = load
        self._observer = observer
        self._refused = 0
        self._served = 0
        self._sightings = LagTracker()

    async def check(self) -> None:
        """Raises SnapshotRefused while the newest snapshot is one that was refused."""
        if self._refused > self._decider.version:
            raise SnapshotRefused("the newest snapshot was refused: an older one serves")

    async def turn(self) -> None:
        """One look at the newest snapshot; never raises for want of the store."""
        try:
            await self.step()
            await self.measure()
        except RouterError:
            self._observer.degraded("snapshot")

    async def measure(self) -> None:
        """How far what serves is behind the log, in events and in seconds."""
        behind, now_s = await self._events.backlog(f"0-{self._served}"), self._clock()
        self._sightings.add(now_s, self._served + behind)
        self._observer.staleness(behind, self._sightings.behind_s(now_s, self._served))

    async def step(self) -> None:
        latest = await self._snapshots.latest_version()
        if latest in (self._decider.version, self._refused, 0):
            return
        stored = await self._snapshots.load()
        if stored is None:
            return
        try:
            learned = await asyncio.to_thread(self._load, stored.payload)
        except BanditError as error:
            self._refused = stored.version
            self._observer.snapshot_refused(type(error).__name__)
            _log.error("snapshot %d is refused: %s", stored.version, type(error).__name__)
            return
        self._decider.swap(learned, stored.version)
        self._served = int(stored.position.rpartition("-")[2])
        self._observer.snapshot(stored.version)
