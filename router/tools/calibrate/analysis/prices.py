"""Prices of the collected prompts, by the tokens that their answers were charged for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from router.domain.chat import ChatRequest
from router.domain.eligibility import Requirements
from router.domain.logged_context import Priced, price_of
from router.domain.records import Attempt, AttemptOutcome
from router.learning.request_rates import RequestRates
from router.serving.request_prices import PricedRequest, PriceList, RequestPrices
from router.tools.calibrate.collect.collector import CollectedPrompt
from router.tools.calibrate.collect.journal import Answered


@dataclass(frozen=True, slots=True)
class PromptPrices:
    """Prices a prompt as the service does a conversation that begins with it."""

    prices: RequestPrices
    rates: RequestRates = field(default_factory=RequestRates)

    def list(self, chat: ChatRequest) -> PriceList:
        return self.prices.of(PricedRequest(Requirements.of(chat)), self.rates)

    def of(self, chat: ChatRequest) -> Priced:
        """Returns the prices of every plan, as a choice logs them."""
        listed = self.list(chat)
        return tuple(price_of(listed.action(p)) for p in self.prices.catalog.plans.values())


def taught_rates(prompts: Iterable[CollectedPrompt]) -> RequestRates:
    """Returns what the answers tell of each deployment; nothing is told of turns to come."""
    rates = RequestRates()
    for one in prompts:
        chat = one.prompt.chat
        size = 0 if chat.has_images else chat.input_bytes
        for arm, reply in one.replies.items():
            if isinstance(reply, Answered) and reply.most_usd is None:
                rates.learn_call(_attempt(arm, reply), size)
    return rates


def _attempt(arm: str, reply: Answered) -> Attempt:
    return Attempt(
        arm=arm,
        deployment=reply.deployment,
        model=reply.model,
        outcome=AttemptOutcome.ACCEPTED,
        why="",
        latency_ms=reply.latency_ms,
        input_tokens=reply.input_tokens,
        output_tokens=reply.output_tokens,
        cached_tokens=reply.cached_tokens,
        written_tokens=reply.written_tokens,
    )
