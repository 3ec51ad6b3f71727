"""One attempt: one call of one deployment, admitted, measured, charged and written down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from router.core.arms import Deployment
from router.core.background import Background
from router.core.chat import Answer, ChatRequest, Delta, TextDelta, Usage
from router.core.eligible import output_tokens
from router.core.errors import (
    ProviderError,
    ProviderMalformed,
    ProviderTimeout,
    StorageUnavailable,
)
from router.core.gate import PASSED, GateSettings, judge
from router.core.observer import Observer
from router.core.ports import Clock, Health, HealthBoard, Provider
from router.core.records import Attempt, AttemptOutcome

USEFUL_OUTPUT_TOKENS = 128


@dataclass(slots=True)
class Journey:
    """One request on its way through a plan; `attempts` stays true when it is cut short.

    rungs: arms in order. spares: arms for failures, in order. live: deltas are wanted.
    deadline_s: on the caller's clock, None for none. max_cost_usd: None for no limit.
    answer, arm, deployment: what will be served. passed: the gate had no objection to it.
    health: what the board said when the plan was chosen.
    started: a delta has been handed out, so no other arm can answer any more.
    """

    chat: ChatRequest
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

    def output_tokens(self, deployment: Deployment) -> int:
        """The most tokens the deployment may answer with, as far as the cost limit pays them."""
        most = output_tokens(deployment, self.chat)
        if self.max_cost_usd is None:
            return most
        left_usd = self.max_cost_usd - sum(a.cost_usd for a in self.attempts)
        return min(
            most, deployment.price.affordable_output(left_usd, self.chat.estimated_input_tokens)
        )

    def affords(self, deployment: Deployment) -> bool:
        """Whether an answer of useful length can be paid."""
        useful = min(USEFUL_OUTPUT_TOKENS, output_tokens(deployment, self.chat))
        return self.output_tokens(deployment) >= useful

    def remaining_ms(self, now_s: float) -> float:
        return float("inf") if self.deadline_s is None else (self.deadline_s - now_s) * 1_000


class Caller:
    """Calls deployments through their providers and tells the health board how it went."""

    def __init__(
        self,
        *,
        providers: Mapping[str, Provider],
        health: HealthBoard,
        background: Background,
        observer: Observer,
        clock: Clock,
        gate: GateSettings,
    ) -> None:
        self._providers = providers
        self._health = health
        self._background = background
        self._observer = observer
        self._clock = clock
        self._gate = gate

    async def admits(self, journey: Journey, deployment: Deployment) -> bool:
        """A closed circuit was just read as such; only a half-open one hands out its probe."""
        if journey.health.get(deployment.name) is Health.CLOSED:
            return True
        try:
            return await self._health.admit(deployment.name)
        except StorageUnavailable:
            self._observer.degraded("health")
            return True

    async def call(
        self, journey: Journey, arm: str, deployment: Deployment, *, live: bool
    ) -> AsyncGenerator[Delta]:
        """Deltas when live; the answer, if one came, is in the journey afterwards."""
        began_s = self._clock()
        heard: list[int] = []

        def write(outcome: AttemptOutcome, why: str, usage: Usage) -> None:
            latency_ms = (self._clock() - began_s) * 1_000
            attempt = _attempt(arm, deployment, usage, latency_ms)
            journey.attempts.append(replace(attempt, outcome=outcome, why=why))

        try:
            async with aclosing(self._items(journey, deployment, live=live)) as items:
                async for item in items:
                    if isinstance(item, Answer):
                        why = judge(journey.chat, item, self._gate)
                        write(AttemptOutcome.ACCEPTED, why or "passed", item.usage)
                        journey.answer, journey.passed = item, why == PASSED
                        journey.arm, journey.deployment = arm, deployment.name
                        break
                    heard.append(len(_text(item)))
                    journey.started = True
                    yield item
                else:
                    raise ProviderMalformed("the stream ended without its answer")
        except ProviderError as error:
            why = error.reason.lower()
            write(AttemptOutcome.FAILED, why, _charged(journey.chat, sum(heard), error))
            # A caller's own short deadline says nothing of the deployment, which others share.
            if not isinstance(error, ProviderTimeout) or journey.remaining_ms(self._clock()) > 0:
                self._background.start(self._report(deployment, error))
        except (asyncio.CancelledError, GeneratorExit):
            if journey.answer is None:
                usage = _charged(journey.chat, sum(heard), None)
                write(AttemptOutcome.CANCELLED, "caller_cancelled", usage)
            raise
        else:
            self._background.start(self._report(deployment, None))

    async def _items(
        self, journey: Journey, deployment: Deployment, *, live: bool
    ) -> AsyncGenerator[Delta | Answer]:
        provider = self._providers[deployment.provider]
        # The token limit is always sent: without it no budget could be held.
        sampling = replace(
            journey.chat.sampling, max_output_tokens=journey.output_tokens(deployment)
        )
        chat = replace(journey.chat, sampling=sampling)
        timeout_ms = max(1.0, min(deployment.timeout_ms, journey.remaining_ms(self._clock())))
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


def _charged(chat: ChatRequest, heard_chars: int, error: ProviderError | None) -> Usage:
    """What an attempt without an answer was probably charged: what was sent and heard."""
    if error is not None and not isinstance(error, ProviderTimeout | ProviderMalformed):
        return Usage()
    return Usage(chat.estimated_input_tokens, heard_chars // 4)


def _attempt(arm: str, deployment: Deployment, usage: Usage, latency_ms: float) -> Attempt:
    return Attempt(
        arm=arm,
        deployment=deployment.name,
        model=deployment.model,
        outcome=AttemptOutcome.FAILED,
        why="",
        latency_ms=latency_ms,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cost_usd=deployment.price.cost_usd(usage),
    )


def _text(delta: Delta) -> str:
    return delta.text if isinstance(delta, TextDelta) else delta.name + delta.arguments
