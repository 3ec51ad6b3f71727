"""The service tells an observer what happens, and a tracer what each request went through.

Labels and facts are numbers and names from the config, never user text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol, Self

from bandit.risk import PromiseStatus
from router.domain.catalog import Deployment
from router.domain.chat import Answer, ChatRequest
from router.domain.events import GainFound, PolicyChanged
from router.domain.records import Attempt, CacheStatus, DecisionRecord
from router.domain.tenants import QuotaLeft
from router.ports.state import Health

LOAD_S = 0.25


class Observer:
    """Watches nothing: an observer overrides the methods of what it counts."""

    def request(self, method: str, code: str, seconds: float) -> None:
        """A call of the API ended."""

    def load(self, in_flight: int, late_s: float) -> None:
        """So many calls of tenants are worked on, and the event loop came back so late."""

    def deployments(self, providers: Mapping[str, str]) -> None:
        """These are the deployments from here on, with the protocol of each."""

    def attempt(self, attempt: Attempt, tenant: str = "") -> None:
        """A deployment was called. tenant: who pays for it."""

    def first_token(self, deployment: str, seconds: float) -> None:
        """The first piece of a stream came after so long."""

    def answered(self, paid_usd: float, dearest_usd: float) -> None:
        """An answer was served. dearest_usd: the same tokens at the dearest permitted arm."""

    def budget(self, tenant: str, left: QuotaLeft) -> None:
        """A tenant has so much left after a request."""

    def circuits(self, states: Mapping[str, Health]) -> None:
        """The circuits of all deployments are in these states."""

    def queued(self, waiting: Mapping[str, int]) -> None:
        """So much waits in each queue: embedding | checks | conversion."""

    def rated(self, plan: str, quality: float, reward: float | None, at_s: float) -> None:
        """Feedback on a plan's answer was learned. reward: None where it can't be told."""

    def decision(self, plan: str, *, explored: bool) -> None:
        """The policy chose a plan."""

    def step(self, plan: str, step: str) -> None:
        """A gate chose what comes after a first answer: accept | second | ask | escalate."""

    def audit(self, result: str) -> None:
        """An audit ended: good | bad | unreadable | failed | no_budget."""

    def evidence_wish(self, why: str, share: float) -> None:
        """A request was weighed for evidence: buys | not_worth | no_budget | busy | paused ...

        share: the probability with which it is bought.
        """

    def evidence(self, result: str, cost_usd: float) -> None:
        """A purchase ended: bought | unscored | late | cancelled | busy | no_budget."""

    def evidence_known(self, prompts: float, spent_usd: float, worth_usd: float) -> None:
        """The learner knows of so much evidence, what it cost and was expected to be worth."""

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

    def certificate(self, expires_s: float) -> None:
        """The doors show a certificate that expires then."""

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


class Span:
    """A piece of a request's work, as a context manager; this one is kept by nobody.

    trace_id: 32 hexadecimal digits, "" where nothing is traced.
    """

    __slots__ = ()
    trace_id: str = ""

    def note(self, **facts: str | float | bool) -> None:
        """Say more of it."""

    def heard(self, seconds: float) -> None:
        """It is a stream, whose first piece came after so long."""

    def attempted(self, attempt: Attempt, answer: Answer | None) -> None:
        """It was a call of a deployment, which came to this."""

    def ended(self, code: str, status: str | int, record: DecisionRecord | None) -> None:
        """It was a call of the API. code: OK or the error's reason; status: of gRPC or HTTP."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object, /) -> None:
        """The work has ended, in whatever way."""


NO_SPAN = Span()


class Tracer(Protocol):
    """What begins while a span is entered is a part of it, also in tasks that begin meanwhile."""

    def request(self, method: str, given: Mapping[str, str]) -> Span:
        """A call of the API begins: `SERVICE/METHOD`, `POST /path`, `POST` for an unknown path.

        given: what it carries of a trace that it is part of, by lower-case names.
        """
        ...

    def stage(self, name: str) -> Span:
        """A part of a request begins: cache | embed | decide | gate | verifier | audit ..."""
        ...

    def attempt(
        self, arm: str, deployment: Deployment, chat: ChatRequest, most_tokens: int, *, live: bool
    ) -> Span:
        """A call of a deployment begins, for so many tokens of output at most."""
        ...

    def headers(self) -> Sequence[tuple[bytes, bytes]]:
        """Returns what a request to others carries, so that they can go on with the trace."""
        ...


class NoTracer:
    """Traces nothing, and costs next to nothing."""

    def request(self, *_: object, **__: object) -> Span:
        return NO_SPAN

    stage = attempt = request

    def headers(self) -> Sequence[tuple[bytes, bytes]]:
        return ()


NO_TRACER: Tracer = NoTracer()


@dataclass(frozen=True, slots=True)
class Stopwatch:
    """Tells how long stages took that came to their end. clock: seconds."""

    observer: Observer
    clock: Callable[[], float]
    tracer: Tracer = field(default=NO_TRACER)

    def stage(self, name: str) -> AbstractContextManager[Span]:
        return _Stage(self, name, self.tracer.stage(name), self.clock())


@dataclass(slots=True)
class _Stage:
    """A stage under way; a class, since a generator costs several times as much."""

    watch: Stopwatch
    name: str
    span: Span
    began_s: float

    def __enter__(self) -> Span:
        return self.span.__enter__()

    def __exit__(self, kind: object, error: object, trace: object, /) -> None:
        self.span.__exit__(kind, error, trace)
        if kind is None:
            self.watch.observer.stage(self.name, self.watch.clock() - self.began_s)
