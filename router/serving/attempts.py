"""One attempt: one call of one deployment, admitted, measured, charged and written down."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Final

from router.domain import MS_PER_S
from router.domain.catalog import Deployment
from router.domain.chat import (
    Answer,
    Beside,
    ChatRequest,
    Delta,
    TextDelta,
    ToolCallDelta,
    Unseen,
    Usage,
)
from router.domain.eligibility import Requirements
from router.domain.errors import (
    ProviderDisconnected,
    ProviderError,
    ProviderMalformed,
    ProviderTimeout,
    StorageUnavailable,
)
from router.domain.records import UNJUDGED, Attempt, AttemptOutcome
from router.gates.format_checks import PASSED, FormatCheckSettings, judge_aside
from router.gates.gate_session import GateSession
from router.ports import Clock
from router.ports.observer import NO_SPAN, NO_TRACER, Observer, Span, Tracer
from router.ports.state import Health, HealthBoard
from router.ports.upstream import Provider
from router.runtime.background import Background
from router.runtime.fair_queue import CheckPool
from router.serving.deployment_stats import DeploymentStats, StatsBook, share_ms, tokens_heard

CHARGED = (ProviderTimeout, ProviderMalformed, ProviderDisconnected)
"""Errors of calls that were sent and not counted: they may have been carried out all the same."""
LEAST_LIMIT_MS: Final = 1.0
STALL_MS: Final = 500.0
LATE_MS: Final = 50.0
"""A caller who leaves with so little time remaining left because of its deadline."""


@dataclass(slots=True)
class PlanRun:
    """One request on its way through a plan; `attempts` stays true when it is cut short.

    rungs: arms in order. spares: arms for failures, in order. live: deltas are wanted.
    deadline_s: on the caller's clock, None for none. max_cost_usd: None for no limit.
    answer, arm, deployment: what will be served. passed: the gate had no objection to it.
    health: what the board said when the plan was chosen. probes: deployments that this run probes.
    tenant: the one that asks. handout_ms: kept of the deadline to hand out an answer that is held.
    errors: of the attempts that failed at a provider.
    started: a delta has been handed out, so no other arm can answer any more.
    gate_session: the plan's gate on a first answer that passed the certain checks; None for none.
    preferred: the deployment that is tried first of its arm's; "" for the arm's order.
    """

    chat: ChatRequest
    needs: Requirements
    rungs: tuple[str, ...]
    spares: tuple[str, ...] = ()
    live: bool = False
    deadline_s: float | None = None
    max_cost_usd: float | None = None
    health: Mapping[str, Health] = field(default_factory=dict)
    attempts: list[Attempt] = field(default_factory=list)
    answer: Answer | None = None
    arm: str = ""
    deployment: str = ""
    passed: bool = False
    started: bool = False
    gate_session: GateSession | None = None
    tenant: str = ""
    handout_ms: float = 0.0
    probes: set[str] = field(default_factory=set)
    errors: list[ProviderError] = field(default_factory=list)
    preferred: str = ""

    def in_order(self, deployments: Sequence[Deployment]) -> Sequence[Deployment]:
        if not self.preferred:
            return deployments
        return sorted(deployments, key=lambda d: d.name != self.preferred)

    @property
    def left_usd(self) -> float | None:
        spent_usd = sum(a.cost_usd for a in self.attempts)
        return None if self.max_cost_usd is None else self.max_cost_usd - spent_usd

    def output_tokens(self, deployment: Deployment) -> int:
        return self.needs.paid_output(deployment, self.left_usd)

    def may_call(self, deployment: Deployment) -> bool:
        return self.needs.met_by(deployment) and self.needs.is_paid(deployment, self.left_usd)

    def remaining_ms(self, now_s: float) -> float:
        return math.inf if self.deadline_s is None else (self.deadline_s - now_s) * MS_PER_S


@dataclass(slots=True)
class _OpenAttempt:
    """One call under way, which leaves exactly one attempt in its run.

    limit_ms: until its answer, live until its first delta. most_tokens: the output limit sent.
    pieces, characters: received so far. unseen: what it cost besides. heard_s: when its last piece
    was handed out. span: of the trace.
    """

    run: PlanRun
    arm: str
    deployment: Deployment
    clock: Clock
    stats: DeploymentStats
    live: bool
    limit_ms: float
    started_s: float = 0.0
    most_tokens: int = 0
    pieces: int = 0
    characters: int = 0
    unseen: Unseen = field(default_factory=Unseen)
    heard_s: float = 0.0
    span: Span = NO_SPAN

    def __post_init__(self) -> None:
        self.started_s = self.clock()
        self.most_tokens = self.run.output_tokens(self.deployment)

    @property
    def elapsed_ms(self) -> float:
        return (self.clock() - self.started_s) * MS_PER_S

    @property
    def is_silent(self) -> bool:
        """True if nothing came, or nothing more for the greater part of the time."""
        if not (self.live and self.pieces):
            return True
        gap_ms = (self.clock() - self.heard_s) * MS_PER_S
        return gap_ms > max(STALL_MS, self.elapsed_ms / 2)

    def _is_answered(self) -> None:
        self.stats.ended(id(self))
        self.stats.answered(self.elapsed_ms, self.clock(), live=self.live)

    def hear(self, delta: TextDelta | ToolCallDelta) -> None:
        if self.live and not self.pieces:
            self._is_answered()
        self.pieces += 1
        self.characters += len(_text(delta))

    def note_unseen(self, unseen: Unseen) -> None:
        self.unseen = unseen

    def arrive(self, answer: Answer) -> None:
        """Note that the deployment has done its part; checks take the time of this process."""
        if not (self.live and self.pieces):
            self._is_answered()
        self.stats.completed(answer)

    def succeed(self, answer: Answer, why: str) -> None:
        """Record the answer. why: the gate's verdict."""
        run = self.run
        self._write(AttemptOutcome.ACCEPTED, why or "passed", answer.usage, answer)
        run.answer, run.passed = answer, why == PASSED
        run.arm, run.deployment = self.arm, self.deployment.name

    def fail(self, outcome: AttemptOutcome, why: str, error: BaseException) -> None:
        """Does nothing once there is an answer: a caller may leave while it is handed out."""
        if self.run.answer is None:
            self._write(outcome, why, self._uncounted_usage(error))

    def _uncounted_usage(self, error: BaseException) -> Usage:
        """Returns the charge without a count: all that was sent and may have been written."""
        if isinstance(error, ProviderError):
            if error.usage is not None:
                return error.usage
            if not isinstance(error, CHARGED):
                return Usage()
        output, counted = self._uncounted_output(error), self.unseen.counted
        return replace(
            counted,
            input_tokens=counted.input_tokens or self.run.needs.input_tokens,
            output_tokens=output,
            guessed=True,
            reasoning_tokens=min(output, self._thought),
        )

    @property
    def _thought(self) -> int:
        """Tokens of hidden reasoning: what was heard of it, or what is usual if that is more."""
        heard, counted = tokens_heard(0, self.unseen.characters), self.unseen.counted
        return max(self.stats.hidden_tokens or 0, heard, counted.reasoning_tokens)

    def _uncounted_output(self, error: BaseException) -> int:
        """Returns what was heard with what is usually hidden; the limit where nothing was heard."""
        hidden, unseen = self.stats.hidden_tokens, self.unseen
        if self.pieces or unseen.characters or unseen.tokens:
            heard = tokens_heard(self.pieces, self.characters) + self._thought
            counted = unseen.counted.output_tokens if self.pieces else 0
            return min(self.most_tokens, max(heard, unseen.tokens, counted))
        left_early = self._waits_as_usual() and not isinstance(error, ProviderError)
        return 0 if left_early and hidden == 0 else self.most_tokens

    def _waits_as_usual(self) -> bool:
        """True while a stream's first delta is not due: without hidden reasoning nothing exists."""
        usual_ms = self.stats.usual_ms(live=True) if self.live else None
        return usual_ms is not None and self.elapsed_ms <= usual_ms

    def _write(
        self, outcome: AttemptOutcome, why: str, usage: Usage, answer: Answer | None = None
    ) -> None:
        attempt = Attempt(
            arm=self.arm,
            deployment=self.deployment.name,
            model=self.deployment.model,
            outcome=outcome,
            why=why,
            latency_ms=self.elapsed_ms,
            heard=self.live and self.pieces > 0 and usage.guessed,
        )
        charged = attempt.charged(usage, self.deployment.price)
        self.span.attempted(charged, answer)
        self.run.attempts.append(charged)


class DeploymentCaller:
    """Calls deployments through their providers and tells the health board how it went.

    stats: of all deployments, by whichever caller.
    """

    def __init__(
        self,
        *,
        providers: Mapping[str, Provider],
        health: HealthBoard,
        background: Background,
        observer: Observer,
        clock: Clock,
        gate: FormatCheckSettings,
        checks: CheckPool | None = None,
        stats: StatsBook | None = None,
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self._tracer = tracer
        self._providers = providers
        self._health = health
        self._background = background
        self._observer = observer
        self._clock = clock
        self._gate = gate
        self._checks = checks or CheckPool()
        stats = stats or StatsBook()
        self._stats = stats.of
        self.account_faults = stats.account_faults

    def is_busy(self, run: PlanRun, deployment: Deployment) -> bool:
        """True if as many attempts are under way as it may have, or one tenant of it."""
        return not self._stats(deployment).places.fits(run.tenant, 1)

    def limit_ms(
        self, run: PlanRun, deployment: Deployment, others: Sequence[Deployment], *, live: bool
    ) -> float:
        """Returns how long an attempt may take. others: deployments that may be tried after it."""
        remaining_ms = run.remaining_ms(self._clock()) - run.handout_ms
        if math.isinf(remaining_ms):
            return remaining_ms
        own, rest = self._stats(deployment), [self._stats(d) for d in others]
        failed = any(a.deployment and a.outcome is AttemptOutcome.FAILED for a in run.attempts)
        limit_ms = share_ms(remaining_ms, own, rest, live=live, failed=failed)
        return max(LEAST_LIMIT_MS, limit_ms)

    def holds_back(self, run: PlanRun, deployment: Deployment, limit_ms: float) -> bool:
        """True if the deployment was silent for so long lately that others had better be asked."""
        limit_ms = min(limit_ms, deployment.timeout_ms)
        return self._stats(deployment).holds_back(run.tenant, limit_ms, self._clock())

    async def admits(self, run: PlanRun, deployment: Deployment) -> bool:
        """A closed circuit was just read as such; only a half-open one hands out its probe."""
        if run.health.get(deployment.name) is Health.CLOSED:
            return True
        try:
            admitted = await self._health.admit(deployment.name)
        except StorageUnavailable:
            self._observer.degraded("health")
            return True
        if admitted:
            run.probes.add(deployment.name)
        return admitted

    async def call(
        self,
        run: PlanRun,
        arm: str,
        deployment: Deployment,
        *,
        live: bool,
        limit_ms: float = math.inf,
    ) -> AsyncGenerator[Delta]:
        """Deltas when live; the answer, if one came, is in the run afterwards."""
        stats = self._stats(deployment)
        attempt = _OpenAttempt(run, arm, deployment, self._clock, stats, live, limit_ms)
        most_tokens = attempt.most_tokens
        attempt.span = self._tracer.attempt(arm, deployment, run.chat, most_tokens, live=live)
        stats.places.hold(run.tenant, 1)
        stats.waits(id(attempt), run.tenant, attempt.started_s)
        error: BaseException | None = None
        with attempt.span:
            try:
                if live or deployment.always_stream:
                    async with aclosing(self._deltas(attempt)) as deltas:
                        async for delta in deltas:
                            yield delta
                else:
                    await self._judge(attempt, await self._whole(attempt))
            except ProviderError as failure:
                error = failure
                run.errors.append(failure)
                self.account_faults.note(deployment.name, failure)
                attempt.fail(AttemptOutcome.FAILED, failure.reason.lower(), failure)
            except (asyncio.CancelledError, GeneratorExit) as left:
                error = left
                # Its cause says that nothing had been sent yet.
                attempt.fail(AttemptOutcome.CANCELLED, "caller_cancelled", left.__cause__ or left)
                raise
            except Exception as failure:
                error = failure
                attempt.fail(AttemptOutcome.FAILED, "internal", failure)
                raise
            finally:
                stats.places.give_back(run.tenant, 1)
                stats.ended(id(attempt))
                self._report(attempt, error)

    async def _deltas(self, attempt: _OpenAttempt) -> AsyncGenerator[Delta]:
        """Yields the deltas of an answer while it comes. Raises ProviderError."""
        run = attempt.run
        async with aclosing(self._provider_items(attempt)) as items:
            async for item in items:
                if isinstance(item, Answer):
                    await self._judge(attempt, item)
                    return
                if not isinstance(item, Beside):
                    attempt.hear(item)
                    if attempt.live and attempt.pieces == 1:
                        self._began(attempt)
                if not attempt.live:
                    continue
                run.started = True
                yielded_s = self._clock()
                yield item
                # The caller's pace is not the upstream's.
                attempt.heard_s = self._clock()
                attempt.started_s += attempt.heard_s - yielded_s
        raise ProviderMalformed("the stream ended without its answer")

    def _began(self, attempt: _OpenAttempt) -> None:
        """The first piece of a stream is here."""
        attempt.span.heard(attempt.elapsed_ms / MS_PER_S)
        self._observer.first_token(attempt.deployment.name, attempt.elapsed_ms / MS_PER_S)

    async def _judge(self, attempt: _OpenAttempt, answer: Answer) -> None:
        """Check an answer, which is kept even where its caller leaves meanwhile: it is paid for."""
        run, verdict, began_s = attempt.run, UNJUDGED, self._clock()
        attempt.arrive(answer)
        try:
            verdict = await judge_aside(self._checks, run.tenant, run.chat, answer, self._gate)
        finally:
            attempt.started_s += self._clock() - began_s
            attempt.succeed(answer, verdict)

    async def _whole(self, attempt: _OpenAttempt) -> Answer:
        """Returns an answer that comes as one. Raises ProviderError."""
        deployment = attempt.deployment
        provider = self._providers[deployment.provider]
        return await provider.complete(deployment, _sent(attempt), self._most_ms(attempt))

    def _most_ms(self, attempt: _OpenAttempt) -> float:
        """Returns how long the whole of an answer may take."""
        timeout_ms = attempt.deployment.timeout_ms
        most_ms = min(timeout_ms, attempt.run.remaining_ms(self._clock()))
        return max(LEAST_LIMIT_MS, most_ms if attempt.live else min(attempt.limit_ms, most_ms))

    async def _provider_items(self, attempt: _OpenAttempt) -> AsyncGenerator[Delta | Answer]:
        deployment, whole_ms = attempt.deployment, self._most_ms(attempt)
        provider = self._providers[deployment.provider]
        async with aclosing(provider.stream(deployment, _sent(attempt), whole_ms)) as items:
            limit_ms = min(deployment.timeout_ms, attempt.limit_ms)
            limit = limit_ms if limit_ms < whole_ms else None
            first = await _first(items, limit, attempt.note_unseen)
            if first is not None:
                yield first
            async for item in items:
                if isinstance(item, Unseen):
                    attempt.note_unseen(item)
                else:
                    yield item

    def _verdict(self, attempt: _OpenAttempt, error: BaseException | None) -> Health | None:
        """Returns the health that an attempt speaks for, None where it tells nothing.

        An attempt that a shorter limit than the deployment's own ended is a silence: it holds back
        like calls, and speaks against the deployment only where that is slow for it.
        """
        if error is None or attempt.run.answer is not None:
            return Health.CLOSED
        run, stats, now_s = attempt.run, attempt.stats, self._clock()
        blamed = isinstance(error, ProviderError) and error.blames_deployment
        hurried = blamed and isinstance(error, ProviderError) and error.hurried
        # A deadline that passes at the caller's arrives as its leaving.
        late = not isinstance(error, Exception) and run.remaining_ms(now_s) <= LATE_MS
        if not (hurried or late):
            return Health.OPEN if blamed else None
        if not attempt.is_silent:
            return None
        stats.silent(run.tenant, attempt.elapsed_ms, now_s)
        return Health.OPEN if stats.is_slow(attempt.elapsed_ms, live=attempt.live) else None

    def _report(self, attempt: _OpenAttempt, error: BaseException | None) -> None:
        name, verdict = attempt.deployment.name, self._verdict(attempt, error)
        probing = name in attempt.run.probes
        attempt.run.probes.discard(name)
        if verdict is Health.CLOSED:
            if name in self.account_faults.told:
                self.account_faults.answered(name)
            self._background.start(self._tell(self._health.succeeded(name)))
        elif verdict is Health.OPEN:
            pause_ms = error.retry_after_ms if isinstance(error, ProviderError) else None
            self._background.start(self._tell(self._health.failed(name, pause_ms)))
        elif probing:
            self._background.start(self._tell(self._health.give_back(name)))

    async def _tell(self, told: Awaitable[None]) -> None:
        try:
            await told
        except StorageUnavailable:
            self._observer.degraded("health")


def _sent(attempt: _OpenAttempt) -> ChatRequest:
    """Returns the chat with its token limit, without which no budget could be held."""
    chat = attempt.run.chat
    sampling = replace(chat.sampling, max_output_tokens=attempt.most_tokens)
    return replace(chat, sampling=sampling)


async def _first(
    items: AsyncGenerator[Delta | Unseen | Answer],
    limit_ms: float | None,
    note: Callable[[Unseen], None],
) -> Delta | Answer | None:
    """Returns the first item, None where there is none. Raises ProviderError, late ones too."""
    limit_s = None if limit_ms is None else max(LEAST_LIMIT_MS, limit_ms) / MS_PER_S
    try:
        async with asyncio.timeout(limit_s) as limit:
            async for item in items:
                if not isinstance(item, Unseen):
                    return item
                note(item)
            return None
    except TimeoutError as late:
        if not limit.expired():
            raise
        # The cause of what ended it says that nothing had been sent yet.
        left = late.__cause__ and late.__cause__.__cause__
        error = left if isinstance(left, ProviderError) else ProviderTimeout("no delta in time")
        error.hurried = True
        raise error from None


def _text(delta: TextDelta | ToolCallDelta) -> str:
    return delta.text if isinstance(delta, TextDelta) else delta.name + delta.arguments
