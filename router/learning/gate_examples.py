"""Examples for gates and labels for promises, made from the events of the log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from bandit.gates import GateExample, GateInput, Step
from bandit.risk import LabelSource
from router.domain.catalog import Plan
from router.domain.events import (
    Audited,
    Decided,
    Event,
    EvidenceBought,
    EvidenceSource,
    FeedbackGiven,
    Reasked,
)
from router.domain.logged_context import read_context
from router.domain.records import Attempt, AttemptOutcome, Choice, DecisionRecord, Judge, Judged
from router.learning.evidence_labels import examples_of_evidence, served_answer
from router.learning.rewards import RewardSettings, quality_by


class PlanExample(NamedTuple):
    """An example for the gate of a plan."""

    plan: str
    example: GateExample


def examples_of(
    event: Event, record: DecisionRecord, plans: Mapping[str, Plan], settings: RewardSettings
) -> list[PlanExample]:
    """Returns none where no gate judged, and for plans that are no longer configured."""
    choice, judged = record.choice, record.judged
    if choice is None or judged is None or choice.plan not in plans:
        return []
    blank = GateExample(_input_of(choice, judged), repeated=not isinstance(event, Decided))
    plan = plans[choice.plan]
    found = _examples(event, record, plan, blank, settings)
    return [PlanExample(plan.name, example) for example in found]


@dataclass(frozen=True, slots=True)
class RiskLabel:
    """Badness of an answer that its gate would accept. probability: that it was labelled."""

    plan: str
    score: float
    bad: float
    probability: float
    source: LabelSource
    tenant: str = ""


def risk_labels_of(event: Event, record: DecisionRecord) -> list[RiskLabel]:
    """Returns labels of answers accepted and audited, or withheld and compared with the strong."""
    choice, judged = record.choice, record.judged
    if choice is None or judged is None:
        return []
    last = judged.steps[-1]
    if last.step is Step.ACCEPT and last.by is Judge.GATE:
        label = _label_of_accepted(
            event, RiskLabel(choice.plan, last.score, 0.0, 1.0, LabelSource.AUDIT, record.tenant)
        )
        if label is not None:
            return [label]
    if isinstance(event, Decided) and last.instead is Step.ACCEPT:
        # Before it deployments of the same arm may have failed.
        first = _answered(record, record.attempts[0].arm)
        if first is not None and first.agrees is not None:
            bad = float(not first.agrees)
            return [RiskLabel(choice.plan, last.score, bad, 1.0, LabelSource.AUDIT, record.tenant)]
    return []


def _label_of_accepted(event: Event, blank: RiskLabel) -> RiskLabel | None:
    """Returns None where nobody judged this very answer; by default nothing is a label."""
    if isinstance(event, Audited):
        return replace(blank, bad=1 - event.quality, probability=event.propensity)
    if isinstance(event, EvidenceBought):
        answer = served_answer(event)
        if answer is None or answer.quality is None:
            return None
        if event.source is EvidenceSource.AGREEMENT:
            # Right answers find a majority more often than wrong ones: too few would be bad.
            return None
        # Where evidence is bought no audit is made: either of them had labelled the answer.
        return replace(blank, bad=1 - answer.quality, probability=event.label_share)
    if isinstance(event, FeedbackGiven) and event.is_label:
        return replace(blank, bad=1 - event.quality, source=LabelSource.FEEDBACK)
    return None


def _examples(
    event: Event, record: DecisionRecord, plan: Plan, blank: GateExample, settings: RewardSettings
) -> Iterator[GateExample]:
    if isinstance(event, Decided):
        example = _of_call(record, plan, blank)
        if _teaches(example):
            yield example
    elif isinstance(event, Audited):
        yield replace(blank, first_ok=event.quality, weight=settings.audit_weight)
    elif isinstance(event, EvidenceBought):
        weight = settings.audit_weight * settings.evidence_weight
        yield from examples_of_evidence(event, plan, replace(blank, weight=weight))
    elif isinstance(event, FeedbackGiven):
        if not event.by_default:
            example = replace(blank, weight=event.weight)
            yield from _labelled(record, plan, example, event.quality)
        elif record.answered:
            example = replace(blank, weight=settings.implicit_weight)
            yield from _labelled(record, plan, example, event.quality)
    elif isinstance(event, Reasked):
        example = replace(blank, weight=settings.reask_weight)
        yield from _labelled(record, plan, example, 0.0)


def _teaches(example: GateExample) -> bool:
    known = (example.strong_cost_ratio, example.first_ok, example.seen.agreement)
    return any(value is not None for value in known)


def example_of_call(record: DecisionRecord, plan: Plan) -> GateExample | None:
    """Returns a verifier's label and the strong arm's cost ratio; None where no gate judged."""
    if record.choice is None or record.judged is None:
        return None
    return _of_call(record, plan, GateExample(_input_of(record.choice, record.judged)))


def _of_call(record: DecisionRecord, plan: Plan, blank: GateExample) -> GateExample:
    judged, strong = record.judged, _answered(record, _above(plan))
    if judged is None:
        return blank
    ratio = _cost_ratio(strong, judged) if strong else None
    return replace(blank, first_ok=judged.verified, strong_cost_ratio=ratio)


def _cost_ratio(strong: Attempt, judged: Judged) -> float | None:
    """Returns the cost over the price, without the input on either side where its price was known.

    Short requests are nearly all output: their ratio would be taken for that of a long input.
    """
    known_usd = judged.strong_input_usd
    guess_usd = (judged.strong_usd or 0.0) - known_usd
    paid_usd = strong.input_usd or known_usd if known_usd else 0.0
    return max(0.0, strong.cost_usd - paid_usd) / guess_usd if guess_usd > 0 else None


def _labelled(
    record: DecisionRecord, plan: Plan, blank: GateExample, quality: float
) -> Iterator[GateExample]:
    """Yields the served answer's quality, and that of the others as far as it follows."""
    first, second, strong = (
        _quality(record, arm, quality) for arm in (plan.rungs[0], plan.second, _above(plan))
    )
    if (first, second, strong) != (None, None, None):
        yield replace(blank, first_ok=first, second_ok=second, strong_ok=strong)


def _quality(record: DecisionRecord, arm: str, served: float) -> float | None:
    attempt = _answered(record, arm)
    return None if attempt is None else quality_by(attempt, served)


def _answered(record: DecisionRecord, arm: str) -> Attempt | None:
    """Returns the arm's attempt that came to an answer."""
    silent = (AttemptOutcome.FAILED, AttemptOutcome.CANCELLED)
    return next((a for a in record.attempts if a.arm == arm and a.outcome not in silent), None)


def _above(plan: Plan) -> str:
    return plan.rungs[1] if len(plan.rungs) > 1 else ""


def _input_of(choice: Choice, judged: Judged) -> GateInput:
    return GateInput(
        context=read_context(choice.context),
        signals=np.asarray(judged.signals),
        version=judged.version,
        agreement=judged.agreement,
        second=np.asarray(judged.second_signals) if judged.second_signals else None,
    )
