"""Joining events with their decisions, and teaching one outcome at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bandit import Context, ContextShape, Outcome, PolicySettings, make_policy
from router.domain.catalog import Plan
from router.domain.events import Decided, FeedbackGiven
from router.domain.logged_context import log_context
from router.domain.records import Attempt, AttemptOutcome, Choice, DecisionRecord, Mode, WeightSet
from router.learning.rewards import RewardSettings
from router.learning.training import Trainer, join, train_policy
from router.ports.observer import NullObserver

PLANS = {"cheap": Plan("cheap", ("cheap",), 0.001)}
SHAPE = ContextShape(clusters=4, axes=2, features=3)
CONTEXT = Context(np.full(4, 0.25), np.zeros(2), np.zeros(3), "v1")
SERVED = Attempt("cheap", "d", "m", AttemptOutcome.ACCEPTED, "passed", 100.0, cost_usd=0.002)


class Counting(NullObserver):
    def __init__(self) -> None:
        self.seen: list[str] = []

    def degraded(self, what: str) -> None:
        self.seen.append(what)


def record(name: str, context: Context = CONTEXT) -> DecisionRecord:
    choice = Choice(
        plan="cheap",
        propensity=0.5,
        explored=False,
        probabilities=(("cheap", 1.0),),
        policy="adaptive",
        policy_version=1,
        weights=WeightSet(1, 0.1, 0, 0.5),
        context=log_context(context),
    )
    return DecisionRecord(
        name, "t", 0, Mode.COMPLETE, choice=choice, attempts=(SERVED,), arm="cheap"
    )


TRAINER = Trainer(PLANS, RewardSettings(), NullObserver())


def outcomes(*records: DecisionRecord) -> Sequence[Outcome]:
    return TRAINER.outcomes(join([Decided(r) for r in records], {}))


def test_join_keeps_the_order_and_finds_decisions() -> None:
    one, two = record("one"), record("two")
    events = [Decided(one), FeedbackGiven("two", 0.2), FeedbackGiven("one", 0.9), Decided(two)]
    found = TRAINER.outcomes(join(events, {"one": one, "two": two}))
    assert [o.quality for o in found] == [None, 0.2, 0.9, None]
    assert [o.cost_usd for o in found] == [0.002, None, None, 0.002]


def test_join_drops_feedback_on_a_missing_decision() -> None:
    assert join([FeedbackGiven("one", 0.2)], {"one": None}) == []


def test_train_policy_skips_an_outcome_of_another_feature_version() -> None:
    policy = make_policy("adaptive", PolicySettings(shape=SHAPE), "v1", np.random.default_rng(0))
    foreign = replace(CONTEXT, version="v0")
    observer = Counting()
    train_policy(policy, outcomes(record("a"), record("b", foreign), record("c")), observer)
    assert policy.learned == 2
    assert observer.seen == ["outcome_refused"]
