"""From events to what a policy has learned; the learner's work without its waiting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bandit.errors import BanditError
from bandit.types import Outcome, Policy
from router.core.arms import Plan
from router.core.observer import Observer
from router.core.records import Decided, DecisionRecord, Event
from router.core.reward import RewardSettings, outcomes_of


def joined(
    events: Sequence[Event],
    records: Mapping[str, DecisionRecord | None],
    plans: Mapping[str, Plan],
    settings: RewardSettings,
) -> list[Outcome]:
    """Outcomes in the order of the events, each event joined with its decision.

    records: by decision id, for every event but `Decided`, which brings its own; None for a
    decision that is gone, of which nothing is learned.
    """
    outcomes: list[Outcome] = []
    for event in events:
        record = event.record if isinstance(event, Decided) else records[event.decision_id]
        if record is not None:
            outcomes += outcomes_of(event, record, plans, settings)
    return outcomes


def teach(policy: Policy, outcomes: Sequence[Outcome], observer: Observer) -> None:
    """One at a time: an outcome of another feature version must not stop the rest."""
    for outcome in outcomes:
        try:
            policy.learn([outcome])
        except BanditError:
            observer.degraded("outcome_refused")
