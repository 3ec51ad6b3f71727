"""Which plan a request gets, worked out while the store still answers where that is possible."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from bandit.context.context_map import ContextMap
from bandit.gates import Gate
from bandit.risk import Promise
from bandit.types import Action, Context, Decision, Estimate, Policy, SeesChanges, Weights
from router.domain.catalog import Catalog, Plan
from router.domain.chat import ChatRequest
from router.domain.conversations import turn_number
from router.domain.eligibility import offered
from router.domain.errors import NoEligiblePlan, Overloaded
from router.domain.logged_context import (
    Priced,
    action_of,
    blended,
    facts_of,
    log_context,
    price_of,
    read_context,
    singles,
)
from router.domain.records import BASE, OWN, Choice, Mode, Observation, WeightSet
from router.domain.requests import WeightOverrides
from router.gates.gate_session import GateSession, GateSessions
from router.learning.evidence import EvidenceLedger
from router.learning.request_rates import RequestRates
from router.ports.observer import Observer, Stopwatch
from router.ports.upstream import Embedder, Embedding
from router.serving.attempts import PlanRun
from router.serving.request_prices import PricedRequest, PriceList, RequestPrices
from router.serving.request_state import RequestState

if TYPE_CHECKING:  # what is learned reads the logged choices of this module
    from router.learning.learner_state import LearnerState


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits that the expectation must not exceed; None for no bound."""

    cost_usd: float | None = None
    latency_ms: float | None = None

    def keep(self, eligible: Sequence[Action], estimates: Mapping[str, Estimate]) -> list[Action]:
        """Keep those within both; of those that are cheap enough but too slow, the quickest.

        The cost limit is a promise; the latency limit is enforced by the deadline anyway.
        """
        if self.cost_usd is None and self.latency_ms is None:
            return list(eligible)
        known = [(action, estimates[action.name]) for action in eligible]
        cheap = [(a, e) for a, e in known if self.cost_usd is None or e.cost_usd <= self.cost_usd]
        if not cheap or self.latency_ms is None:
            return [action for action, _ in cheap]
        quick = [action for action, e in cheap if e.latency_ms <= self.latency_ms]
        return quick or [min(cheap, key=lambda pair: pair[1].latency_ms)[0]]


class _Decided(NamedTuple):
    """member: of the policies that are compared, or `OWN`."""

    decision: Decision
    policy: str
    member: str


@dataclass(slots=True)
class Decider:
    """Serves the newest good policy. Lives on the event loop's thread, like the policy it holds."""

    context_map: ContextMap
    policy: Policy
    weights: Weights
    version: int = 0
    gates: Mapping[str, Gate] = field(default_factory=dict)
    promises: Mapping[str, Promise] = field(default_factory=dict)
    member: str = BASE
    owned: Mapping[str, Policy] = field(default_factory=dict)
    rates: RequestRates = field(default_factory=RequestRates)
    evidence: EvidenceLedger = field(default_factory=EvidenceLedger)

    def swap(self, learned: LearnerState, version: int) -> None:
        """The policy and its gates at once: both are of one snapshot."""
        self.policy, self.gates, self.version = learned.policy, learned.gates, version
        self.promises = learned.promises
        self.member = learned.champion
        self.owned = learned.own_policies.policies if learned.own_policies else {}
        self.rates = learned.rates
        self.evidence = learned.evidence

    def changed_ms(self, plan: str) -> float:
        """Returns when the policy last saw a plan change, since the epoch; 0 for never."""
        policy = self.policy
        return policy.changed_ms(plan) if isinstance(policy, SeesChanges) else 0.0

    def context(self, chat: ChatRequest, embedding: Embedding, application: str = "") -> Context:
        """Build a context. application: the digest of what asks, "" where it is not known."""
        return self.context_map.build(embedding, facts_of(chat, application))

    def choose(
        self,
        context: Context,
        plans: Sequence[Plan],
        overrides: WeightOverrides,
        bounds: Bounds,
        tenant: str = "",
        *,
        prices: PriceList | None = None,
    ) -> Choice | None:
        """None when every plan is expected to cost more than the caller allows.

        Spare plans are looked at where none of the others keeps the bounds. tenant: whose own
        policy chooses, where it has one. prices: of this request, None for those of a typical one.
        """
        weights, first = merge(self.weights, overrides), offered(plans)
        actions = {plan.name: prices.action(plan) if prices else action_of(plan) for plan in plans}
        eligible = [actions[plan.name] for plan in first]
        decided = self._decided(context, eligible, weights, bounds, tenant)
        if decided is None and len(first) < len(plans):
            decided = self._decided(context, list(actions.values()), weights, bounds, tenant)
        if decided is None:
            return None
        logged = tuple(map(price_of, actions.values())) if prices else ()
        turns_ahead = prices.turns_ahead if prices else 0.0
        return self._choice(context, weights, decided, logged, turns_ahead)

    def _decided(
        self,
        context: Context,
        eligible: Sequence[Action],
        weights: Weights,
        bounds: Bounds,
        tenant: str,
    ) -> _Decided | None:
        own = self.owned.get(tenant)
        policy, member = (self.policy, self.member) if own is None else (own, OWN)
        decision = policy.decide(context, eligible, weights)
        kept = bounds.keep(eligible, decision.estimates)
        if not kept:
            return None
        if len(kept) < len(eligible):
            decision = policy.decide(context, kept, weights)
        return _Decided(decision, policy.name, member)

    def _choice(
        self,
        context: Context,
        weights: Weights,
        decided: _Decided,
        prices: Priced,
        turns_ahead: float,
    ) -> Choice:
        decision = decided.decision
        return Choice(
            plan=decision.action,
            propensity=decision.propensity,
            explored=decision.explored,
            probabilities=tuple(decision.probabilities.items()),
            policy=decided.policy,
            policy_version=self.version,
            weights=WeightSet(weights.quality, weights.cost, weights.latency, weights.failure),
            context=log_context(context),
            expected=_logged(decision.estimates),
            member=decided.member,
            prices=prices,
            turns_ahead=turns_ahead,
        )


def _logged(estimates: Mapping[str, Estimate]) -> tuple[tuple[str, float, float, float], ...]:
    found = estimates.values()
    numbers = singles(*[n for one in found for n in (one.quality, one.cost_usd, one.utility)])
    return tuple(zip(estimates, numbers[::3], numbers[1::3], numbers[2::3], strict=True))


def with_shadow(choice: Choice, shadow: Choice) -> Choice:
    """Returns what was served, with the choice of a policy that only watches."""
    shares = dict.fromkeys((name for name, _ in shadow.probabilities), 0.0) | {choice.plan: 1.0}
    expected = {known[0]: known for known in (*shadow.expected, *choice.expected)}
    prices = {known[0]: known for known in (*shadow.prices, *choice.prices)}
    return replace(
        choice,
        probabilities=tuple(shares.items()),
        expected=tuple(expected.values()),
        prices=tuple(prices.values()),
        observed=Observation(shadow.plan, shadow.probabilities),
    )


_NO_OVERRIDES = WeightOverrides()


def merge(weights: Weights, overrides: WeightOverrides) -> Weights:
    if overrides == _NO_OVERRIDES:
        return weights

    def pick(wanted: float | None, default: float) -> float:
        return default if wanted is None else wanted

    return Weights(
        quality=pick(overrides.quality, weights.quality),
        cost=pick(overrides.cost, weights.cost),
        latency=pick(overrides.latency, weights.latency),
        failure=pick(overrides.failure, weights.failure),
    )


SENDING_TURNS = 4
"""Turns of the event loop until commands to the store that were issued now are on their way."""


class PlanSelector:
    def __init__(
        self,
        *,
        catalog: Catalog,
        decider: Decider,
        gate_sessions: GateSessions,
        embedder: Embedder,
        observer: Observer,
        stopwatch: Stopwatch,
        lock_tool_loops: bool = True,
        prices: RequestPrices | None = None,
    ) -> None:
        self._catalog = catalog
        self._prices = prices or RequestPrices(catalog)
        self._decider = decider
        self._gate_sessions = gate_sessions
        self._embedder = embedder
        self._observer = observer
        self._stopwatch = stopwatch
        self._lock_tool_loops = lock_tool_loops

    async def choose_early(self, state: RequestState) -> None:
        """Choose as if every plan were well, as mostly they are; run it beside a look-up.

        Only where the embedding is at hand: nothing is computed for who may have no quota left.
        """
        if state.embedding is None:
            state.embedding = self._embedder.cached(state.request.chat.prompt)
        if state.embedding is not None and state.plans and self._knows_all(state):
            for _ in range(SENDING_TURNS):
                await asyncio.sleep(0)
            state.early_choice = self._decide(state, state.plans)

    def _knows_all(self, state: RequestState) -> bool:
        return all(self._embedder.cached(text) is not None for text, _ in state.said[1:])

    def _said(self, state: RequestState) -> Embedding:
        """The conversation's embedding; what was not embedded in time is left out."""
        assert state.embedding is not None  # noqa: S101 - embedded before
        (_, own), *others = state.said
        if not others:
            return state.embedding
        known = [(self._embedder.cached(text), weight) for text, weight in others]
        return blended([(state.embedding, own), *known])

    def choose(self, state: RequestState) -> PlanRun:
        """Let the policy pick among the plans that are permitted and well.

        In a loop of tools who asked for them answers, and nothing is chosen. With every plan ill
        only spare arms are left: nothing was chosen, so nothing is learned.
        Raises Overloaded, NoEligiblePlan.
        """
        if not state.has_room:
            raise Overloaded("too many events wait to be learned: try again later")
        if not state.plans:
            raise NoEligiblePlan(
                "max_cost_usd is below what the cheapest arm can cost: raise it, or ask for fewer "
                "output tokens"
            )
        locked = state.lockable(self._catalog) if self._lock_tool_loops else None
        if locked is not None:
            arm, state.locked_to = locked
            state.run = self._plan_run(state, (arm,), None)
            return state.run
        plans = [plan for plan in state.plans if state.is_plan_healthy(self._catalog, plan)]
        rungs, gate_session = state.arms[:1], None
        if plans:
            all_well = len(plans) == len(state.plans)
            choice = (state.early_choice if all_well else None) or self._decide(state, plans)
            if choice is None:
                raise NoEligiblePlan("no plan is expected to keep the cost limit")
            plan = next(p for p in plans if p.name == choice.plan)
            state.choice, rungs = choice, plan.rungs
            gate_session = self._gate_session(state, plan, choice)
            self._observer.decision(plan.name, explored=choice.explored)
        state.run = self._plan_run(state, rungs, gate_session)
        return state.run

    def _decide(self, state: RequestState, plans: Sequence[Plan]) -> Choice | None:
        options, tenant = state.request.options, state.request.tenant.name
        with self._stopwatch.stage("decide") as span:
            chat, asks, said = state.request.chat, state.application, self._said(state)
            context, state.said_embedding = self._decider.context(chat, said, asks), said
            bounds = Bounds(options.max_cost_usd, options.max_latency_ms)
            if state.prices is None or state.conversation.turns:
                state.prices = self._price_list(state)
            choose = partial(self._decider.choose, tenant=tenant, prices=state.prices)
            choice = choose(context, plans, options.weights, bounds)
            if choice is not None:
                span.note(plan=choice.plan, explored=choice.explored, policy=choice.policy)
            shadow = [
                plan for plan in state.shadow_plans if state.is_plan_healthy(self._catalog, plan)
            ]
            if choice is None or not shadow:
                return choice
            unserved = choose(context, shadow, options.weights, bounds)
            return choice if unserved is None else with_shadow(choice, unserved)

    def price(self, state: RequestState) -> None:
        """Price a request as one that begins a conversation: it reserves before more is known."""
        state.price(self._price_list(state))

    def _price_list(self, state: RequestState) -> PriceList:
        asked = PricedRequest(
            needs=state.needs,
            conversation=state.conversation,
            application=state.application,
            now_ms=state.began_ms,
            number=turn_number(state.conversation, state.turn_keys),
        )
        return self._prices.of(asked, self._decider.rates)

    def _gate_session(self, state: RequestState, plan: Plan, choice: Choice) -> GateSession | None:
        request, decider = state.request, self._decider
        if plan.name not in decider.gates:
            return None
        weights = merge(decider.weights, request.options.weights)
        context = read_context(choice.context)
        return self._gate_sessions.open(
            request.chat,
            plan,
            decider.gates,
            context,
            weights,
            tenant=request.tenant.name,
            promises=decider.promises,
            prices=state.prices,
        )

    def _plan_run(
        self, state: RequestState, rungs: tuple[str, ...], gate_session: GateSession | None
    ) -> PlanRun:
        return PlanRun(
            chat=state.request.chat,
            needs=state.needs,
            rungs=rungs,
            spares=state.arms,
            live=state.mode is Mode.STREAM,
            deadline_s=state.deadline_s,
            max_cost_usd=state.request.options.max_cost_usd,
            health=state.health,
            gate_session=gate_session,
            tenant=state.request.tenant.name,
            preferred=state.asked_tools if self._lock_tool_loops else "",
        )
