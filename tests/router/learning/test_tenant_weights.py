"""One tenant among others: what its feedback counts, and who notices that it is off."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest

from bandit import Action, Context, ContextShape, PolicySettings, Units, Weights, make_policy
from router.domain.catalog import Plan
from router.domain.events import Decided, Event, FeedbackGiven
from router.domain.records import AttemptOutcome, DecisionRecord, Mode
from router.learning.batches import BatchTrainer
from router.learning.learner_state import LearnerState
from router.learning.outliers import FeedbackOutliers
from router.learning.rewards import RewardSettings
from router.learning.tenant_weights import (
    HALF_LIFE,
    LEAST_OTHERS,
    MOST_TENANTS,
    MOST_TOLD,
    TenantWeightCap,
)
from router.ports.observer import Observer
from tests.router.learning.test_training import record

SHAPE = ContextShape(clusters=4, axes=2, features=3)
PLANS = {name: Plan(name, (name,), 0.001) for name in ("good", "fair")}
HONEST = {"good": 0.9, "fair": 0.6}
LIAR = "t0"


def test_a_tenant_alone_decides_everything() -> None:
    influence = TenantWeightCap(0.1)
    assert {influence.weigh("a") for _ in range(1_000)} == {1.0}


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_the_loudest_has_its_share_and_no_more(share: float) -> None:
    influence, rng = TenantWeightCap(share), np.random.default_rng(0)
    weights = {"loud": 0.0, "quiet": 0.0}
    for place in range(12_000):
        tenant = "loud" if rng.random() < 0.9 else "quiet"
        weight = influence.weigh(tenant)
        weights[tenant] += weight * (place >= 2_000)
    assert weights["loud"] / sum(weights.values()) == pytest.approx(share, abs=0.02)


def test_equals_are_not_bound() -> None:
    influence = TenantWeightCap(0.25)
    names = [f"t{n % 5}" for n in range(5_000)]
    assert min(influence.weigh(name) for name in names) > 0.99


def test_a_handful_of_others_binds_nobody() -> None:
    influence = TenantWeightCap(0.1)
    for _ in range(int(LEAST_OTHERS) - 5):
        influence.weigh("other")
    assert influence.weigh("a") == 1.0


def test_who_was_loud_is_heard_again() -> None:
    influence = TenantWeightCap(0.1)
    for _ in range(2_000):
        influence.weigh("loud")
    for _ in range(200):
        influence.weigh("other")
    bound = influence.weigh("loud")
    for _ in range(int(5 * HALF_LIFE)):
        influence.weigh("other")
    assert bound < 0.05
    assert influence.weigh("loud") == 1.0


def test_it_goes_on_from_its_state() -> None:
    influence = TenantWeightCap(0.2)
    names = [f"t{n % 3 * (n % 2)}" for n in range(60_000)]
    for name in names:
        influence.weigh(name)
    twin = TenantWeightCap(0.2, influence.state())
    after = [[each.weigh(name) for name in names[:500]] for each in (influence, twin)]
    assert after[0] == after[1]


def test_tenants_beyond_the_most_are_counted_together() -> None:
    influence = TenantWeightCap(0.2)
    for n in range(MOST_TENANTS + 50):
        influence.weigh(f"t{n}")
    assert len(influence.state()["sums"]) == MOST_TENANTS


@pytest.mark.parametrize("state", [{}, {"unit": 0.5, "total": 1.0, "sums": {}}])
def test_a_state_that_makes_no_sense_is_refused(state: dict[str, float]) -> None:
    with pytest.raises((KeyError, ValueError)):
        TenantWeightCap(0.2, {"sums": {}, **state} if state else {"unit": 1.0})


def test_what_is_taken_back_weighs_what_it_did() -> None:
    influence = TenantWeightCap(0.1)
    for _ in range(500):
        influence.weigh("loud")
    for _ in range(200):
        influence.weigh("other")
    share = influence.weigh_feedback("loud", "d-1")
    assert share < 0.1
    assert influence.weigh_feedback("quiet", "d-2") == 1.0
    for _ in range(5_000):
        influence.weigh("other")
    again = TenantWeightCap(0.1, influence.state())
    assert (again.weighed("d-1"), again.weighed("d-2")) == (share, 1.0)
    for n in range(MOST_TOLD):
        influence.weigh_feedback("loud", f"l-{n}")
    assert len(influence.state()["told"]) <= MOST_TOLD


def told(rng: np.random.Generator, count: int) -> Iterator[tuple[DecisionRecord, float]]:
    """Of five tenants one says four things in five, and holds the good plan for useless."""
    for n in range(count):
        tenant = LIAR if n % 5 else f"t{1 + n // 5 % 4}"
        plan = ("good", "fair")[int(rng.integers(2))]
        context = Context(rng.dirichlet(np.ones(4)), rng.normal(size=2), rng.normal(size=3), "v1")
        made = record(str(n), context)
        assert made.choice is not None
        choice = replace(made.choice, plan=plan, probabilities=((plan, 0.5),))
        arm = replace(made.attempts[0], arm=plan)
        made = replace(made, tenant=tenant, choice=choice, arm=plan, attempts=(arm,))
        lie = tenant == LIAR and plan == "good"
        yield made, 0.0 if lie else float(rng.random() < HONEST[plan])


class Watching(Observer):
    def __init__(self) -> None:
        self.off: list[str] = []

    def deviates(self, plan: str) -> None:
        self.off.append(plan)


def share_of_the_good(
    influence: TenantWeightCap | None, count: int, *, reported: bool = False
) -> tuple[float, list[str]]:
    """What other tenants' requests get of the good plan, and of which plans a warning was given.

    reported: the lies are failures that the caller of `Decide` reports.
    """
    settings = PolicySettings(units=Units(cost_usd=0.01), shape=SHAPE)
    policy = make_policy("adaptive", settings, "v1", np.random.default_rng(0))
    learned = LearnerState(policy, influence=influence)
    records: dict[str, DecisionRecord] = {}
    watching = Watching()

    async def find(names: Sequence[str]) -> list[DecisionRecord | None]:
        return [records.get(name) for name in names]

    lecture = BatchTrainer(find, PLANS, RewardSettings(), watching)
    events: list[tuple[str, Event]] = []
    for made, quality in told(np.random.default_rng(1), count):
        if reported and made.tenant == LIAR and made.arm == "good":
            failed = replace(made.attempts[0], outcome=AttemptOutcome.FAILED)
            events.append(("0-1", Decided(replace(made, mode=Mode.DECIDE, attempts=(failed,)))))
            continue
        records[made.id] = made
        events += [("0-1", Decided(made)), ("0-1", FeedbackGiven(made.id, quality))]
    asyncio.run(lecture.give(learned, events))
    asked = Context(np.full(4, 0.25), np.zeros(2), np.zeros(3), "v1")
    weights = Weights(quality=1.0, cost=0.0, latency=0.0, failure=0.0)
    decision = policy.decide(asked, [Action(name, 0.001) for name in PLANS], weights)
    return decision.probabilities["good"], watching.off


@pytest.mark.slow
def test_a_hostile_tenant_does_not_move_the_others() -> None:
    """With a fifth of the weight it takes at most 0.9 / 5 off the good plan, which leads by 0.3."""
    bound, off = share_of_the_good(TenantWeightCap(0.2), 2_500)
    assert bound > 0.9
    assert off == ["good"]
    free, _ = share_of_the_good(None, 2_500)
    assert free < 0.1


def test_failures_it_reports_are_bound_as_what_it_says() -> None:
    assert share_of_the_good(TenantWeightCap(0.2), 2_500, reported=True)[0] > 0.9


def test_a_tenant_that_is_off_is_told_of_once() -> None:
    heard, rng = FeedbackOutliers(), np.random.default_rng(2)
    found = []
    for _ in range(300):
        for other in ("x", "y", "z"):
            heard.hear(other, "a", float(rng.random() < 0.8))
        found.append(heard.hear("odd", "a", float(rng.random() < 0.2)))
    gaps = [gap for gap in found if gap is not None]
    assert len(gaps) == 1
    assert gaps[0] == pytest.approx(-0.6, abs=0.25)


def test_tenants_that_differ_by_chance_are_left_alone() -> None:
    heard, rng = FeedbackOutliers(), np.random.default_rng(3)
    names = [f"t{n % 20}" for n in range(20_000)]
    assert all(heard.hear(name, "a", float(rng.random() < 0.7)) is None for name in names)
