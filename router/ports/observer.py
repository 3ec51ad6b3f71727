"""The service tells an observer what happens. Labels are names from the config, never user text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from bandit.risk import PromiseStatus
from router.domain.events import GainFound, PolicyChanged
from router.domain.records import Attempt, CacheStatus

LOAD_S = 0.25


class Observer:
    """Watches nothing: an observer overrides the methods of what it counts."""

    def request(self, method: str, code: str, seconds: float) -> None:
        """A call of the API ended."""

    def load(self, in_flight: int, late_s: float) -> None:
        """So many calls of tenants are worked on, and the event loop came back so late."""

    def attempt(self, attempt: Attempt) -> None:
        """A deployment was called."""

    def decision(self, plan: str, *, explored: bool) -> None:
        """The policy chose a plan."""

    def step(self, plan: str, step: str) -> None:
        """A gate chose what comes after a first answer: accept | second | ask | escalate."""

    def audit(self, result: str) -> None:
        """An audit ended: good | bad | unreadable | failed | no_budget."""

    def cache(self, status: CacheStatus) -> None:
        """An answer came out of the cache, or did not."""

    def coalesced(self, result: str) -> None:
        """A request waited for the same one that was under way: served | led | alone."""

    def stage(self, name: str, seconds: float) -> None:
        """A stage of the pipeline ended: admit | embed | similar | decide | call."""

    def feedback(self, kind: str) -> None:
        """An answer was rated: explicit | reask."""

    def degraded(self, what: str) -> None:
        """A dependency failed and the request went on without it (cache, health, session)."""

    def served_degraded(self, result: str) -> None:
        """A request came while the store is away.

        result: served | not_permitted | no_allowance | spool_full | disk.
        """

    def spooled(self, kind: str) -> None:
        """A write went to the local spool."""

    def unspooled(self, kind: str, result: str) -> None:
        """A write of the spool was delivered, or refused for good by its reason."""

    def spool(self, entries: int, size_bytes: int, oldest_s: float) -> None:
        """So much waits in the spool, the oldest of it for so long."""

    def orphans(self, count: int, charged_usd: float) -> None:
        """Reservations of routers that died were charged at what was expected of them."""

    def loop_finished(self, loop: str) -> None:
        """A loop in the background ended a step."""

    def loop_restarted(self, loop: str, why: str) -> None:
        """A loop in the background was started again: broke | hung."""

    def storage_failed(self, kind: str) -> None:
        """A probe of the store failed, with this kind of failure."""

    def verifier(self, *, serving: bool) -> None:
        """The caller's verifier was switched off, or is asked again."""

    def learner(self, *, serving: bool) -> None:
        """The learner that is this router's child learns, or does not."""

    def learner_ended(self) -> None:
        """That child could not be started, or ended by itself."""

    def learned(self, events: int, backlog: int) -> None:
        """A learner took in events; the backlog is what it has not yet."""

    def leads(self, *, leading: bool) -> None:
        """The learner took or kept the lease, or failed to."""

    def log_lost(self) -> None:
        """The store has lost events that were learned: learning began again before them."""

    def store_memory(self, used_bytes: int, limit_bytes: int) -> None:
        """The store takes so much memory; limit 0: it has none, or does not tell."""

    def store_findings(self, what: Sequence[str]) -> None:
        """The store's server is not as it should be in these points."""

    def snapshot(self, version: int) -> None:
        """A snapshot went live on this replica, or was published by this learner."""

    def snapshot_refused(self, reason: str) -> None:
        """A snapshot could not be read; an older one serves."""

    def staleness(self, events: int, seconds: float) -> None:
        """The policy that serves has not learned the newest events, the oldest so long ago."""

    def sign(self, name: str, weight: float) -> None:
        """An implicit sign counts so much beside feedback."""

    def promise(self, plan: str, status: PromiseStatus) -> None:
        """The evidence for a plan's promise has come so far."""

    def standings(self, champion: str, found: Sequence[GainFound]) -> None:
        """A champion serves; the gains of every other member over it are estimated anew."""

    def policy_changed(self, change: PolicyChanged) -> None:
        """A command or evidence to change the champion was decided on."""

    def deviates(self, plan: str) -> None:
        """A tenant's feedback on this plan turned out to be far off everyone else's."""


@dataclass(frozen=True, slots=True)
class Stopwatch:
    """Tells how long stages took that came to their end. clock: seconds."""

    observer: Observer
    clock: Callable[[], float]

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        began_s = self.clock()
        yield
        self.observer.stage(name, self.clock() - began_s)
