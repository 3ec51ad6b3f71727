"""Logs of a random policy with known rewards."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bandit.types import Units
from router.domain.catalog import Plan
from router.domain.events import Decided, Event, FeedbackGiven
from router.domain.records import (
    Attempt,
    AttemptOutcome,
    Choice,
    DecisionRecord,
    LoggedContext,
    Mode,
    Observation,
    WeightSet,
)

PLANS = {name: Plan(name, (name,), cost) for name, cost in (("cheap", 0.001), ("good", 0.01))}
UNITS = Units(cost_usd=0.01)
COST = {"cheap": 0.001, "good": 0.01}
WEIGHTS = WeightSet(1.0, 0.1, 0.0, 0.5)
CLUSTERS, AXES, FEATURES = 4, 2, 3


@dataclass(frozen=True, slots=True)
class World:
    """events in order. quality: (n, 2) true mean of cheap and good per decision."""

    events: list[Event]
    quality: NDArray[np.float64]

    def worth(self, plan: str) -> float:
        column = list(PLANS).index(plan)
        return float(self.quality[:, column].mean()) - 0.1 * COST[plan] / UNITS.cost_usd


def world(seed: int, n: int = 400, cheap: float = 0.5) -> World:
    """cheap: probability with which the cheap plan was taken. Hard prompts need the good one."""
    rng = np.random.default_rng(seed)
    hard = rng.random(n) < 0.5
    quality = np.column_stack([np.where(hard, 0.2, 0.9), np.full(n, 0.85)])
    events: list[Event] = []
    for step in range(n):
        plan = "cheap" if rng.random() < cheap else "good"
        events.append(Decided(_record(step, plan, cheap, hard=bool(hard[step]))))
        told = float(rng.random() < quality[step, list(PLANS).index(plan)])
        events.append(FeedbackGiven(f"d-{step}", told, step))
    return World(events, quality)


def watched(made: World) -> World:
    """Return the world under a caller who sends hard prompts to the cheap plan half as often.

    The policy only watched: it would have sent hard prompts to the good plan, others to the cheap.
    """
    kept = [n for n in range(len(made.quality)) if n % 2 or not _cheap_and_hard(made, n)]
    events = [event for n in kept for event in (_seen(made, n), made.events[2 * n + 1])]
    return World(events, made.quality[kept])


def _cheap_and_hard(made: World, n: int) -> bool:
    choice = _choice(made, n)
    return choice.plan == "cheap" and choice.context.membership[0] == 1.0


def _choice(made: World, n: int) -> Choice:
    event = made.events[2 * n]
    assert isinstance(event, Decided)
    assert event.record.choice is not None
    return event.record.choice


def _seen(made: World, n: int) -> Decided:
    event, choice = made.events[2 * n], _choice(made, n)
    assert isinstance(event, Decided)
    best = "good" if choice.context.membership[0] == 1.0 else "cheap"
    seen = replace(
        choice,
        probabilities=tuple((plan, float(plan == choice.plan)) for plan in PLANS),
        propensity=1.0,
        expected=(("cheap", 0.5, 0.001, 0.4), ("good", 0.8, 0.01, 0.7)),
        observed=Observation(best, tuple((plan, float(plan == best)) for plan in PLANS)),
    )
    return Decided(replace(event.record, choice=seen))


def _record(step: int, plan: str, cheap: float, *, hard: bool) -> DecisionRecord:
    share = {"cheap": cheap, "good": 1 - cheap}
    choice = Choice(
        plan=plan,
        propensity=share[plan],
        explored=False,
        probabilities=tuple(share.items()),
        policy="adaptive",
        policy_version=1,
        weights=WEIGHTS,
        context=LoggedContext(
            membership=(1.0, 0.0, 0.0, 0.0) if hard else (0.0, 1.0, 0.0, 0.0),
            projection=(0.0, 0.0),
            features=(0.5 if hard else -0.5, 0.0, 0.0),
            version="v1",
        ),
    )
    attempt = Attempt(plan, plan, plan, AttemptOutcome.ACCEPTED, "passed", 100.0)
    return DecisionRecord(
        id=f"d-{step}",
        tenant="acme",
        created_ms=step,
        mode=Mode.COMPLETE,
        choice=choice,
        attempts=(replace(attempt, cost_usd=COST[plan]),),
        arm=plan,
        deployment=plan,
        model=plan,
    )
