"""One pass over the log for both candidates, and the estimates at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bandit.offpolicy import Estimated, LoggedDecisions, cross_fitted, doubly_robust
from bandit.types import Units, Vector
from router.domain.catalog import Plan
from router.domain.events import Decided, Event, decision_of
from router.domain.records import DecisionRecord
from router.learning.rewards import RewardSettings
from router.learning.training import joined
from router.tools.evaluate.candidates import Candidate
from router.tools.evaluate.cases import Case, case_of, feedback_in
from router.tools.evaluate.errors import NothingToEvaluate
from router.tools.evaluate.watching import Foreseen, as_chosen, foreseen

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Terms:
    """since_ms: decisions before it are learned from but not counted."""

    plans: Mapping[str, Plan]
    units: Units
    rewards: RewardSettings
    since_ms: int = 0


@dataclass(frozen=True, slots=True)
class Compared:
    """decisions: settled ones in the log since then. counted: those with feedback and known plans.

    value, against: of each candidate. gain: the first less the second. foreseen: of decisions that
    the policy only watched, with feedback or without; None for none. watched: share of the counted
    ones at which it did, whatever it foresaw.
    """

    decisions: int
    counted: int
    logged: LoggedDecisions
    wanted: Array
    value: Estimated
    against: Estimated
    gain: Estimated
    foreseen: Foreseen | None = None
    watched: float = 0.0


@dataclass(slots=True)
class _Pass:
    """What a pass over the log gathers."""

    cases: list[Case] = field(default_factory=list)
    shares: list[tuple[Vector, Vector]] = field(default_factory=list)
    decisions: int = 0


def compare(
    events: Sequence[Event], candidate: Candidate, against: Candidate, terms: Terms
) -> Compared:
    """events: the log, in order. Raises NothingToEvaluate, BadInput."""
    gone = _walked(events, candidate, against, terms)
    if not gone.cases:
        raise NothingToEvaluate("no decision in the log has feedback and plans that still exist")
    names = sorted({action.name for case in gone.cases for action in case.eligible})
    logged = LoggedDecisions(
        np.array([names.index(case.taken) for case in gone.cases]),
        _spread(names, gone.cases, [np.array(case.probabilities) for case in gone.cases]),
        np.array([case.reward for case in gone.cases]),
    )
    wanted = _spread(names, gone.cases, [first for first, _ in gone.shares])
    other = _spread(names, gone.cases, [second for _, second in gone.shares])
    expected = cross_fitted(logged, np.array([_numbers(case) for case in gone.cases]))
    return Compared(
        decisions=gone.decisions,
        counted=len(gone.cases),
        logged=logged,
        wanted=wanted,
        value=doubly_robust(logged, wanted, expected),
        against=doubly_robust(logged, other, expected),
        gain=doubly_robust(logged, wanted, expected, against=other),
        foreseen=foreseen(events, terms.since_ms),
        watched=sum(case.watched for case in gone.cases) / len(gone.cases),
    )


def _walked(
    events: Sequence[Event], candidate: Candidate, against: Candidate, terms: Terms
) -> _Pass:
    records, cases, gone = _records(events), _cases(events, terms), _Pass()
    for event in events:
        if isinstance(event, Decided) and event.record.settled and _counts(event, terms):
            gone.decisions += 1
            case = cases.get(event.record.id)
            if case is not None:
                gone.cases.append(case)
                gone.shares.append((candidate.shares(case), against.shares(case)))
        outcomes = joined([event], records, terms.plans, terms.rewards)
        candidate.learn(outcomes)
        against.learn(outcomes)
    return gone


def _cases(events: Sequence[Event], terms: Terms) -> dict[str, Case]:
    feedback = feedback_in(events)
    decided = [e for e in events if isinstance(e, Decided) and _counts(e, terms)]
    pairs = [(e.record.id, case_of(e, feedback, terms.plans, terms.units)) for e in decided]
    known = {decision_id: case for decision_id, case in pairs if case is not None}
    return dict(zip(known, as_chosen(list(known.values())), strict=True))


def _counts(event: Decided, terms: Terms) -> bool:
    return event.record.created_ms >= terms.since_ms and event.record.choice is not None


def _records(events: Sequence[Event]) -> dict[str, DecisionRecord | None]:
    """By id, the newest; None for a decision that the log tells of but does not hold."""
    known = {e.record.id: e.record for e in events if isinstance(e, Decided)}
    named = {name for e in events if (name := decision_of(e)) is not None}
    return {**dict.fromkeys(named), **known}


def _spread(names: Sequence[str], cases: Sequence[Case], shares: Sequence[Vector]) -> Array:
    """(n, k) with a column per name, 0 where it was not eligible."""
    spread = np.zeros((len(cases), len(names)))
    for row, (case, given) in enumerate(zip(cases, shares, strict=True)):
        spread[row, [names.index(action.name) for action in case.eligible]] = given
    return spread


def _numbers(case: Case) -> Vector:
    return np.concatenate([case.context.membership, case.context.features])
