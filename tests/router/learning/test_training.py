"""Events joined with their decisions, and training on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from bandit import Context, ContextShape, Outcome, PolicySettings, Units, make_policy
from router.domain.catalog import Plan
from router.domain.events import Decided, Event, FeedbackGiven
from router.domain.logged_context import log_context
from router.domain.records import (
    Attempt,
    AttemptOutcome,
    Choice,
    DecisionRecord,
    Mode,
    TurnFacts,
    WeightSet,
)
from router.learning.learner_state import LearnerState
from router.learning.rewards import RewardSettings
from router.learning.training import BatchTrainer, Trainer, join, train_policy
from router.ports.observer import Observer

PLANS = {"cheap": Plan("cheap", ("cheap",), 0.001)}
SHAPE = ContextShape(clusters=4, axes=2, features=3)
CONTEXT = Context(np.full(4, 0.25), np.zeros(2), np.zeros(3), "v1")
SERVED = Attempt("cheap", "d", "m", AttemptOutcome.ACCEPTED, "passed", 100.0, cost_usd=0.002)


class Counting(Observer):
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


TRAINER = Trainer(PLANS, RewardSettings(), Observer())


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


KNOWN = {"a": Plan("a", ("a",), 1.0)}


def decided(plan: str, created_ms: int) -> Event:
    made = record("x")
    assert made.choice is not None
    return Decided(replace(made, created_ms=created_ms, choice=replace(made.choice, plan=plan)))


async def no_records(_: object) -> list[None]:
    return []


@pytest.mark.parametrize(
    ("plan", "created_ms", "kept"),
    [("a", 2_000, 3), ("new", 2_000, 1), ("new", 500, 3), ("gone", 2_000, 3)],
)
def test_a_young_decision_on_an_unknown_plan_ends_the_known_prefix(
    plan: str, created_ms: int, kept: int
) -> None:
    trainer = BatchTrainer(
        no_records, Trainer(KNOWN, RewardSettings(), Observer()), ignored={"gone"}
    )
    events = [decided("a", 2_000), decided(plan, created_ms), FeedbackGiven("x", 1.0)]
    batch = [(f"0-{index}", event) for index, event in enumerate(events)]
    assert len(trainer.known_prefix(batch, 1_000)) == kept


async def test_rates_are_learned_of_every_decision_also_where_nothing_was_chosen() -> None:
    """Policies, promises and gates learn nothing of a turn that was locked to a deployment."""
    call = replace(SERVED, input_tokens=500)
    turn = TurnFacts(application="a", number=2, input_bytes=1_000)
    locked = replace(record("x"), choice=None, attempts=(call,), turn=turn, locked=True)
    policy = make_policy("adaptive", PolicySettings(shape=SHAPE), "v1", np.random.default_rng(0))
    learned = LearnerState(policy)
    trainer = BatchTrainer(no_records, TRAINER)
    await trainer.train(learned, [("0-1", Decided(locked))])
    assert policy.learned == 0
    assert learned.rates.deployments["d"][:2] == [500, 1_000]
    assert list(learned.rates.applications) == ["a"]
    at_once = LearnerState(policy)
    await trainer.train(at_once, [("0-1", Decided(locked)), ("0-2", Decided(locked))])
    await trainer.train(learned, [("0-2", Decided(locked))])
    assert learned.save() == at_once.save()


class Rated(Observer):
    def __init__(self) -> None:
        self.seen: list[tuple[str, float, float | None, float]] = []

    def rated(self, plan: str, quality: float, reward: float | None, at_s: float) -> None:
        self.seen.append((plan, quality, reward, at_s))


async def test_feedback_is_told_with_the_reward_of_its_decision() -> None:
    """The weights are the decision's: 1 of quality, 0.1 of a unit of cost."""
    observer, one = Rated(), record("one")
    units = Units(0.001, 1_000.0)
    trainer = Trainer(PLANS, RewardSettings(), observer, units)
    gone = replace(one, choice=replace(one.choice, plan="gone") if one.choice else None)
    events = [
        FeedbackGiven("one", 0.75, at_ms=2_000),
        FeedbackGiven("one", 0.5, by_default=True),
        FeedbackGiven("two", 0.5),
        FeedbackGiven("three", 0.5),
    ]
    cancelled = replace(SERVED, outcome=AttemptOutcome.CANCELLED)
    records = {"one": one, "two": gone, "three": replace(one, attempts=(cancelled,))}

    async def find(ids: Sequence[str]) -> Sequence[DecisionRecord | None]:
        return [records[name] for name in ids]

    policy = make_policy("adaptive", PolicySettings(shape=SHAPE), "v1", np.random.default_rng(0))
    batch = [(f"0-{number}", event) for number, event in enumerate(events)]
    await BatchTrainer(find, trainer).train(LearnerState(policy), batch)
    assert observer.seen == [
        ("cheap", 0.75, pytest.approx(0.75 - 0.1 * 2.0), 2.0),
        ("cheap", 0.5, None, 0.0),
    ], "nothing of silence, nor of a plan that is gone"
