"""One learner reads the events in order and publishes snapshots of what it has learned.

A snapshot holds the policy and the position it has consumed, published in one step behind the
lease's fence: after a crash the next learner goes on exactly there. Where the store has lost events
that were learned, after a failover or the restore of a backup, learning begins again from the
newest snapshot that is of the log.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from bandit.errors import BanditError
from router.domain.errors import RouterError
from router.domain.events import number_of
from router.learning.implicit_feedback import Sign
from router.learning.learner_state import LearnerState
from router.learning.lineage import is_of_log, kept_snapshots
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
    """State of one holder of the lease. published_s: on the learner's clock.

    mark: of the log at the position. anew: to be published though nothing was learned since.
    """

    fence: int
    state: LearnerState
    version: int
    position: str
    published_s: float
    mark: str = ""
    anew: bool = False
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
    _highest: int = field(default=0, init=False)
    _reached: StoredSnapshot | None = field(default=None, init=False)

    async def run(self, stop: asyncio.Event) -> None:
        """Learn until `stop` is set; then publish what was learned and release the lease."""
        while not stop.is_set():
            try:
                await self.step()
            except RouterError:
                self._term = None
                self.observer.leads(leading=False)
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
        self.observer.leads(leading=fence is not None)
        if fence is None:
            self._term = None
            return
        if self._term is None or self._term.fence != fence:
            self._term = await self._begin(fence)
        await self._default()
        count = await self._learn(self._term)
        if count is None:
            self._term = None  # begun again in the next step
            return
        if self._is_due(self._term):
            await self._publish(self._term)
        if count < self.settings.max_batch:
            await asyncio.sleep(self.settings.linger_ms / 1_000)

    async def _begin(self, fence: int) -> _LeaseTerm:
        """Start from the newest readable snapshot; events after it are learned again.

        Without one, start from nothing and from the oldest event that is kept.
        """
        # Versions go on from the highest one known: replicas must tell what was lost from what is.
        kept = await kept_snapshots(self.snapshots, self.events)
        versions = (stored.version for stored, _ in kept)
        latest = await self.snapshots.latest_version()
        self._highest = max(self._highest, latest, *versions)
        state, position, is_lost = None, START, await self._has_lost_events()
        for stored, is_here in kept:
            if not is_here:
                is_lost = True
                continue
            state = await self._restored(stored)
            if state is not None:
                position = stored.position
                break
        term = _LeaseTerm(fence, state or self.fresh(), self._highest, position, self.clock())
        if term.state.begun:
            await self._relearn(term)
        if is_lost:
            await self._begin_epoch(term)
        (term.mark,) = await self.events.marks([position])
        self._note(term)
        return term

    async def _relearn(self, term: _LeaseTerm) -> None:
        """Learn the parts that could not be read from the log, as far as it reaches back."""
        end, position, whole = number_of(term.position), START, self.fresh()
        while number_of(position) < end:
            read = await self.events.read(position, self.settings.max_batch, 0)
            batch = [(at, event) for at, event in read if number_of(at) <= end]
            if not batch:
                break
            await self.trainer.train(whole, batch)
            position = batch[-1][0]
            finished_step()
            await self.lease.acquire(self.owner, self.settings.lease_ms)
        term.state.take_begun(whole)
        term.anew = True

    async def _has_lost_events(self) -> bool:
        """Returns whether the log lacks what this learner learned of it in an earlier term."""
        if self._reached is None:
            return False
        (mark,) = await self.events.marks([self._reached.position])
        return not is_of_log(self._reached, mark)

    def _note(self, term: _LeaseTerm) -> None:
        self._reached = StoredSnapshot(term.version, term.position, b"", term.mark)

    async def _restored(self, stored: StoredSnapshot) -> LearnerState | None:
        try:
            return await asyncio.to_thread(self.load, stored.payload)
        except BanditError as error:
            self.observer.snapshot_refused(type(error).__name__)
            _log.error("snapshot %d is refused: %s", stored.version, type(error).__name__)
            return None

    async def _begin_epoch(self, term: _LeaseTerm) -> None:
        """Tell that learned events are lost, and have the replicas go back to what is not."""
        if not await self.events.renew(term.position, term.fence):
            return
        term.anew = True
        self.observer.log_lost()
        _log.error("the store has lost learned events: learning goes on from %s", term.position)

    async def _learn(self, term: _LeaseTerm) -> int | None:
        """Learn one batch. Returns the number of its events; None where the log is another one."""
        settings = self.settings
        read = await self.events.read(term.position, settings.max_batch, settings.wait_ms)
        batch = self.trainer.known_prefix(read, self.clock() * 1_000 - settings.patience_ms)
        # Looked at after the reading: what was read of another log is not learned.
        reached = batch[-1][0] if batch else term.position
        mark, mark_reached = await self.events.marks([term.position, reached])
        if not _is_same(term.mark, mark) or not mark_reached:
            return None
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
        term.position, term.mark = reached, mark_reached
        self._note(term)
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
        if term.anew:
            return True
        return term.unpublished > 0 and waited_ms >= self.settings.publish_ms

    async def _publish(self, term: _LeaseTerm) -> None:
        payload = await asyncio.to_thread(term.state.save)
        snapshot = StoredSnapshot(term.version + 1, term.position, payload, term.mark)
        if not await self.snapshots.publish(snapshot, term.fence):
            self._term = None
            return
        self._highest = term.version = snapshot.version
        term.unpublished, term.anew = 0, False
        term.published_s = self.clock()
        self.observer.snapshot(snapshot.version)
        for sign in Sign:
            self.observer.sign(sign, term.state.implicit_weights.weight(sign))
        ledger = term.state.evidence
        self.observer.evidence_known(ledger.prompts, ledger.spent_usd, ledger.worth_usd)
        for plan, promise in term.state.promises.items():
            self.observer.promise(plan, promise.status())
        await self.events.trim(term.position)

    async def _resign(self) -> None:
        try:
            if self._term is not None and (self._term.unpublished or self._term.anew):
                await self._publish(self._term)
            await self.lease.release(self.owner)
            self.observer.leads(leading=False)
        except RouterError:
            self.observer.degraded("learner")


def _is_same(before: str, now: str) -> bool:
    """Returns whether two marks of one position are of one log; an event may be trimmed since."""
    epoch, _, digest = before.partition(":")
    epoch_now, _, digest_now = now.partition(":")
    return bool(now) and epoch == epoch_now and (digest == digest_now or not digest_now)
