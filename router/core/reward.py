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
from router.core.events import Audited, Decided, Event, FeedbackGiven
from router.core.records import JUDGED, Attempt, AttemptOutcome, Choice, DecisionRecord

RIGHT = 1.0


@dataclass(frozen=True, slots=True)
class RewardSettings:
    """implicit_weight, audit_weight in (0, 1]: how much they count beside feedback.

    implicit_weight: of an escalation or silence. audit_weight: of an audit. sign_weight: of the
    sign that the event is (see `router.core.signs`); None for what nobody has looked into: a
    re-ask then counts as silence does, and leaving a stream says nothing.
    """

    implicit_weight: float = 0.25
    audit_weight: float = 0.5
    sign_weight: float | None = None

    @property
    def reask_weight(self) -> float:
        return self.implicit_weight if self.sign_weight is None else self.sign_weight


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
    if isinstance(event, Audited):
        return []  # of one answer in front of a gate, not of what the plan came to
    if isinstance(event, FeedbackGiven):
        if event.by_default:
            if not record.answered:
                return []  # nothing was there to be silent about
            whole = replace(whole, weight=settings.implicit_weight)
        return list(_from_feedback(event, record, whole, _alone(record, choice, plans)))
    return [replace(whole, quality=0.0, weight=settings.reask_weight)]


def _from_call(
    record: DecisionRecord, choice: Choice, plans: Mapping[str, Plan], settings: RewardSettings
) -> Iterator[Outcome]:
    if not any(a.deployment for a in record.attempts):
        return  # nothing was called: nothing is known of the plan
    plan = plans[choice.plan]
    whole = replace(_blank(choice, plan), cost_usd=record.cost_usd)
    if any(a.outcome is AttemptOutcome.CANCELLED for a in record.attempts):
        if record.cost_usd:  # the caller left: what was spent is known, if a call was made
            yield whole
        if settings.sign_weight is not None:
            yield replace(_blank(choice, plan), quality=0.0, weight=settings.sign_weight)
        return
    failed = not record.answered or record.arm not in plan.arms
    quality = None if record.answered else 0.0
    yield replace(whole, latency_ms=record.latency_ms, failed=failed, quality=quality)
    alone = _alone(record, choice, plans)
    if alone is not None:
        yield from _first_rung(alone, record.attempts[0], settings)


def _from_feedback(
    event: FeedbackGiven, record: DecisionRecord, whole: Outcome, alone: Outcome | None
) -> Iterator[Outcome]:
    """alone: blank, of the plan that is the first arm alone; None where that was not called."""
    before = event.replaces
    yield replace(whole, quality=event.quality, replaces=before)
    if alone is None:
        return
    first = _first_quality(record, event.quality)
    told = None if before is None else _first_quality(record, before)
    if (first, told) != (None, None):
        yield replace(alone, quality=first, replaces=told, weight=whole.weight)


def _first_rung(alone: Outcome, first: Attempt, settings: RewardSettings) -> Iterator[Outcome]:
    failed = first.outcome is AttemptOutcome.FAILED
    yield replace(alone, cost_usd=first.cost_usd, latency_ms=first.latency_ms, failed=failed)
    # What a gate merely held for weak says nothing new of the arm.
    if first.outcome is AttemptOutcome.ESCALATED and first.why != JUDGED:
        yield replace(alone, quality=0.0, weight=settings.implicit_weight)


def _alone(record: DecisionRecord, choice: Choice, plans: Mapping[str, Plan]) -> Outcome | None:
    """The plan that is a ladder's first arm alone, when that arm was called first."""
    rungs = plans[choice.plan].rungs
    if len(rungs) == 1 or not record.attempts or record.attempts[0].arm != rungs[0]:
        return None
    single = next((p for p in plans.values() if p.rungs == rungs[:1]), None)
    return _blank(choice, single) if single else None


def _first_quality(record: DecisionRecord, quality: float) -> float | None:
    """Of the first answer, where what was served tells of it."""
    first = record.attempts[0]
    if first.outcome is AttemptOutcome.ACCEPTED or first.agrees:
        return quality
    return 0.0 if first.agrees is False and quality == RIGHT else None


def _blank(choice: Choice, plan: Plan) -> Outcome:
    return Outcome(
        action=action_of(plan),
        context=read_context(choice.context),
        propensity=choice.propensity,
    )
