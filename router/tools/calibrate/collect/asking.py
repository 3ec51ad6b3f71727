"""One question to one arm: paid for at most once, written down before and after each call."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final
from weakref import WeakValueDictionary

from router.domain.catalog import Catalog, Deployment
from router.domain.chat import ChatRequest, Usage
from router.domain.eligibility import Requirements
from router.domain.errors import (
    ProviderError,
    ProviderRateLimited,
    ProviderUnauthorized,
    ProviderUnavailable,
)
from router.domain.requests import request_digest
from router.ports import Clock
from router.ports.upstream import Provider
from router.runtime.loops import wait
from router.tools.calibrate.collect.budget import Share
from router.tools.calibrate.collect.journal import Journal
from router.tools.calibrate.collect.ledger import Answered, Failed, Intent
from router.tools.calibrate.collect.outcomes import answered, failed, most_usd

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

    ask_again: once more what earlier runs left in doubt, or failed and may have been charged.

    pause_ms: before a call that was turned away is made again; doubles.
    """

    max_output_tokens: int | None = None
    ask_again: bool = False
    pause_ms: int = 1_000


class ArmClient:
    """clock: seconds, for latencies. calls: how many may be under way at once.

    stop: once set nothing more is sent; what is under way is waited for.
    """

    def __init__(
        self,
        *,
        catalog: Catalog,
        providers: Mapping[str, Provider],
        journal: Journal,
        calls: asyncio.Semaphore,
        stop: asyncio.Event,
        clock: Clock,
        settings: ArmClientSettings,
    ) -> None:
        self._catalog = catalog
        self._providers = providers
        self._journal = journal
        self._calls = calls
        self._stop = stop
        self._clock = clock
        self._settings = settings
        self._refused: set[str] = set()
        self._asking = WeakValueDictionary[str, asyncio.Lock]()
        self._again = set(journal.ledger.unsettled) if settings.ask_again else set[str]()

    def key(self, chat: ChatRequest, arm: str) -> str:
        """Of the question, the arm and its model: another model answers anew."""
        chat = self._bounded(chat)
        first = next(iter(self._capable(chat, arm)), None)
        return request_digest(chat, arm, first.provider, first.model) if first else ""

    def known(self, chat: ChatRequest, arm: str) -> Reply | None:
        """What needs no call, or must not have one."""
        key, ledger = self.key(chat, arm), self._journal.ledger
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
        """What asking the arm's first deployment will probably cost; 0 when nothing is sent."""
        if self.known(chat, arm) is not None:
            return 0.0
        needs = Requirements.of(self._bounded(chat))
        first = self._capable(self._bounded(chat), arm)[0]
        output_tokens = min(answer_tokens, needs.most_output(first))
        return first.price.cost_usd(Usage(needs.input_tokens, output_tokens))

    def most_usd(self, chat: ChatRequest, arm: str) -> float:
        """What asking the arm's first deployment can cost at most; 0 when nothing is sent."""
        if self.known(chat, arm) is not None:
            return 0.0
        chat = self._bounded(chat)
        return most_usd(self._capable(chat, arm)[0], chat)

    def bound_usd(self, chat: ChatRequest, arm: str) -> float:
        """What asking the arm's dearest deployment can cost at most, whatever is known of it."""
        chat = self._bounded(chat)
        return max(most_usd(deployment, chat) for deployment in self._catalog.arms[arm].deployments)

    async def ask(self, chat: ChatRequest, arm: str, share: Share) -> Reply:
        """share: what was set aside for it. Raises JournalUnusable."""
        key = self.key(chat, arm)
        # Two answers that are alike are one question to a judge: who comes second waits, and knows.
        async with self._asking.setdefault(key, asyncio.Lock()):
            known = self.known(chat, arm)
            if known is not None:
                return known
            self._again.discard(key)
            return await self._asked(key, self._bounded(chat), arm, share)

    async def _asked(self, key: str, chat: ChatRequest, arm: str, share: Share) -> Reply:
        reply: Reply = Missing(STOPPED)
        for deployment in self._capable(chat, arm):
            for attempt in range(TRIES):
                reply = await self._call(key, deployment, chat, share)
                if not isinstance(reply, Failed):
                    return reply
                if reply.why not in _PASSING:
                    break
                if attempt < TRIES - 1:
                    await self._rest(reply, attempt)
        return reply

    async def _call(
        self, key: str, deployment: Deployment, chat: ChatRequest, share: Share
    ) -> Reply:
        async with self._calls:
            # Asked only now: while it waited, another call may have shown that no bound holds.
            most = most_usd(deployment, chat)
            if self._stop.is_set() or not share.reach(most):
                return Missing(STOPPED if self._stop.is_set() else BUDGET)
            call = self._journal.ledger.calls.get(key, 0) + 1
            intent = Intent(key, call, deployment.name, most)
            if deployment.name in self._refused:
                return failed(intent, deployment, chat, ProviderUnauthorized(""))
            await self._journal.write(intent)
            reply = await self._send(intent, deployment, chat)
        share.spend(reply.charged_usd)
        await self._journal.write(reply)
        return reply

    async def _send(
        self, intent: Intent, deployment: Deployment, chat: ChatRequest
    ) -> Answered | Failed:
        sampling = replace(
            chat.sampling, max_output_tokens=Requirements.of(chat).most_output(deployment)
        )
        sent = replace(chat, sampling=sampling)
        provider, began_s = self._providers[deployment.provider], self._clock()
        try:
            answer = await provider.complete(deployment, sent, deployment.timeout_ms)
        except ProviderError as error:
            if isinstance(error, ProviderUnauthorized):
                self._refused.add(deployment.name)
            latency_ms = (self._clock() - began_s) * 1_000
            return failed(intent, deployment, chat, error, latency_ms)
        return answered(intent, deployment, answer, (self._clock() - began_s) * 1_000)

    async def _rest(self, failed: Failed, attempt: int) -> None:
        wanted_ms = failed.retry_after_ms or self._settings.pause_ms * 2**attempt
        await wait(self._stop, min(wanted_ms, MAX_PAUSE_MS) / 1_000)

    def _bounded(self, chat: ChatRequest) -> ChatRequest:
        most = self._settings.max_output_tokens
        return replace(chat, sampling=replace(chat.sampling, max_output_tokens=most))

    def _capable(self, chat: ChatRequest, arm: str) -> list[Deployment]:
        return list(filter(Requirements.of(chat).met_by, self._catalog.arms[arm].deployments))
