"""From events to what a policy has learned; the learner's work without its waiting."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from bandit.errors import BanditError
from bandit.gates import Gate
from bandit.risk import Promise
from bandit.types import Outcome, Policy
from router.domain.catalog import Plan
from router.domain.events import Decided, Event, decision_of
from router.domain.records import DecisionRecord
from router.domain.tenants import promise_for
from router.learning.gate_examples import Label, PlanLesson, labels_of, lessons_of
from router.learning.rewards import RewardSettings, outcomes_of
from router.ports.observer import Observer


@dataclass(frozen=True, slots=True)
class EventWeight:
    """What one event counts. share: of its full weight. sign: weight of the sign that it is."""

    share: float = 1.0
    sign: float | None = None


def joined(
    events: Sequence[Event],
    records: Mapping[str, DecisionRecord | None],
    plans: Mapping[str, Plan],
    settings: RewardSettings,
    heard: Sequence[EventWeight] | None = None,
) -> list[Outcome]:
    """Outcomes in the order of the events, each event joined with its decision.

    records: by decision id, for every event but `Decided`, which brings its own; None for a
    decision that is gone, of which nothing is learned. heard: what each event counts; None for
    all of it.
    """
    outcomes: list[Outcome] = []
    for event, one in _each(events, heard):
        record = record_of(event, records)
        if record is not None:
            found = outcomes_of(event, record, plans, _told_by(settings, one))
            outcomes += weighed(found, one.share)
    return outcomes


def lessons(
    events: Sequence[Event],
    records: Mapping[str, DecisionRecord | None],
    plans: Mapping[str, Plan],
    settings: RewardSettings,
    heard: Sequence[EventWeight] | None = None,
) -> list[PlanLesson]:
    """The same for the gates."""
    lessons: list[PlanLesson] = []
    for event, one in _each(events, heard):
        record = record_of(event, records)
        if record is not None:
            found = lessons_of(event, record, plans, _told_by(settings, one))
            lessons += [
                replace(told, lesson=replace(told.lesson, weight=told.lesson.weight * one.share))
                for told in found
            ]
    return lessons


def record_of(event: Event, records: Mapping[str, DecisionRecord | None]) -> DecisionRecord | None:
    """That an event tells of; None for one that is gone or tells of none."""
    if isinstance(event, Decided):
        return event.record
    told_of = decision_of(event)
    return None if told_of is None else records[told_of]


def weighed(outcomes: list[Outcome], share: float) -> list[Outcome]:
    if share == 1:
        return outcomes
    return [replace(one, weight=one.weight * share) for one in outcomes]


def _told_by(settings: RewardSettings, heard: EventWeight) -> RewardSettings:
    return settings if heard.sign is None else replace(settings, sign_weight=heard.sign)


def _each(
    events: Sequence[Event], heard: Sequence[EventWeight] | None
) -> Iterator[tuple[Event, EventWeight]]:
    return zip(events, heard or [EventWeight()] * len(events), strict=True)


def teach(policy: Policy, outcomes: Sequence[Outcome], observer: Observer) -> None:
    """One at a time: an outcome of another feature version must not stop the rest."""
    for outcome in outcomes:
        try:
            policy.learn([outcome])
        except BanditError:
            observer.degraded("outcome_refused")


def teach_gates(
    gates: Mapping[str, Gate], lessons: Sequence[PlanLesson], observer: Observer
) -> None:
    """The same for the gates; a plan without one learns nothing."""
    for taught in lessons:
        gate = gates.get(taught.plan)
        if gate is None:
            continue
        try:
            gate.learn([taught.lesson])
        except BanditError:
            observer.degraded("lesson_refused")


def labels(events: Sequence[Event], records: Mapping[str, DecisionRecord | None]) -> list[Label]:
    """The same for the promises."""
    found: list[Label] = []
    for event in events:
        record = record_of(event, records)
        if record is not None:
            found += labels_of(event, record)
    return found


def keep_promises(
    promises: Mapping[str, Promise], labels: Sequence[Label], observer: Observer
) -> None:
    """Labels before lessons: a promise is about scores given before their own label was learned."""
    for label in labels:
        promise = promise_for(promises, label.plan, label.tenant)
        if promise is None:
            continue
        try:
            promise.observe(label.score, label.bad, label.probability, source=label.source)
        except BanditError:
            observer.degraded("label_refused")
