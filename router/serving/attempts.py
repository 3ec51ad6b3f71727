"""One attempt: one call of one deployment, admitted, measured, charged and written down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from router.domain.catalog import Deployment
from router.domain.chat import Answer, ChatRequest, Delta, TextDelta, Usage
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
from router.ports.observer import Observer
from router.ports.state import Health, HealthBoard
from router.ports.upstream import Provider
from router.runtime.background import Background
from router.runtime.fair_queue import CheckPool

CHARGED = (ProviderTimeout, ProviderMalformed, ProviderDisconnected)
"""Errors after which the provider will have read its input all the same."""


@dataclass(slots=True)
class PlanRun:
    """One request on its way through a plan; `attempts` stays true when it is cut short.

    rungs: arms in order. spares: arms for failures, in order. live: deltas are wanted.
    deadline_s: on the caller's clock, None for none. max_cost_usd: None for no limit.
    answer, arm, deployment: what will be served. passed: the gate had no objection to it.
    health: what the board said when the plan was chosen.
    started: a delta has been handed out, so no other arm can answer any more.
    gate_session: the plan's gate on a first answer that passed the certain checks; None for none.
    """

    chat: ChatRequest
    needs: Requirements
    rungs: tuple[str, ...]
    tenant: str = ""
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

    @property
    def left_usd(self) -> float | None:
        spent_usd = sum(a.cost_usd for a in self.attempts)
        return None if self.max_cost_usd is None else self.max_cost_usd - spent_usd

    def output_tokens(self, deployment: Deployment) -> int:
        return self.needs.paid_output(deployment, self.left_usd)

    def may_call(self, deployment: Deployment) -> bool:
        return self.needs.met_by(deployment) and self.needs.is_paid(deployment, self.left_usd)

    def remaining_ms(self, now_s: float) -> float:
        return float("inf") if self.deadline_s is None else (self.deadline_s - now_s) * 1_000


@dataclass(slots=True)
class _OpenAttempt:
    """One call under way, which leaves exactly one attempt in its run."""

    run: PlanRun
    arm: str
    deployment: Deployment
    clock: Clock
    started_s: float
    received_chars: int = 0

    def succeed(self, answer: Answer, why: str) -> None:
        """Record the answer. why: the gate's verdict."""
        run = self.run
        self._write(AttemptOutcome.ACCEPTED, why or "passed", answer.usage)
        run.answer, run.passed = answer, why == PASSED
        run.arm, run.deployment = self.arm, self.deployment.name

    def fail(self, outcome: AttemptOutcome, why: str, error: BaseException) -> None:
        """Does nothing once there is an answer: a caller may leave while it is handed out."""
        if self.run.answer is None:
            self._write(outcome, why, self._probable_usage(error))

    def _probable_usage(self, error: BaseException) -> Usage:
        """Returns the usage probably charged without an answer: what was sent and received."""
        free = isinstance(error, ProviderError) and not isinstance(error, CHARGED)
        return Usage() if free else Usage(self.run.needs.input_tokens, self.received_chars // 4)

    def _write(self, outcome: AttemptOutcome, why: str, usage: Usage) -> None:
        attempt = Attempt(
            arm=self.arm,
            deployment=self.deployment.name,
            model=self.deployment.model,
            outcome=outcome,
            why=why,
            latency_ms=(self.clock() - self.started_s) * 1_000,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cost_usd=self.deployment.price.cost_usd(usage),
        )
        self.run.attempts.append(attempt)


class DeploymentCaller:
    """Calls deployments through their providers and tells the health board how it went."""

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
    ) -> None:
        self._providers = providers
        self._health = health
        self._background = background
        self._observer = observer
        self._clock = clock
        self._gate = gate
        self._checks = checks or CheckPool()

    async def admits(self, run: PlanRun, deployment: Deployment) -> bool:
        """A closed circuit was just read as such; only a half-open one hands out its probe."""
        if run.health.get(deployment.name) is Health.CLOSED:
            return True
        try:
            return await self._health.admit(deployment.name)
        except StorageUnavailable:
            self._observer.degraded("health")
            return True

    async def call(
        self, run: PlanRun, arm: str, deployment: Deployment, *, live: bool
    ) -> AsyncGenerator[Delta]:
        """Deltas when live; the answer, if one came, is in the run afterwards."""
        attempt = _OpenAttempt(run, arm, deployment, self._clock, self._clock())
        try:
            async with aclosing(self._deltas(attempt, live=live)) as deltas:
                async for delta in deltas:
                    yield delta
        except ProviderError as error:
            attempt.fail(AttemptOutcome.FAILED, error.reason.lower(), error)
            # A caller's own short deadline says nothing of the deployment, which others share.
            if run.remaining_ms(self._clock()) > 0:
                self._background.start(self._report(deployment, error))
        except (asyncio.CancelledError, GeneratorExit) as left:
            # Its cause says that nothing had been sent yet.
            attempt.fail(AttemptOutcome.CANCELLED, "caller_cancelled", left.__cause__ or left)
            raise
        except Exception as error:
            attempt.fail(AttemptOutcome.FAILED, "internal", error)
            raise
        else:
            self._background.start(self._report(deployment, None))

    async def _deltas(self, attempt: _OpenAttempt, *, live: bool) -> AsyncGenerator[Delta]:
        """Yields the deltas of an answer while it comes. Raises ProviderError."""
        run = attempt.run
        async with aclosing(self._provider_items(run, attempt.deployment, live=live)) as items:
            async for item in items:
                if isinstance(item, Answer):
                    await self._judge(attempt, item)
                    return
                run.started = True
                attempt.received_chars += len(_text(item))
                yielded_s = self._clock()
                yield item
                # The caller's pace is not the upstream's.
                attempt.started_s += self._clock() - yielded_s
        raise ProviderMalformed("the stream ended without its answer")

    async def _judge(self, attempt: _OpenAttempt, answer: Answer) -> None:
        """Check an answer, which is kept even where its caller leaves meanwhile: it is paid for."""
        run, verdict, began_s = attempt.run, UNJUDGED, self._clock()
        try:
            verdict = await judge_aside(self._checks, run.tenant, run.chat, answer, self._gate)
        finally:
            attempt.started_s += self._clock() - began_s
            attempt.succeed(answer, verdict)

    async def _provider_items(
        self, run: PlanRun, deployment: Deployment, *, live: bool
    ) -> AsyncGenerator[Delta | Answer]:
        provider = self._providers[deployment.provider]
        # The token limit is always sent: without it no budget could be held.
        sampling = replace(run.chat.sampling, max_output_tokens=run.output_tokens(deployment))
        chat = replace(run.chat, sampling=sampling)
        timeout_ms = max(1.0, min(deployment.timeout_ms, run.remaining_ms(self._clock())))
        if not live:
            yield await provider.complete(deployment, chat, timeout_ms)
            return
        async with aclosing(provider.stream(deployment, chat, timeout_ms)) as items:
            async for item in items:
                yield item

    async def _report(self, deployment: Deployment, error: ProviderError | None) -> None:
        try:
            if error is None:
                await self._health.succeeded(deployment.name)
            elif error.blames_deployment:
                await self._health.failed(deployment.name, error.retry_after_ms)
        except StorageUnavailable:
            self._observer.degraded("health")


def _text(delta: Delta) -> str:
    return delta.text if isinstance(delta, TextDelta) else delta.name + delta.arguments
