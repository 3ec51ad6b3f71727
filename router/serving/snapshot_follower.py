"""Every replica follows the newest snapshot; a bad one is refused and the last good one serves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from bandit.errors import BanditError
from router.domain.errors import RouterError, SnapshotRefused
from router.domain.events import number_of
from router.learning.learner_state import LearnerState
from router.ports import Clock
from router.ports.learning_log import EventLog
from router.ports.observer import Observer
from router.ports.state import SnapshotName, SnapshotStore
from router.serving.decider import Decider

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
        self._refused = self._served = SnapshotName()
        self._served_position = 0
        self._lag = LagTracker()

    async def check(self) -> None:
        """Raises SnapshotRefused while the newest snapshot is one that was refused."""
        if self._refused.version:
            raise SnapshotRefused("the newest snapshot was refused: an older one serves")

    async def turn(self) -> None:
        """One look at the newest snapshot; never raises for want of the store."""
        try:
            await self.step()
            await self.measure()
        except RouterError:
            self._observer.degraded("snapshot")

    async def measure(self) -> None:
        """Report how far the policy that serves is behind the log, in events and in seconds."""
        behind, now_s = await self._events.backlog(f"0-{self._served_position}"), self._clock()
        self._lag.add(now_s, self._served_position + behind)
        self._observer.staleness(behind, self._lag.behind_s(now_s, self._served_position))

    async def step(self) -> None:
        """Follow the newest snapshot, be its version higher or lower than the one that serves."""
        latest = await self._snapshots.latest()
        if latest.version == 0 or latest in (self._served, self._refused):
            return
        stored = await self._snapshots.load()
        if stored is None:
            return
        name = SnapshotName(stored.version, stored.mark)
        try:
            learned = await asyncio.to_thread(self._load, stored.payload)
        except BanditError as error:
            self._refused = name
            self._observer.snapshot_refused(type(error).__name__)
            _log.error("snapshot %d is refused: %s", stored.version, type(error).__name__)
            return
        self._decider.swap(learned, stored.version)
        self._served, self._refused = name, SnapshotName()
        self._served_position = number_of(stored.position)
        self._observer.snapshot(stored.version)


MOST: Final = 1_024


class LagTracker:
    """Numbers of newest events with the time each was first seen, in seconds, oldest first.

    Only what is newer than the position asked for last is kept, at most MOST; past that every
    second sighting is dropped, and times are as much coarser.
    """

    def __init__(self) -> None:
        self._seen: list[tuple[float, int]] = []

    def add(self, now_s: float, newest: int) -> None:
        if self._seen and newest < self._seen[-1][1]:
            self._seen = []  # the store has lost events
        if self._seen and newest == self._seen[-1][1]:
            return
        self._seen.append((now_s, newest))
        if len(self._seen) > MOST:
            self._seen = self._seen[::2]

    def behind_s(self, now_s: float, position: int) -> float:
        """Since when there has been something newer than `position`; 0.0 where there is not."""
        self._seen = [sighting for sighting in self._seen if sighting[1] > position]
        return max(0.0, now_s - self._seen[0][0]) if self._seen else 0.0
