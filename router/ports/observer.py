"""What the service tells whoever watches it. Labels are names from the config, never user text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from bandit.risk import PromiseStatus
from router.domain.events import GainFound, PolicyChanged
from router.domain.records import Attempt, CacheStatus


class Observer(Protocol):
    def request(self, method: str, code: str, seconds: float) -> None: ...

    def attempt(self, attempt: Attempt) -> None: ...

    def decision(self, plan: str, *, explored: bool) -> None: ...

    def step(self, plan: str, step: str) -> None:
        """What was chosen after a first answer: accept | second | ask | escalate."""
        ...

    def audit(self, result: str) -> None:
        """result: good | bad | unreadable | failed | no_budget."""
        ...

    def cache(self, status: CacheStatus) -> None: ...

    def stage(self, name: str, seconds: float) -> None:
        """How long one stage of the pipeline took: authenticate, reserve, cache, embed, ..."""
        ...

    def feedback(self, kind: str) -> None:
        """kind: explicit | reask."""
        ...

    def degraded(self, what: str) -> None:
        """A dependency failed and the request went on without it (cache, health, session)."""
        ...

    def verifier(self, *, serving: bool) -> None:
        """The caller's verifier was switched off, or is asked again."""
        ...

    def learned(self, events: int, backlog: int) -> None: ...

    def snapshot(self, version: int) -> None:
        """A snapshot went live on this replica, or was published by this learner."""
        ...

    def snapshot_refused(self, reason: str) -> None: ...

    def staleness(self, events: int, seconds: float) -> None:
        """What serves has not learned the newest events; for how long there have been such."""
        ...

    def sign(self, name: str, weight: float) -> None:
        """What an implicit sign counts beside feedback."""
        ...

    def promise(self, plan: str, status: PromiseStatus) -> None:
        """How far the evidence for a plan's promise is."""
        ...

    def standings(self, champion: str, found: Sequence[GainFound]) -> None:
        """Who serves, and what is known of every other member's gain over it."""
        ...

    def policy_changed(self, change: PolicyChanged) -> None: ...

    def deviates(self, plan: str) -> None:
        """A tenant's feedback on this plan turned out to be far off everyone else's."""
        ...


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


class NullObserver:
    """Watches nothing."""

    def request(self, method: str, code: str, seconds: float) -> None:
        pass

    def attempt(self, attempt: Attempt) -> None:
        pass

    def decision(self, plan: str, *, explored: bool) -> None:
        pass

    def step(self, plan: str, step: str) -> None:
        pass

    def audit(self, result: str) -> None:
        pass

    def cache(self, status: CacheStatus) -> None:
        pass

    def stage(self, name: str, seconds: float) -> None:
        pass

    def feedback(self, kind: str) -> None:
        pass

    def degraded(self, what: str) -> None:
        pass

    def verifier(self, *, serving: bool) -> None:
        pass

    def learned(self, events: int, backlog: int) -> None:
        pass

    def snapshot(self, version: int) -> None:
        pass

    def snapshot_refused(self, reason: str) -> None:
        pass

    def staleness(self, events: int, seconds: float) -> None:
        pass

    def sign(self, name: str, weight: float) -> None:
        pass

    def promise(self, plan: str, status: PromiseStatus) -> None:
        pass

    def standings(self, champion: str, found: Sequence[GainFound]) -> None:
        pass

    def policy_changed(self, change: PolicyChanged) -> None:
        pass

    def deviates(self, plan: str) -> None:
        pass
