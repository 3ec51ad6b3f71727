"""One pass over the log for both candidates, and the estimates at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandit.offpolicy import Estimated, LoggedDecisions, cross_fitted, doubly_robust
from bandit.types import Units, Vector
from router.domain.catalog import Plan
from router.domain.errors import RouterError
from router.domain.events import Decided, Event, decision_of
from router.domain.records import DecisionRecord
from router.learning.training import join
from router.tools.evaluate.candidates import Candidate
from router.tools.evaluate.cases import (
    Forecast,
    LoggedCase,
    case_of,
    feedback_in,
    forecast_of,
    with_estimated_propensities,
)

try:
    from estimators.bandits import cressieread, ips, snips
except ImportError:
    cressieread = ips = snips = None

Array = NDArray[np.float64]


class NothingToEvaluate(RouterError):
    """No logged decision has what an estimate needs."""

    reason = "NOTHING_TO_EVALUATE"


@dataclass(frozen=True, slots=True)
class EvaluationSettings:
    """since_ms: decisions before it are learned from but not counted."""

    plans: Mapping[str, Plan]
    units: Units
    since_ms: int = 0

    def counts(self, event: Decided) -> bool:
        return event.record.created_ms >= self.since_ms and event.record.choice is not None


@dataclass(frozen=True, slots=True)
class Comparison:
    """decisions: settled ones in the log since then. counted: those with feedback and known plans.

    value, against: of each candidate. gain: the first less the second. forecast: for decisions at
    which the policy only watched, None for none. watched: their share of the counted ones.
    """

    decisions: int
    counted: int
    logged: LoggedDecisions
    wanted: Array
    value: Estimated
    against: Estimated
    gain: Estimated
    forecast: Forecast | None = None
    watched: float = 0.0


@dataclass(slots=True)
class _CountedCases:
    """shares: of both candidates, by case."""

    cases: list[LoggedCase] = field(default_factory=list)
    shares: list[tuple[Vector, Vector]] = field(default_factory=list)
    decisions: int = 0


def compare(
    events: Sequence[Event], candidate: Candidate, against: Candidate, settings: EvaluationSettings
) -> Comparison:
    """Estimate the value of both candidates on the log, and the gain of the first.

    Raises NothingToEvaluate, BadInput.
    """
    counted = _counted(events, candidate, against, settings)
    cases = counted.cases
    if not cases:
        raise NothingToEvaluate("no decision in the log has feedback and plans that still exist")
    names = sorted({action.name for case in cases for action in case.eligible})
    logged = LoggedDecisions(
        np.array([names.index(case.taken) for case in cases]),
        _spread(names, cases, [np.array(case.probabilities) for case in cases]),
        np.array([case.reward for case in cases]),
    )
    wanted = _spread(names, cases, [first for first, _ in counted.shares])
    other = _spread(names, cases, [second for _, second in counted.shares])
    expected = cross_fitted(logged, np.array([_features(case) for case in cases]))
    return Comparison(
        decisions=counted.decisions,
        counted=len(cases),
        logged=logged,
        wanted=wanted,
        value=doubly_robust(logged, wanted, expected),
        against=doubly_robust(logged, other, expected),
        gain=doubly_robust(logged, wanted, expected, against=other),
        forecast=forecast_of(events, settings.since_ms),
        watched=sum(case.watched for case in cases) / len(cases),
    )


def _counted(
    events: Sequence[Event], candidate: Candidate, against: Candidate, settings: EvaluationSettings
) -> _CountedCases:
    records, cases, counted = _records(events), _cases(events, settings), _CountedCases()
    for event in events:
        if isinstance(event, Decided) and event.record.settled and settings.counts(event):
            counted.decisions += 1
            case = cases.get(event.record.id)
            if case is not None:
                counted.cases.append(case)
                counted.shares.append((candidate.shares(case), against.shares(case)))
        for joined in join([event], records):
            candidate.learn(joined)
            against.learn(joined)
    return counted


def _cases(events: Sequence[Event], settings: EvaluationSettings) -> dict[str, LoggedCase]:
    feedback = feedback_in(events)
    decided = [e for e in events if isinstance(e, Decided) and settings.counts(e)]
    pairs = [(e.record.id, case_of(e, feedback, settings.plans, settings.units)) for e in decided]
    known = {decision_id: case for decision_id, case in pairs if case is not None}
    return dict(zip(known, with_estimated_propensities(list(known.values())), strict=True))


def _records(events: Sequence[Event]) -> dict[str, DecisionRecord | None]:
    """Returns the newest by id; None for a decision that the log mentions but does not hold."""
    known = {e.record.id: e.record for e in events if isinstance(e, Decided)}
    named = {name for e in events if (name := decision_of(e)) is not None}
    return {**dict.fromkeys(named), **known}


def _spread(names: Sequence[str], cases: Sequence[LoggedCase], shares: Sequence[Vector]) -> Array:
    """Returns (n, k) with a column per name, 0 where it was not eligible."""
    spread = np.zeros((len(cases), len(names)))
    for row, (case, given) in enumerate(zip(cases, shares, strict=True)):
        spread[row, [names.index(action.name) for action in case.eligible]] = given
    return spread


def _features(case: LoggedCase) -> Vector:
    return np.concatenate([case.context.membership, case.context.features])


@dataclass(frozen=True, slots=True)
class WeightedValues:
    """Values by importance weights alone. low, high: Cressie-Read's 95 % interval, at this n.

    Karampatziakis, Langford and Mineiro, "Empirical likelihood for contextual bandits" (2020).
    """

    ips: float
    snips: float
    low: float
    high: float


def weighted(logged: LoggedDecisions, wanted: Array) -> WeightedValues:
    """Estimate with the Vowpal Wabbit project's own estimators.

    wanted: (n, k) shares of the candidate. Raises NothingToEvaluate without the library.
    """
    if ips is None:
        raise NothingToEvaluate("install what evaluates: pip install 'adaptive-router[evaluate]'")
    made: list[Any] = [ips.Estimator(), snips.Estimator()]
    interval = cressieread.Interval(empirical_r_bounds=True)
    rows = np.arange(len(logged))
    facts = zip(logged.propensity, logged.reward, wanted[rows, logged.taken], strict=True)
    for p_log, reward, p_wanted in facts:
        for estimator in (*made, interval):
            estimator.add_example(float(p_log), float(reward), float(p_wanted))
    low, high = interval.get(0.05)
    plain, normalised = (estimator.get() for estimator in made)
    return WeightedValues(plain, 0.0 if normalised is None else normalised, low, high)
