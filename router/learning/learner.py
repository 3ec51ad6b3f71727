"""One learner reads the events in order and publishes snapshots of what it has learned.

A snapshot holds the policy and the position it has consumed, published in one step behind the
lease's fence: after a crash the next learner goes on exactly there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from bandit.errors import BanditError
from router.domain.errors import RouterError
from router.learning.batches import BatchTrainer
from router.learning.implicit_feedback import Sign
from router.learning.learner_state import LearnerState
from router.ports import Clock
from router.ports.learning_log import Defaults, EventLog, PolicyLog
from router.ports.observer import Observer
from router.ports.state import Lease, SnapshotStore, StoredSnapshot
from router.runtime.loops import wait

START = "0"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LearnerSettings:
    """publish_ms: between two snapshots, at least; what is learned meanwhile is in the next.

    linger_ms: after a batch that was not full, so that the next one is worth its round trips.
    patience_ms: for the config with a plan that was chosen already, before its events are skipped.
    default_every_ms, most_defaults: how often closed join windows are looked for, how many at once.
    """

    publish_ms: int = 1_000
    linger_ms: int = 20
    max_batch: int = 256
    wait_ms: int = 200
    lease_ms: int = 5_000
    retry_ms: int = 1_000
    patience_ms: int = 120_000
    default_every_ms: int = 1_000
    most_defaults: int = 1_000


@dataclass(slots=True)
class _Term:
    """What one holder of the lease knows. published_s: on the learner's clock."""

    fence: int
    learned: LearnerState
    version: int
    position: str
    published_s: float
    unpublished: int = 0


class Learner:
    """fresh() makes what has learned nothing; load(payload) restores, or raises BanditError."""

    def __init__(
        self,
        *,
        owner: str,
        lease: Lease,
        events: EventLog,
        defaults: Defaults,
        lecture: BatchTrainer,
        snapshots: SnapshotStore,
        policies: PolicyLog,
        fresh: Callable[[], LearnerState],
        load: Callable[[bytes], LearnerState],
        observer: Observer,
        clock: Clock,
        settings: LearnerSettings,
    ) -> None:
        self._owner = owner
        self._lease = lease
        self._events = events
        self._defaults = defaults
        self._lecture = lecture
        self._snapshots = snapshots
        self._policies = policies
        self._fresh = fresh
        self._load = load
        self._observer = observer
        self._clock = clock
        self._settings = settings
        self._term: _Term | None = None
        self._defaulted_s = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set; then publish what was learned and give the lease back."""
        while not stop.is_set():
            try:
                await self.step()
            except RouterError:
                self._term = None
                self._observer.degraded("learner")
                await wait(stop, self._settings.retry_ms / 1_000)
            else:
                if self._term is None:
                    await wait(stop, self._settings.retry_ms / 1_000)
        await self._resign()

    async def step(self) -> None:
        """Hold the lease, learn one batch, publish when it is time."""
        fence = await self._lease.acquire(self._owner, self._settings.lease_ms)
        if fence is None:
            self._term = None
            return
        if self._term is None or self._term.fence != fence:
            self._term = await self._begin(fence)
        await self._default()
        learned = await self._learn(self._term)
        if self._is_due(self._term):
            await self._publish(self._term)
        if learned < self._settings.max_batch:
            await asyncio.sleep(self._settings.linger_ms / 1_000)

    async def _begin(self, fence: int) -> _Term:
        """From the newest snapshot that can be read; its successors' events are learned again.

        With none from nothing, and from the oldest event that is kept.
        """
        latest = await self._snapshots.latest_version()
        for version in sorted(await self._snapshots.positions(), reverse=True):
            stored = await self._snapshots.load(version)
            if stored is None:
                continue
            try:
                learned = await asyncio.to_thread(self._load, stored.payload)
            except BanditError as error:
                self._observer.snapshot_refused(type(error).__name__)
                _log.error("snapshot %d is refused: %s", version, type(error).__name__)
                continue
            return _Term(fence, learned, latest, stored.position, self._clock())
        return _Term(fence, self._fresh(), latest, START, self._clock())

    async def _learn(self, term: _Term) -> int:
        """How many events."""
        settings = self._settings
        read = await self._events.read(term.position, settings.max_batch, settings.wait_ms)
        batch = self._lecture.known(read, self._clock() * 1_000 - settings.patience_ms)
        if len(batch) < len(read):
            self._observer.degraded("unknown_plan")
        if not batch:
            self._observer.learned(0, len(read))
            return 0
        changes = await self._lecture.give(term.learned, batch)
        for change in changes:
            # Before the snapshot that holds it: a successor comes to it again, and tells nothing.
            if await self._policies.changed(change, term.fence):
                self._observer.policy_changed(change)
        term.position = batch[-1][0]
        term.unpublished += len(batch)
        if term.learned.contest is not None:
            self._observer.standings(term.learned.champion, term.learned.contest.standings())
        self._observer.learned(len(batch), await self._events.backlog(term.position))
        return len(batch)

    async def _default(self) -> None:
        """Whoever holds the lease tells; each decision is told of in one step, so none twice."""
        now_s = self._clock()
        if (now_s - self._defaulted_s) * 1_000 < self._settings.default_every_ms:
            return
        if await self._defaults.tell(self._settings.most_defaults) < self._settings.most_defaults:
            self._defaulted_s = now_s

    def _is_due(self, term: _Term) -> bool:
        waited_ms = (self._clock() - term.published_s) * 1_000
        return term.unpublished > 0 and waited_ms >= self._settings.publish_ms

    async def _publish(self, term: _Term) -> None:
        payload = await asyncio.to_thread(term.learned.save)
        snapshot = StoredSnapshot(term.version + 1, term.position, payload)
        if not await self._snapshots.publish(snapshot, term.fence):
            self._term = None
            return
        term.version, term.unpublished = snapshot.version, 0
        term.published_s = self._clock()
        self._observer.snapshot(snapshot.version)
        for sign in Sign:
            self._observer.sign(sign, term.learned.trust.weight(sign))
        for plan, promise in term.learned.promises.items():
            self._observer.promise(plan, promise.status())
        await self._events.trim(term.position)

    async def _resign(self) -> None:
        try:
            if self._term is not None and self._term.unpublished:
                await self._publish(self._term)
            await self._lease.release(self._owner)
        except RouterError:
            self._observer.degraded("learner")
