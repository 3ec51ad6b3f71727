"""Asks one arm one question: paid at most once, journaled before and after each call."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final
from weakref import WeakValueDictionary

from router.domain.catalog import Catalog, Deployment
from router.domain.chat import Answer, ChatRequest, Usage
from router.domain.eligibility import Requirements
from router.domain.errors import (
    Fault,
    ProviderError,
    ProviderRateLimited,
    ProviderUnavailable,
)
from router.domain.requests import request_digest
from router.ports import Clock
from router.ports.upstream import Provider
from router.runtime.loops import wait
from router.serving.attempts import CHARGED
from router.tools.calibrate.collect.budget import CallBudget
from router.tools.calibrate.collect.journal import Answered, Failed, Intent, Journal

TRIES: Final = 3
MAX_PAUSE_MS: Final = 30_000
IN_DOUBT: Final = "in_doubt"
BUDGET: Final = "budget"
STOPPED: Final = "stopped"
INCAPABLE: Final = "no_capable_deployment"
_PASSING: Final = {ProviderRateLimited.reason.lower(), ProviderUnavailable.reason.lower()}


@dataclass(frozen=True, slots=True)
class Missing:
    """No answer. why: in_doubt | budget | stopped | no_capable_deployment."""

    why: str


Reply = Answered | Failed | Missing


@dataclass(frozen=True, slots=True)
class ArmClientSettings:
    """max_output_tokens: None for each deployment's own.

    ask_again: repeat calls that earlier runs left in doubt, or that failed and may have been
    charged. pause_ms: before a refused call is retried; doubles.
    """

    max_output_tokens: int | None = None
    ask_again: bool = False
    pause_ms: int = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmClient:
    """Calls the deployments of an arm in order until one answers.

    clock: seconds, for latencies. calls: bounds the calls in flight. stop: once set nothing more is
    sent; calls in flight are waited for.
    """

    catalog: Catalog
    providers: Mapping[str, Provider]
    journal: Journal
    calls: asyncio.Semaphore
    stop: asyncio.Event
    clock: Clock
    settings: ArmClientSettings
    _refused: dict[str, ProviderError] = field(default_factory=dict, init=False)
    _asking: WeakValueDictionary[str, asyncio.Lock] = field(
        default_factory=WeakValueDictionary, init=False
    )
    _again: set[str] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        self._again.update(self.journal.ledger.unsettled if self.settings.ask_again else ())

    def key(self, chat: ChatRequest, arm: str) -> str:
        """Returns the key of question, arm and its model; "" if no deployment can take it."""
        chat = self._bounded(chat)
        first = next(iter(self._capable(chat, arm)), None)
        return request_digest(chat, arm, first.provider, first.model) if first else ""

    def was_asked(self, chat: ChatRequest, arm: str) -> bool:
        return self.key(chat, arm) in self.journal.ledger.calls

    def known(self, chat: ChatRequest, arm: str) -> Reply | None:
        """Returns the reply if no call is needed or none may be made; else None."""
        key, ledger = self.key(chat, arm), self.journal.ledger
        if not key:
            return Missing(INCAPABLE)
        if key in ledger.answers:
            return ledger.answers[key]
        if key in self._again:
            return None
        if ledger.is_doubtful(key):
            return Missing(IN_DOUBT)
        failure = ledger.failures.get(key)
        return failure if failure and failure.most_usd > 0 else None  # one that was free may retry

    def likely_usd(self, chat: ChatRequest, arm: str, answer_tokens: int) -> float:
        """Returns the likely cost of asking the arm's first deployment; 0 if nothing is sent."""
        if self.known(chat, arm) is not None:
            return 0.0
        needs = Requirements.of(self._bounded(chat))
        first = self._capable(self._bounded(chat), arm)[0]
        output_tokens = min(answer_tokens, needs.most_output(first))
        return first.price.cost_usd(Usage(needs.input_tokens, output_tokens))

    def most_usd(self, chat: ChatRequest, arm: str) -> float:
        """Returns the most that asking the arm's first deployment costs; 0 if nothing is sent."""
        if self.known(chat, arm) is not None:
            return 0.0
        chat = self._bounded(chat)
        return most_usd(self._capable(chat, arm)[0], chat)

    def bound_usd(self, chat: ChatRequest, arm: str) -> float:
        """Returns the most that asking the arm's dearest deployment costs, answered or not."""
        chat = self._bounded(chat)
        return max(most_usd(deployment, chat) for deployment in self.catalog.arms[arm].deployments)

    async def ask(self, chat: ChatRequest, arm: str, reservation: CallBudget) -> Reply:
        """Ask, unless the reply is known. Raises JournalUnusable."""
        key = self.key(chat, arm)
        # Two equal answers are one question to a judge: the second task waits and finds the reply.
        async with self._asking.setdefault(key, asyncio.Lock()):
            known = self.known(chat, arm)
            if known is not None:
                return known
            self._again.discard(key)
            return await self._asked(key, self._bounded(chat), arm, reservation)

    async def _asked(self, key: str, chat: ChatRequest, arm: str, reservation: CallBudget) -> Reply:
        reply: Reply = Missing(STOPPED)
        for deployment in self._capable(chat, arm):
            for attempt in range(TRIES):
                reply = await self._call(key, deployment, chat, reservation)
                if not isinstance(reply, Failed):
                    return reply
                if reply.why not in _PASSING:
                    break
                if attempt < TRIES - 1:
                    await self._pause(reply, attempt)
        return reply

    async def _call(
        self, key: str, deployment: Deployment, chat: ChatRequest, reservation: CallBudget
    ) -> Reply:
        async with self.calls:
            # Checked only now: while this waited, another call may have exceeded its bound.
            most = most_usd(deployment, chat)
            if self.stop.is_set() or not reservation.cover(most):
                return Missing(STOPPED if self.stop.is_set() else BUDGET)
            call = self.journal.ledger.calls.get(key, 0) + 1
            intent = Intent(key, call, deployment.name, most)
            if deployment.name in self._refused:
                return failed(intent, deployment, chat, self._refused[deployment.name])
            await self.journal.write(intent)
            reply = await self._send(intent, deployment, chat)
        reservation.spend(reply.charged_usd)
        await self.journal.write(reply)
        return reply

    async def _send(
        self, intent: Intent, deployment: Deployment, chat: ChatRequest
    ) -> Answered | Failed:
        sampling = replace(
            chat.sampling, max_output_tokens=Requirements.of(chat).most_output(deployment)
        )
        sent = replace(chat, sampling=sampling)
        provider, began_s = self.providers[deployment.provider], self.clock()
        try:
            answer = await provider.complete(deployment, sent, deployment.timeout_ms)
        except ProviderError as error:
            if error.fault is Fault.ACCOUNT:
                self._refused[deployment.name] = error
            latency_ms = (self.clock() - began_s) * 1_000
            return failed(intent, deployment, chat, error, latency_ms)
        return answered(intent, deployment, answer, (self.clock() - began_s) * 1_000)

    async def _pause(self, failure: Failed, attempt: int) -> None:
        wanted_ms = failure.retry_after_ms or self.settings.pause_ms * 2**attempt
        await wait(self.stop, min(wanted_ms, MAX_PAUSE_MS) / 1_000)

    def _bounded(self, chat: ChatRequest) -> ChatRequest:
        most = self.settings.max_output_tokens
        return replace(chat, sampling=replace(chat.sampling, max_output_tokens=most))

    def _capable(self, chat: ChatRequest, arm: str) -> list[Deployment]:
        return list(filter(Requirements.of(chat).met_by, self.catalog.arms[arm].deployments))


def most_usd(deployment: Deployment, chat: ChatRequest) -> float:
    """Returns an upper bound: the input is bounded, and the output is cut at its limit."""
    needs = Requirements.of(chat)
    return deployment.price.most_usd(needs.most_input_tokens, needs.most_output(deployment))


def answered(intent: Intent, deployment: Deployment, answer: Answer, latency_ms: float) -> Answered:
    return Answered(
        key=intent.key,
        call=intent.call,
        deployment=deployment.name,
        model=deployment.model,
        text=answer.text,
        finish_reason=answer.finish_reason,
        input_tokens=answer.usage.input_tokens,
        output_tokens=answer.usage.output_tokens,
        cached_tokens=answer.usage.cached_tokens,
        written_tokens=answer.usage.written_tokens,
        reasoning_tokens=answer.usage.reasoning_tokens,
        cost_usd=deployment.price.cost_usd(answer.usage),
        latency_ms=latency_ms,
        mean_logprob=answer.mean_logprob,
        refusal=answer.refusal,
        most_usd=intent.most_usd if answer.usage.guessed else None,
    )


def failed(
    intent: Intent,
    deployment: Deployment,
    chat: ChatRequest,
    error: ProviderError,
    latency_ms: float = 0.0,
) -> Failed:
    """Returns the failure with its likely charge; the budget counts the possible one."""
    charged = isinstance(error, CHARGED)
    usage = Usage(chat.estimated_input_tokens)
    return Failed(
        key=intent.key,
        call=intent.call,
        deployment=deployment.name,
        why=error.reason.lower(),
        cost_usd=deployment.price.cost_usd(usage) if charged else 0.0,
        most_usd=intent.most_usd if charged else 0.0,
        latency_ms=latency_ms,
        retry_after_ms=error.retry_after_ms,
    )
