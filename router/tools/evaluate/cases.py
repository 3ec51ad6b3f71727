"""Logged decisions with everything that came back of them, and their utility."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bandit.types import Action, Context, Units, Weights
from bandit.utility import burden
from router.domain.catalog import Plan
from router.domain.events import Decided, Event, FeedbackGiven
from router.domain.logged_context import action_of, read_context
from router.domain.records import Choice, DecisionRecord


@dataclass(frozen=True, slots=True)
class Case:
    """reward: utility in the weights of its own day. probabilities, would: one per eligible action.

    would: those of the policy where it only watched, else the same as of what served.
    """

    context: Context
    eligible: tuple[Action, ...]
    probabilities: tuple[float, ...]
    taken: str
    weights: Weights
    reward: float
    would: tuple[float, ...]
    watched: bool = False


def feedback_in(events: Iterable[Event]) -> dict[str, float]:
    """Quality by decision, as reported or corrected last; silence is no measurement."""
    told = (e for e in events if isinstance(e, FeedbackGiven) and not e.by_default)
    return {event.decision_id: event.quality for event in told}


def case_of(
    event: Event, feedback: Mapping[str, float], plans: Mapping[str, Plan], units: Units
) -> Case | None:
    """None for what is no settled decision, has no feedback or names a plan that is gone."""
    if not isinstance(event, Decided):
        return None
    record, choice = event.record, event.record.choice
    quality = feedback.get(record.id)
    if choice is None or quality is None or not record.settled:
        return None
    if not plans.keys() >= {name for name, _ in choice.probabilities}:
        return None
    return _case(record, choice, quality, plans, units)


def _case(
    record: DecisionRecord,
    choice: Choice,
    quality: float,
    plans: Mapping[str, Plan],
    units: Units,
) -> Case:
    logged = choice.weights
    weights = Weights(logged.quality, logged.cost, logged.latency, logged.failure)
    failed = float(not record.answered or record.arm not in plans[choice.plan].arms)
    taken_off = burden(weights, units, record.cost_usd, record.latency_ms, failed)
    watched = choice.observed
    would = dict(choice.probabilities if watched is None else watched.probabilities)
    return Case(
        context=read_context(choice.context),
        eligible=tuple(action_of(plans[name]) for name, _ in choice.probabilities),
        probabilities=tuple(share for _, share in choice.probabilities),
        taken=choice.plan,
        weights=weights,
        reward=weights.quality * quality - taken_off,
        would=tuple(would.get(name, 0.0) for name, _ in choice.probabilities),
        watched=watched is not None,
    )
