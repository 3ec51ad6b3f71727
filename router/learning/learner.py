"""One learner reads the events in order and publishes snapshots of what it has learned.

A snapshot holds the policy and the position it has consumed, published in one step behind the
lease's fence: after a crash the next learner goes on exactly there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from bandit.errors import BanditError
from router.domain.errors import RouterError
from router.learning.implicit_feedback import Sign
from router.learning.learner_state import LearnerState
from router.learning.training import BatchTrainer
from router.ports import Clock
from router.ports.learning_log import Defaults, EventLog, PolicyLog
from router.ports.observer import Observer
from router.ports.state import Lease, SnapshotStore, StoredSnapshot
from router.runtime.loops import finished_step, wait

START = "0"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LearnerSettings:
    """publish_ms: at least, between two snapshots.

    linger_ms: pause after a batch that was not full, so that the next one is worth its round trips.
    patience_ms: how long to wait for the config of a plan that was chosen already, before its
    events are skipped. default_every_ms, most_defaults: how often to look for closed join windows,
    and how many at once.
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
class _LeaseTerm:
    """State of one holder of the lease. published_s: on the learner's clock."""

    fence: int
    state: LearnerState
    version: int
    position: str
    published_s: float
    unpublished: int = 0


@dataclass(slots=True, kw_only=True)
class Learner:
    """Trains on new events and publishes snapshots while it holds the lease.

    fresh: makes a state that has learned nothing. load: restores one, or raises BanditError.
    """

    owner: str
    lease: Lease
    events: EventLog
    defaults: Defaults
    trainer: BatchTrainer
    snapshots: SnapshotStore
    policies: PolicyLog
    fresh: Callable[[], LearnerState]
    load: Callable[[bytes], LearnerState]
    observer: Observer
    clock: Clock
    settings: LearnerSettings
    _term: _LeaseTerm | None = field(default=None, init=False)
    _defaulted_s: float = field(default=0.0, init=False)

    async def run(self, stop: asyncio.Event) -> None:
        """Learn until `stop` is set; then publish what was learned and release the lease."""
        while not stop.is_set():
            try:
                await self.step()
            except RouterError:
                self._term = None
                self.observer.degraded("learner")
                await wait(stop, self.settings.retry_ms / 1_000)
            except BaseException:
                # A batch may be half learned: whoever goes on begins from a snapshot.
                self._term = None
                raise
            else:
                finished_step()
                if self._term is None:
                    await wait(stop, self.settings.retry_ms / 1_000)
        await self._resign()

    async def step(self) -> None:
        """Hold the lease, learn one batch, publish when due."""
        fence = await self.lease.acquire(self.owner, self.settings.lease_ms)
        if fence is None:
            self._term = None
            return
        if self._term is None or self._term.fence != fence:
            self._term = await self._begin(fence)
        await self._default()
        count = await self._learn(self._term)
        if self._is_due(self._term):
            await self._publish(self._term)
        if count < self.settings.max_batch:
            await asyncio.sleep(self.settings.linger_ms / 1_000)

    async def _begin(self, fence: int) -> _LeaseTerm:
        """Start from the newest readable snapshot; events after it are learned again.

        Without one, start from nothing and from the oldest event that is kept.
        """
        latest = await self.snapshots.latest_version()
        for version in sorted(await self.snapshots.positions(), reverse=True):
            stored = await self.snapshots.load(version)
            if stored is None:
                continue
            try:
                state = await asyncio.to_thread(self.load, stored.payload)
            except BanditError as error:
                self.observer.snapshot_refused(type(error).__name__)
                _log.error("snapshot %d is refused: %s", version, type(error).__name__)
                continue
            return _LeaseTerm(fence, state, latest, stored.position, self.clock())
        return _LeaseTerm(fence, self.fresh(), latest, START, self.clock())

    async def _learn(self, term: _LeaseTerm) -> int:
        """Learn one batch. Returns the number of its events."""
        settings = self.settings
        read = await self.events.read(term.position, settings.max_batch, settings.wait_ms)
        batch = self.trainer.known_prefix(read, self.clock() * 1_000 - settings.patience_ms)
        if len(batch) < len(read):
            self.observer.degraded("unknown_plan")
        if not batch:
            self.observer.learned(0, len(read))
            return 0
        changes = await self.trainer.train(term.state, batch)
        for change in changes:
            # Logged before the snapshot that holds it: a successor that repeats it logs nothing.
            if await self.policies.changed(change, term.fence):
                self.observer.policy_changed(change)
        term.position = batch[-1][0]
        term.unpublished += len(batch)
        if term.state.contest is not None:
            self.observer.standings(term.state.champion, term.state.contest.standings())
        self.observer.learned(len(batch), await self.events.backlog(term.position))
        return len(batch)

    async def _default(self) -> None:
        """Log default feedback where the join window has closed; one atomic step each."""
        now_s = self.clock()
        if (now_s - self._defaulted_s) * 1_000 < self.settings.default_every_ms:
            return
        if await self.defaults.tell(self.settings.most_defaults) < self.settings.most_defaults:
            self._defaulted_s = now_s

    def _is_due(self, term: _LeaseTerm) -> bool:
        waited_ms = (self.clock() - term.published_s) * 1_000
        return term.unpublished > 0 and waited_ms >= self.settings.publish_ms

    async def _publish(self, term: _LeaseTerm) -> None:
        payload = await asyncio.to_thread(term.state.save)
        snapshot = StoredSnapshot(term.version + 1, term.position, payload)
        if not await self.snapshots.publish(snapshot, term.fence):
            self._term = None
            return
        term.version, term.unpublished = snapshot.version, 0
        term.published_s = self.clock()
        self.observer.snapshot(snapshot.version)
        for sign in Sign:
            self.observer.sign(sign, term.state.implicit_weights.weight(sign))
        for plan, promise in term.state.promises.items():
            self.observer.promise(plan, promise.status())
        await self.events.trim(term.position)

    async def _resign(self) -> None:
        try:
            if self._term is not None and self._term.unpublished:
                await self._publish(self._term)
            await self.lease.release(self.owner)
        except RouterError:
            self.observer.degraded("learner")
