"""Decisions between being made and being judged, with what every challenger would have done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bandit.offpolicy import Weighed
from bandit.types import Action, Units, Weights
from bandit.utility import burden
from router.domain.catalog import Plan
from router.domain.logged_context import action_of
from router.domain.records import AttemptOutcome, Choice, DecisionRecord, Mode


@dataclass(slots=True)
class Waiting:
    """k eligible actions. wanted: by member, its (k,) probabilities before it learned of this.

    burden: what cost, latency and failure take off; None until the decision is settled.
    quality: None until there is feedback.
    """

    actions: tuple[str, ...]
    taken: int
    logged: tuple[float, ...]
    expected: tuple[float, ...]
    wanted: dict[str, tuple[float, ...]]
    quality_weight: float
    burden: float | None = None
    quality: float | None = None

    @property
    def reward(self) -> float | None:
        if self.burden is None or self.quality is None:
            return None
        return self.quality_weight * self.quality - self.burden

    def weighed(self, member: str, reward: float) -> Weighed:
        """Raises KeyError for a member that was not asked."""
        wanted = self.wanted[member]
        return Weighed(self.actions, self.logged, wanted, self.expected, self.taken, reward)


def is_news(record: DecisionRecord, choice: Choice, plans: Mapping[str, Plan]) -> bool:
    """Whether this is told of for the first time, and everything it names is still there.

    Where the champion only watched, its gains cannot be told from what the caller chose.
    """
    again = record.mode is Mode.DECIDE and record.settled
    known = plans.keys() >= {name for name, _ in choice.probabilities}
    return known and not again and choice.observed is None


def waiting_of(choice: Choice, wanted: dict[str, tuple[float, ...]]) -> Waiting:
    """The reward model is what the policy that served expected: it can't know the outcome."""
    actions = tuple(name for name, _ in choice.probabilities)
    known = {name: utility for name, _, _, utility in choice.expected}
    return Waiting(
        actions=actions,
        taken=actions.index(choice.plan),
        logged=tuple(share for _, share in choice.probabilities),
        expected=tuple(known.get(name, 0.0) for name in actions),
        wanted=wanted,
        quality_weight=choice.weights.quality,
    )


def eligible_of(choice: Choice, plans: Mapping[str, Plan]) -> list[Action]:
    return [action_of(plans[name]) for name, _ in choice.probabilities]


def weights_of(choice: Choice) -> Weights:
    logged = choice.weights
    return Weights(logged.quality, logged.cost, logged.latency, logged.failure)


def burden_of(
    record: DecisionRecord, choice: Choice, plans: Mapping[str, Plan], units: Units
) -> float | None:
    """In the weights of its own day; None for what was given up or never called."""
    if any(a.outcome is AttemptOutcome.CANCELLED for a in record.attempts):
        return None
    if not any(a.deployment for a in record.attempts):
        return None
    failed = float(not record.answered or record.arm not in plans[choice.plan].arms)
    return burden(weights_of(choice), units, record.cost_usd, record.latency_ms, failed)
