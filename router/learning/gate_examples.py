"""What an event teaches the gate of its plan: from the log's events to the bandit's lessons."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from bandit.gates import GateExample, GateInput, Step
from bandit.risk import LabelSource
from router.domain.catalog import Plan
from router.domain.events import Audited, Decided, Event, FeedbackGiven, Reasked
from router.domain.logged_context import read_context
from router.domain.records import Attempt, AttemptOutcome, Choice, DecisionRecord, Judge, Judged
from router.learning.rewards import RewardSettings, label


@dataclass(frozen=True, slots=True)
class PlanLesson:
    """plan: whose gate is to learn it."""

    plan: str
    lesson: GateExample


def lessons_of(
    event: Event, record: DecisionRecord, plans: Mapping[str, Plan], settings: RewardSettings
) -> list[PlanLesson]:
    """Empty where no gate looked, and for plans that are no longer configured."""
    choice, judged = record.choice, record.judged
    if choice is None or judged is None or choice.plan not in plans:
        return []
    blank = GateExample(_seen(choice, judged), repeated=not isinstance(event, Decided))
    plan = plans[choice.plan]
    return [
        PlanLesson(plan.name, lesson) for lesson in _lessons(event, record, plan, blank, settings)
    ]


@dataclass(frozen=True, slots=True)
class Label:
    """What a promise learns of an answer its gate would accept. probability: of its being told."""

    plan: str
    score: float
    bad: float
    probability: float
    source: LabelSource
    tenant: str = ""


def labels_of(event: Event, record: DecisionRecord) -> list[Label]:
    """Answers that were accepted and audited, or withheld and compared with the strong one."""
    choice, judged = record.choice, record.judged
    if choice is None or judged is None:
        return []
    last = judged.steps[-1]
    if last.step is Step.ACCEPT and last.by is Judge.GATE:
        if isinstance(event, Audited):
            bad, told = 1 - event.quality, event.propensity
            return [Label(choice.plan, last.score, bad, told, LabelSource.AUDIT, record.tenant)]
        if isinstance(event, FeedbackGiven):
            if event.by_default:
                return []  # nobody looked: a promise is not kept by silence
            bad = 1 - event.quality
            return [Label(choice.plan, last.score, bad, 1.0, LabelSource.FEEDBACK, record.tenant)]
    if isinstance(event, Decided) and last.instead is Step.ACCEPT:
        # Before it deployments of the same arm may have failed.
        first = _spoke(record, record.attempts[0].arm)
        if first is not None and first.agrees is not None:
            bad = float(not first.agrees)
            return [Label(choice.plan, last.score, bad, 1.0, LabelSource.AUDIT, record.tenant)]
    return []


def _lessons(
    event: Event, record: DecisionRecord, plan: Plan, blank: GateExample, settings: RewardSettings
) -> Iterator[GateExample]:
    if isinstance(event, Decided):
        yield from _from_call(record, plan, blank)
    elif isinstance(event, Audited):
        yield replace(blank, first_ok=event.quality, weight=settings.audit_weight)
    elif isinstance(event, FeedbackGiven):
        if not event.by_default:
            yield from _labelled(record, plan, blank, event.quality)
        elif record.answered:
            lesson = replace(blank, weight=settings.implicit_weight)
            yield from _labelled(record, plan, lesson, event.quality)
    elif isinstance(event, Reasked):
        lesson = replace(blank, weight=settings.reask_weight)
        yield from _labelled(record, plan, lesson, 0.0)


def _from_call(record: DecisionRecord, plan: Plan, blank: GateExample) -> Iterator[GateExample]:
    judged = record.judged
    assert judged is not None  # noqa: S101 - checked by the caller
    told = _told(record, judged, plan, blank)
    known = told.strong_cost_ratio is not None or told.first_ok is not None
    if known or judged.agreement is not None:
        yield told


def lesson_of_call(record: DecisionRecord, plan: Plan) -> GateExample | None:
    """The whole of it, whether there is something to learn or not; None where no gate looked."""
    if record.choice is None or record.judged is None:
        return None
    blank = GateExample(_seen(record.choice, record.judged))
    return _told(record, record.judged, plan, blank)


def _told(record: DecisionRecord, judged: Judged, plan: Plan, blank: GateExample) -> GateExample:
    """What agreed, what the strong arm really cost, and what a verifier said."""
    strong = _spoke(record, _above(plan))
    if strong is None or not judged.strong_usd:
        return replace(blank, first_ok=judged.verified)
    ratio = strong.cost_usd / judged.strong_usd
    return replace(blank, first_ok=judged.verified, strong_cost_ratio=ratio)


def _labelled(
    record: DecisionRecord, plan: Plan, blank: GateExample, quality: float
) -> Iterator[GateExample]:
    """The served answer's label, and what it says of the others."""
    first, second, strong = (
        _label(record, arm, quality) for arm in (plan.rungs[0], plan.second, _above(plan))
    )
    if (first, second, strong) != (None, None, None):
        yield replace(blank, first_ok=first, second_ok=second, strong_ok=strong)


def _label(record: DecisionRecord, arm: str, quality: float) -> float | None:
    spoke = _spoke(record, arm)
    return None if spoke is None else label(spoke, quality)


def _spoke(record: DecisionRecord, arm: str) -> Attempt | None:
    """The arm's attempt that came to an answer."""
    silent = (AttemptOutcome.FAILED, AttemptOutcome.CANCELLED)
    return next((a for a in record.attempts if a.arm == arm and a.outcome not in silent), None)


def _above(plan: Plan) -> str:
    return plan.rungs[1] if len(plan.rungs) > 1 else ""


def _seen(choice: Choice, judged: Judged) -> GateInput:
    return GateInput(
        context=read_context(choice.context),
        signals=np.asarray(judged.signals),
        version=judged.version,
        agreement=judged.agreement,
        second=np.asarray(judged.second_signals) if judged.second_signals else None,
    )
