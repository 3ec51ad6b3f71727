"""The policy as the service uses it: embed in, logged choice out, snapshots swapped underneath."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from bandit.context.context_map import ContextMap
from bandit.gates import Gate
from bandit.risk import Promise
from bandit.types import Action, Context, Decision, Estimate, Policy, Weights
from router.domain.catalog import Plan
from router.domain.chat import ChatRequest
from router.domain.eligibility import offered
from router.domain.logged_context import action_of, facts_of, log_context, single
from router.domain.records import BASE, OWN, Choice, Observation, WeightSet
from router.domain.requests import WeightOverrides
from router.ports.upstream import Embedding

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
        known = [(action, estimates[action.name]) for action in eligible]
        cheap = [(a, e) for a, e in known if self.cost_usd is None or e.cost_usd <= self.cost_usd]
        if not cheap or self.latency_ms is None:
            return [action for action, _ in cheap]
        quick = [action for action, e in cheap if e.latency_ms <= self.latency_ms]
        return quick or [min(cheap, key=lambda pair: pair[1].latency_ms)[0]]


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

    def swap(self, learned: LearnerState, version: int) -> None:
        """The policy and its gates at once: both are of one snapshot."""
        self.policy, self.gates, self.version = learned.policy, learned.gates, version
        self.promises = learned.promises
        self.member = learned.champion
        self.owned = learned.own_policies.policies if learned.own_policies else {}

    def context(self, chat: ChatRequest, embedding: Embedding) -> Context:
        return self.context_map.build(embedding, facts_of(chat))

    def choose(
        self,
        context: Context,
        plans: Sequence[Plan],
        overrides: WeightOverrides,
        bounds: Bounds,
        tenant: str = "",
    ) -> Choice | None:
        """None when every plan is expected to cost more than the caller allows.

        Spare plans are looked at where none of the others keeps the bounds. tenant: whose own
        policy chooses, where it has one.
        """
        weights, first = merge(self.weights, overrides), offered(plans)
        choice = self._chosen(context, first, weights, bounds, tenant)
        if choice is None and len(first) < len(plans):
            choice = self._chosen(context, plans, weights, bounds, tenant)
        return choice

    def _chosen(
        self,
        context: Context,
        plans: Sequence[Plan],
        weights: Weights,
        bounds: Bounds,
        tenant: str,
    ) -> Choice | None:
        own = self.owned.get(tenant)
        policy, member = (self.policy, self.member) if own is None else (own, OWN)
        eligible = [action_of(plan) for plan in plans]
        decision = policy.decide(context, eligible, weights)
        kept = bounds.keep(eligible, decision.estimates)
        if not kept:
            return None
        if len(kept) < len(eligible):
            decision = policy.decide(context, kept, weights)
        return self._choice(context, decision, weights, policy.name, member)

    def _choice(
        self, context: Context, decision: Decision, weights: Weights, policy: str, member: str
    ) -> Choice:
        return Choice(
            plan=decision.action,
            propensity=decision.propensity,
            explored=decision.explored,
            probabilities=tuple(decision.probabilities.items()),
            policy=policy,
            policy_version=self.version,
            weights=WeightSet(weights.quality, weights.cost, weights.latency, weights.failure),
            context=log_context(context),
            expected=tuple(
                (name, single(e.quality), single(e.cost_usd), single(e.utility))
                for name, e in decision.estimates.items()
            ),
            member=member,
        )


def with_shadow(choice: Choice, shadow: Choice) -> Choice:
    """Returns what was served, with the choice of a policy that only watches."""
    shares = dict.fromkeys((name for name, _ in shadow.probabilities), 0.0) | {choice.plan: 1.0}
    expected = {known[0]: known for known in (*shadow.expected, *choice.expected)}
    return replace(
        choice,
        probabilities=tuple(shares.items()),
        expected=tuple(expected.values()),
        observed=Observation(shadow.plan, shadow.probabilities),
    )


def merge(weights: Weights, overrides: WeightOverrides) -> Weights:
    def pick(wanted: float | None, default: float) -> float:
        return default if wanted is None else wanted

    return Weights(
        quality=pick(overrides.quality, weights.quality),
        cost=pick(overrides.cost, weights.cost),
        latency=pick(overrides.latency, weights.latency),
        failure=pick(overrides.failure, weights.failure),
    )
