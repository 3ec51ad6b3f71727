"""Conversations through the service's own classes: prices, choices, records, learning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit import ContextMap
from bandit.types import Context
from bench.experiments.conversations.bills import Market
from bench.experiments.conversations.cells import Bar, Cell
from bench.experiments.conversations.products import Product
from bench.experiments.conversations.talks import BYTES_PER_TOKEN, Numbers
from bench.lab.provider import StrictObserver, chat_of
from bench.lab.recorded import Rows
from bench.lab.replay import ANY_COST, ANY_WEIGHTS, REWARDS
from bench.lab.setup import catalog, config_of, decider_of
from router.domain.catalog import Catalog, Deployment, Price
from router.domain.chat import ChatRequest, Message, Role, TextPart, Usage
from router.domain.conversations import Conversation, after_turn, warm_everywhere
from router.domain.eligibility import Requirements
from router.domain.events import Decided, Event, FeedbackGiven
from router.domain.logged_context import blended, facts_of, said_in
from router.domain.records import (
    Attempt,
    AttemptOutcome,
    Choice,
    DecisionRecord,
    Mode,
    TurnFacts,
)
from router.learning.request_rates import RequestRates
from router.learning.training import JoinedEvent, Trainer, join, train_policy
from router.ports.upstream import Embedding
from router.serving.decider import Decider
from router.serving.request_prices import PricedRequest, PriceList, RequestPrices

MTOK: Final = 1e6
WINDOW_TOKENS: Final = 10_000_000
BETWEEN_CONVERSATIONS_S: Final = 60.0
EARLIER: Final = 3
"""Questions before the last one that are written down; no more are looked at."""
ANSWER: Final = "Here it is."
ON: Final = "Yes, please."


@dataclass(frozen=True, slots=True)
class Learned:
    """Choices of n turns, with the quality and the output tokens that were believed, (n, k)."""

    arm: Rows
    quality: Numbers
    output: Numbers


@dataclass(slots=True)
class ConversationReplay:
    """One product on one stream of turns.

    contexts: by turn, filled in as they are built; they depend on no price.
    """

    cell: Cell
    market: Market
    product: Product
    catalog: Catalog
    decider: Decider
    embeddings: NDArray[np.float32]
    contexts: dict[int, Context] = field(default_factory=dict)
    rates: RequestRates = field(default_factory=RequestRates)

    def run(self) -> Learned:
        talks, arms = self.market.talks, self.cell.stream.data.arms
        n, k = len(talks), len(arms)
        arm, quality, output = np.zeros(n, dtype=np.intp), np.zeros((n, k)), np.zeros((n, k))
        trainer = Trainer(self.catalog.plans, REWARDS, StrictObserver())
        prices = RequestPrices(self.catalog, most_turns_ahead=self.product.ahead)
        conversation, now_s = Conversation(), 0.0
        self.decider.rates = self.rates
        for i in range(n):
            first = talks.turn[i] == 0
            conversation = Conversation() if first else conversation
            now_s += BETWEEN_CONVERSATIONS_S if first else self.market.terms.gap_s
            asked = self._asked(i, conversation, int(now_s * 1_000))
            listed = prices.of(asked, self.rates)
            choice = self._choose(i, asked.application, listed, conversation)
            arm[i] = arms.index(choice.plan)
            quality[i], output[i] = self._believed(choice, listed if self.product.priced else None)
            record = self._record(i, choice, asked)
            events: list[Event] = [
                Decided(record),
                FeedbackGiven(record.id, self._quality(i, arm[i])),
            ]
            self._train(trainer, join(events, {record.id: record}))
            conversation = self._after(conversation, record, asked.now_ms)
        return Learned(arm, quality, output)

    def _train(self, trainer: Trainer, events: Sequence[JoinedEvent]) -> None:
        """Train as the learner does; latencies were not recorded, and weigh nothing."""
        timed = trainer.outcomes(events)
        outcomes = [replace(outcome, latency_ms=None) for outcome in timed]
        train_policy(self.decider.policy, outcomes, trainer.observer)
        trainer.train_rest(self.decider, events)

    def _asked(self, i: int, conversation: Conversation, now_ms: int) -> PricedRequest:
        talks = self.market.talks
        sizes = [talks.tokens[i], min(talks.tokens[i], self.market.terms.growth)]
        total, last = (int(BYTES_PER_TOKEN * tokens) for tokens in sizes)
        tokens = int(talks.tokens[i])
        needs = Requirements(tokens, tokens, input_bytes=total, last_bytes=last)
        task, number = f"{int(talks.task[i]) + 1:08x}", conversation.turns + 1
        return PricedRequest(needs, conversation, task, now_ms, number)

    def _choose(
        self, i: int, application: str, listed: PriceList, conversation: Conversation
    ) -> Choice:
        if i not in self.contexts:
            self.contexts[i] = self._context(i, application)
        context, plans = self.contexts[i], tuple(self.catalog.plans.values())
        prices = listed if self.product.priced else None
        choice = self.decider.choose(context, plans, ANY_WEIGHTS, ANY_COST, prices=prices)
        assert choice is not None  # noqa: S101 - there is no cost limit to exceed
        if self.product.keeps and conversation.last:
            return replace(choice, plan=conversation.last, propensity=1.0)
        return choice

    def _context(self, i: int, application: str) -> Context:
        talks, row = self.market.talks, int(self.market.talks.row[i])
        chat = self._chat(i)
        facts = facts_of(chat)
        if self.product.conversation:
            question = float(self.cell.question[row])
            facts = replace(
                facts,
                other_tokens=float(talks.tokens[i]) - question,
                last_tokens=question,
                answers=int(talks.turn[i]),
                has_system=True,
            )
        else:
            facts = replace(facts, other_tokens=0.0, last_tokens=0.0, answers=0)
        if self.product.application:
            facts = replace(facts, application=int(application, 16))
        return self.decider.context_map.build(self._embedded(chat, i), facts)

    def _chat(self, i: int) -> ChatRequest:
        """Returns the last questions of the conversation, without what was attached."""
        talks, prompts = self.market.talks, self.cell.stream.data.prompts
        if not self.product.earlier:
            return chat_of(ON if self.market.terms.asked_earlier else prompts[talks.row[i]], i)
        first = i - min(int(talks.turn[i]), EARLIER)
        messages = list[Message]()
        for row in talks.row[first : i + 1].tolist():
            messages += [_said(Role.USER, prompts[row]), _said(Role.ASSISTANT, ANSWER)]
        if self.market.terms.asked_earlier:
            return ChatRequest((*messages, _said(Role.USER, ON)))
        return ChatRequest(tuple(messages[:-1]))

    def _embedded(self, chat: ChatRequest, i: int) -> Embedding:
        """Returns what the service makes of the texts; a text that says nothing is not embedded."""
        number = int(self.market.talks.turn[i])
        rows = self.market.talks.row[i - number : i + 1].tolist()
        prompts = self.cell.stream.data.prompts
        known: dict[str, Embedding] = {prompts[other]: self.embeddings[other] for other in rows}
        if not self.product.earlier:
            return known.get(chat.prompt, self._nothing)
        parts = [(known.get(text, self._nothing), weight) for text, weight in said_in(chat)]
        if len(parts) == 1:
            return parts[0][0]
        return blended(parts)

    @property
    def _nothing(self) -> Embedding:
        zeros: Embedding = np.zeros(self.embeddings.shape[1], dtype=np.float32)
        return zeros

    def _believed(self, choice: Choice, listed: PriceList | None) -> tuple[Numbers, Numbers]:
        arms, usd = self.cell.stream.data.arms, self.market.usd
        known = {name: (quality, cost) for name, quality, cost, _ in choice.expected}
        quality = np.array([known[arm][0] for arm in arms])
        if listed is None:
            return quality, np.zeros(len(arms))
        paid = np.array([known[arm][1] - listed.arms[arm].input_usd for arm in arms])
        return quality, np.maximum(paid, 0.0) / usd[:, 1]

    def _record(self, i: int, choice: Choice, asked: PricedRequest) -> DecisionRecord:
        deployment = self.catalog.arms[choice.plan].deployments[0]
        warm = warm_everywhere(asked.conversation, self._deployments(), asked.now_ms)
        attempt = self._attempt(i, deployment, dict(warm).get(deployment.name, 0))
        turn = TurnFacts(
            application=asked.application,
            number=asked.number,
            input_bytes=asked.needs.input_bytes,
            warm=warm,
        )
        return DecisionRecord(
            id=str(i),
            tenant="",
            created_ms=asked.now_ms,
            mode=Mode.COMPLETE,
            choice=choice,
            attempts=(attempt,),
            arm=choice.plan,
            deployment=deployment.name,
            model=deployment.model,
            turn=turn,
        )

    def _deployments(self) -> Sequence[Deployment]:
        return self.catalog.deployments()

    def _after(self, before: Conversation, record: DecisionRecord, now_ms: int) -> Conversation:
        known = {d.name: d for d in self._deployments()}
        first = known.get(before.first)
        return after_turn(before, known[record.deployment], record.attempts, now_ms, first=first)

    def _attempt(self, i: int, deployment: Deployment, warm: int) -> Attempt:
        arm = self.cell.stream.data.arms.index(deployment.name)
        tokens = int(self.market.talks.tokens[i])
        cached = min(warm, tokens)
        writes = deployment.price.cache_write_usd_per_mtok is not None
        usage = Usage(
            tokens,
            round(float(self.market.output[i, arm])),
            cached_tokens=cached,
            written_tokens=tokens - cached if writes else 0,
        )
        attempt = Attempt(
            arm=deployment.name,
            deployment=deployment.name,
            model=deployment.model,
            outcome=AttemptOutcome.ACCEPTED,
            why="",
            latency_ms=1_000.0,
        )
        return attempt.charged(usage, deployment.price)

    def _quality(self, i: int, arm: int) -> float:
        return float(self.market.quality[i, arm])


def _said(role: Role, text: str) -> Message:
    return Message(role, (TextPart(text),))


def priced(made: Catalog, market: Market, arms: Sequence[str]) -> Catalog:
    """Returns the catalog at the list prices of the market."""
    prices = {arm: _listed(row) for arm, row in zip(arms, MTOK * market.usd, strict=True)}
    told = {
        name: replace(
            arm, deployments=tuple(_told(d, prices[name], market) for d in arm.deployments)
        )
        for name, arm in made.arms.items()
    }
    return replace(made, arms=told)


def _listed(usd: Numbers) -> Price:
    """Returns the price; usd: a row of `Market.usd`, of a million tokens."""
    read, written, cached, kept = usd.tolist()
    return Price(read, written, cached, kept if kept > read else None)


def _told(deployment: Deployment, price: Price, market: Market) -> Deployment:
    return replace(
        deployment,
        price=price,
        cache_ttl_s=int(market.terms.life_s) + 1,
        cache_least_tokens=1,
        context_window_tokens=WINDOW_TOKENS,
    )


def replay_of(
    cell: Cell,
    market: Market,
    bar: Bar,
    product: Product,
    *,
    cost_weight: float,
    seed: int,
    context_map: ContextMap,
    embeddings: NDArray[np.float32],
    contexts: dict[int, Context],
    mean_usd: Mapping[str, float],
) -> ConversationReplay:
    """mean_usd: of a turn of each arm, what is known where requests are not priced."""
    stream = replace(cell.stream, unit_usd=bar.unit_usd)
    config = config_of(stream, product.variant, cost_weight, list(mean_usd.values()))
    made = priced(catalog(config, mean_usd), market, stream.data.arms)
    decider = decider_of(config, made, product.variant, context_map, seed=seed)
    return ConversationReplay(cell, market, product, made, decider, embeddings, contexts)
