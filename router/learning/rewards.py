"""Outcomes for policies, made from the events of the log.

A plan is valued by what the whole of it cost and yielded. A ladder's first rung is, besides, an
observation of that arm alone: its cost and latency always, its quality when the answer was served,
and a weak sign of failure when the gate sent it back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from bandit.types import Action, Outcome
from router.domain.catalog import Plan
from router.domain.errors import REQUEST_FAULTS
from router.domain.events import Decided, Event, EvidenceBought, FeedbackGiven, Reasked
from router.domain.logged_context import action_of, read_context
from router.domain.records import (
    JUDGED,
    UNJUDGED,
    Attempt,
    AttemptOutcome,
    Choice,
    DecisionRecord,
    Mode,
)
from router.learning.evidence_labels import outcomes_of_evidence

RIGHT = 1.0


@dataclass(frozen=True, slots=True)
class RewardSettings:
    """implicit_weight, audit_weight in (0, 1]: how much they count beside feedback.

    implicit_weight: of an escalation or silence. audit_weight: of an audit. sign_weight: of the
    sign that the event is (see `implicit_feedback`); None where signs are not weighed: a re-ask
    then counts as silence does, and a caller who leaves a stream gives no sign.
    evidence_weight: of bought evidence, whose scores may be a judge's.
    """

    implicit_weight: float = 0.25
    audit_weight: float = 0.5
    sign_weight: float | None = None
    evidence_weight: float = 1.0

    @property
    def reask_weight(self) -> float:
        return self.implicit_weight if self.sign_weight is None else self.sign_weight


def outcomes_of(
    event: Event,
    record: DecisionRecord,
    plans: Mapping[str, Plan],
    settings: RewardSettings,
) -> list[Outcome]:
    """Returns outcomes in a fixed order; none for plans that are no longer configured."""
    choice = record.choice
    if choice is None or choice.plan not in plans:
        return []
    return list(_outcomes(event, record, choice, plans, settings))


def _outcomes(
    event: Event,
    record: DecisionRecord,
    choice: Choice,
    plans: Mapping[str, Plan],
    settings: RewardSettings,
) -> Iterator[Outcome]:
    """An audit is about one answer in front of a gate, not about the plan's result."""
    if isinstance(event, Decided):
        yield from _from_call(record, choice, plans, settings)
    elif isinstance(event, FeedbackGiven):
        yield from _from_feedback(event, record, choice, plans, settings)
    elif isinstance(event, EvidenceBought):
        weight = settings.evidence_weight
        for outcome in outcomes_of_evidence(event, record, choice, plans, weight):
            yield replace(outcome, made_ms=record.created_ms)
    # A caller without an answer asks again for that; a result of `Decide` may be reported later.
    elif isinstance(event, Reasked) and (record.answered or record.mode is Mode.DECIDE):
        blank = _blank(record, choice, plans[choice.plan])
        yield replace(blank, quality=0.0, weight=settings.reask_weight)


@dataclass(frozen=True, slots=True)
class _FirstRung:
    """The first arm of a ladder by itself.

    blank: an outcome of the plan that is this arm alone, without values. call: the last attempt of
    the arm's deployments, with the latency of all of them. paid: blank, with the cost of all of
    them, if known.
    """

    blank: Outcome
    call: Attempt
    paid: Outcome


def quality_by(attempt: Attempt, served: float) -> float | None:
    """Returns an answer's quality as far as it follows from that of the served one.

    An answer equal to the served one shares its quality; one unequal to a right one is wrong.
    """
    if attempt.outcome is AttemptOutcome.ACCEPTED or attempt.agrees:
        return served
    return 0.0 if attempt.agrees is False and served == RIGHT else None


def _from_call(
    record: DecisionRecord, choice: Choice, plans: Mapping[str, Plan], settings: RewardSettings
) -> Iterator[Outcome]:
    if not any(a.deployment for a in record.attempts):
        return  # nothing was called: nothing is known of the plan
    plan = plans[choice.plan]
    if _is_refused(record, plan):
        return  # the caller's request was at fault, and no arm of the plan
    whole = _paid(_blank(record, choice, plan), record.attempts)
    if any(a.outcome is AttemptOutcome.CANCELLED for a in record.attempts):
        if whole.cost_usd:  # the caller left: what was spent is known, if a call was made
            yield whole
        if settings.sign_weight is not None:
            yield replace(_blank(record, choice, plan), quality=0.0, weight=settings.sign_weight)
        return
    failed = not record.answered or record.arm not in plan.arms
    quality = None if record.answered else 0.0
    yield replace(whole, latency_ms=record.latency_ms, failed=failed, quality=quality)
    first = _first_of(record, choice, plans)
    if first is not None:
        yield from _from_first_rung(first, settings)


def _is_refused(record: DecisionRecord, plan: Plan) -> bool:
    """True where every call of the plan's own arms was refused for the request's sake."""
    own = [a for a in record.attempts if a.deployment and a.arm in plan.arms]
    return bool(own) and all(_is_refusal(attempt) for attempt in own)


def _is_refusal(attempt: Attempt) -> bool:
    return attempt.outcome is AttemptOutcome.FAILED and attempt.why in REQUEST_FAULTS


def _cost_usd(attempts: Sequence[Attempt]) -> float | None:
    """Returns None where an attempt without an answer was not counted: its charge is a bound."""
    bounds = (AttemptOutcome.FAILED, AttemptOutcome.CANCELLED)
    if any(a.guessed and a.outcome in bounds for a in attempts):
        return None
    return sum(a.cost_usd for a in attempts)


def _from_feedback(
    event: FeedbackGiven,
    record: DecisionRecord,
    choice: Choice,
    plans: Mapping[str, Plan],
    settings: RewardSettings,
) -> Iterator[Outcome]:
    if event.by_default and not record.answered:
        return  # there was no answer to be silent about
    first = _first_of(record, choice, plans)
    blank = _blank(record, choice, plans[choice.plan])
    for weight, before in _parts(event, settings):
        yield replace(blank, quality=event.quality, replaces=before, weight=weight)
        if first is None:
            continue
        now = quality_by(first.call, event.quality)
        earlier = None if before is None else quality_by(first.call, before)
        if (now, earlier) != (None, None):
            yield replace(first.blank, quality=now, replaces=earlier, weight=weight)


def _parts(event: FeedbackGiven, settings: RewardSettings) -> Iterator[tuple[float, float | None]]:
    """Yields (weight, quality that is replaced).

    Feedback of a decision's own takes the place of its share of the session's, and adds the rest.
    """
    if event.by_default:
        yield settings.implicit_weight, event.replaces
    elif event.replaces_share is None:
        yield event.weight, event.replaces
    else:
        yield event.replaces_share, event.replaces
        if event.replaces_share < event.weight:
            yield event.weight - event.replaces_share, None


def _from_first_rung(first: _FirstRung, settings: RewardSettings) -> Iterator[Outcome]:
    call, alone = first.call, first.blank
    if _is_refusal(call):
        return
    failed = call.outcome is AttemptOutcome.FAILED
    yield replace(first.paid, latency_ms=call.latency_ms, failed=failed)
    # A gate's mere opinion is no new evidence about the arm, nor is a check that had no room.
    if call.outcome is AttemptOutcome.ESCALATED and call.why not in (JUDGED, UNJUDGED):
        yield replace(alone, quality=0.0, weight=settings.implicit_weight)


def _first_of(
    record: DecisionRecord, choice: Choice, plans: Mapping[str, Plan]
) -> _FirstRung | None:
    """Returns None for plans of one arm, if the first was not called, or if it is no plan alone."""
    rungs = plans[choice.plan].rungs
    if len(rungs) == 1:
        return None
    single = next((p for p in plans.values() if p.rungs == rungs[:1]), None)
    asked = takewhile(lambda a: a.arm == rungs[0], record.attempts)
    calls = [a for a in asked if a.deployment]  # without one nothing was called
    if single is None or not calls:
        return None
    call = replace(calls[-1], latency_ms=sum(a.latency_ms for a in calls))
    blank = _blank_rung(record, choice, single, plans[choice.plan])
    return _FirstRung(blank, call, _paid(blank, calls))


def _paid(blank: Outcome, calls: Sequence[Attempt]) -> Outcome:
    """Returns the outcome with the cost of calls.

    The input is that of the first one that was charged, also where another arm stood in: how long a
    request was is no part of what its plan's guess is off by. At the price of a typical request
    nothing is known of it, nor where a charge was not told apart.
    """
    cost_usd = _cost_usd(calls)
    if not blank.action.input_usd:
        return replace(blank, cost_usd=cost_usd)
    charged = next((a for a in calls if a.deployment and a.cost_usd > 0), None)
    input_usd = charged.input_usd if charged else 0.0
    unknown = charged is not None and not charged.input_usd
    return replace(blank, cost_usd=cost_usd, input_usd=None if unknown else input_usd)


def _blank_rung(record: DecisionRecord, choice: Choice, single: Plan, ladder: Plan) -> Outcome:
    """Returns `_blank` of a ladder's first arm; its price is the ladder's where it was not logged.

    Both pay the same input first; the guess is as much of the ladder's as of a typical request.
    """
    blank, known = _blank(record, choice, single), action_of(ladder, choice.prices)
    if not known.input_usd or blank.action.input_usd:
        return blank
    guess_usd = known.guess_usd * min(1.0, single.prior_cost_usd / ladder.prior_cost_usd)
    prior_usd = known.input_usd + guess_usd
    action = Action(single.name, prior_usd, known.input_usd, known.ahead_usd)
    return replace(blank, action=action)


def _blank(record: DecisionRecord, choice: Choice, plan: Plan) -> Outcome:
    return Outcome(
        action=action_of(plan, choice.prices),
        context=read_context(choice.context),
        propensity=choice.propensity,
        made_ms=record.created_ms,
    )
