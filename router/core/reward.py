"""What an event teaches: from the log's events to the bandit's outcomes.

A plan is valued by what the whole of it cost and yielded. A ladder's first rung is, besides, an
observation of that arm alone: its cost and latency always, its quality when the answer was served,
and a weak sign of failure when the gate sent it back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from bandit.types import Outcome
from router.core.arms import Plan
from router.core.deciding import action_of, read_context
from router.core.records import (
    Attempt,
    AttemptOutcome,
    Choice,
    Decided,
    DecisionRecord,
    Event,
    FeedbackGiven,
)


@dataclass(frozen=True, slots=True)
class RewardSettings:
    """implicit_weight in (0, 1]: how much an escalation or a re-ask counts beside feedback."""

    implicit_weight: float = 0.25


def outcomes_of(
    event: Event,
    record: DecisionRecord,
    plans: Mapping[str, Plan],
    settings: RewardSettings,
) -> list[Outcome]:
    """Outcomes in a fixed order; empty for plans that are no longer configured."""
    choice = record.choice
    if choice is None or choice.plan not in plans:
        return []
    if isinstance(event, Decided):
        return list(_from_call(record, choice, plans, settings))
    whole = _blank(choice, plans[choice.plan])
    if isinstance(event, FeedbackGiven):
        alone = _alone(record, choice, plans)
        actions = [whole, alone] if alone and _served_first(record) else [whole]
        return [replace(o, quality=event.quality) for o in actions]
    return [replace(whole, quality=0.0, weight=settings.implicit_weight)]


def _from_call(
    record: DecisionRecord, choice: Choice, plans: Mapping[str, Plan], settings: RewardSettings
) -> Iterator[Outcome]:
    if not any(a.deployment for a in record.attempts):
        return  # nothing was called: nothing is known of the plan
    plan = plans[choice.plan]
    whole = replace(_blank(choice, plan), cost_usd=record.cost_usd)
    if any(a.outcome is AttemptOutcome.CANCELLED for a in record.attempts):
        yield whole  # the caller left: what was spent is known, the rest is not
        return
    failed = not record.answered or record.arm not in plan.rungs
    quality = None if record.answered else 0.0
    yield replace(whole, latency_ms=record.latency_ms, failed=failed, quality=quality)
    alone = _alone(record, choice, plans)
    if alone is not None:
        yield from _first_rung(alone, record.attempts[0], settings)


def _first_rung(alone: Outcome, first: Attempt, settings: RewardSettings) -> Iterator[Outcome]:
    failed = first.outcome is AttemptOutcome.FAILED
    yield replace(alone, cost_usd=first.cost_usd, latency_ms=first.latency_ms, failed=failed)
    if first.outcome is AttemptOutcome.ESCALATED:
        yield replace(alone, quality=0.0, weight=settings.implicit_weight)


def _alone(record: DecisionRecord, choice: Choice, plans: Mapping[str, Plan]) -> Outcome | None:
    """The plan that is a ladder's first arm alone, when that arm was called first."""
    rungs = plans[choice.plan].rungs
    if len(rungs) == 1 or not record.attempts or record.attempts[0].arm != rungs[0]:
        return None
    single = next((p for p in plans.values() if p.rungs == rungs[:1]), None)
    return _blank(choice, single) if single else None


def _served_first(record: DecisionRecord) -> bool:
    return record.attempts[0].outcome is AttemptOutcome.ACCEPTED


def _blank(choice: Choice, plan: Plan) -> Outcome:
    return Outcome(
        action=action_of(plan),
        context=read_context(choice.context),
        propensity=choice.propensity,
    )
