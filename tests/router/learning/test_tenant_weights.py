"""The cap on a tenant's weight, and outliers among tenants."""

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
from router.learning.learner_state import LearnerState
from router.learning.rewards import RewardSettings
from router.learning.tenants import (
    HALF_LIFE,
    LEAST_OTHER_SIGNS,
    MOST_REDUCED,
    MOST_TENANTS,
    FeedbackOutliers,
    TenantWeightCap,
)
from router.learning.training import BatchTrainer, Trainer
from router.ports.observer import Observer
from tests.router.learning.test_training import record

SHAPE = ContextShape(clusters=4, axes=2, features=3)
PLANS = {name: Plan(name, (name,), 0.001) for name in ("good", "fair")}
HONEST = {"good": 0.9, "fair": 0.6}
LIAR = "t0"


def test_a_single_tenant_is_not_capped() -> None:
    cap = TenantWeightCap(0.1)
    assert {cap.weigh("a") for _ in range(1_000)} == {1.0}


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_the_loudest_tenant_has_its_share_and_no_more(share: float) -> None:
    cap, rng = TenantWeightCap(share), np.random.default_rng(0)
    weights = {"loud": 0.0, "quiet": 0.0}
    for place in range(12_000):
        tenant = "loud" if rng.random() < 0.9 else "quiet"
        weight = cap.weigh(tenant)
        weights[tenant] += weight * (place >= 2_000)
    assert weights["loud"] / sum(weights.values()) == pytest.approx(share, abs=0.02)


def test_equal_tenants_are_not_capped() -> None:
    cap = TenantWeightCap(0.25)
    names = [f"t{n % 5}" for n in range(5_000)]
    assert min(cap.weigh(name) for name in names) > 0.99


def test_the_shares_of_a_session_count_as_one_sign() -> None:
    whole, shared = TenantWeightCap(0.1), TenantWeightCap(0.1)
    for turn in range(400):
        tenant = ("loud", "loud", "quiet")[turn % 3]
        one = whole.weigh(tenant)
        parts = [shared.weigh(tenant, 1 / 8) for _ in range(8)]
        assert parts[-1] == pytest.approx(one, rel=0.02)


def test_few_signs_of_others_cap_nobody() -> None:
    cap = TenantWeightCap(0.1)
    for _ in range(int(LEAST_OTHER_SIGNS) - 5):
        cap.weigh("other")
    assert cap.weigh("a") == 1.0


def test_a_loud_tenant_recovers_once_it_is_quiet() -> None:
    cap = TenantWeightCap(0.1)
    for _ in range(2_000):
        cap.weigh("loud")
    for _ in range(200):
        cap.weigh("other")
    bound = cap.weigh("loud")
    for _ in range(int(5 * HALF_LIFE)):
        cap.weigh("other")
    assert bound < 0.05
    assert cap.weigh("loud") == 1.0


def test_a_cap_continues_from_its_state() -> None:
    cap = TenantWeightCap(0.2)
    names = [f"t{n % 3 * (n % 2)}" for n in range(60_000)]
    for name in names:
        cap.weigh(name)
    twin = TenantWeightCap(0.2, cap.state())
    after = [[each.weigh(name) for name in names[:500]] for each in (cap, twin)]
    assert after[0] == after[1]


def test_tenants_beyond_the_limit_are_counted_together() -> None:
    cap = TenantWeightCap(0.2)
    for n in range(MOST_TENANTS + 50):
        cap.weigh(f"t{n}")
    assert len(cap.state()["sums"]) == MOST_TENANTS


@pytest.mark.parametrize("state", [{}, {"unit": 0.5, "total": 1.0, "sums": {}}])
def test_an_invalid_state_of_a_cap_is_refused(state: dict[str, float]) -> None:
    with pytest.raises((KeyError, ValueError)):
        TenantWeightCap(0.2, {"sums": {}, **state} if state else {"unit": 1.0})


def test_a_correction_weighs_as_much_as_the_first_feedback() -> None:
    cap = TenantWeightCap(0.1)
    for _ in range(500):
        cap.weigh("loud")
    for _ in range(200):
        cap.weigh("other")
    share = cap.weigh_feedback("loud", "d-1")
    assert share < 0.1
    assert cap.weigh_feedback("quiet", "d-2") == 1.0
    for _ in range(5_000):
        cap.weigh("other")
    again = TenantWeightCap(0.1, cap.state())
    assert (again.weight_of("d-1"), again.weight_of("d-2")) == (share, 1.0)
    for n in range(MOST_REDUCED):
        cap.weigh_feedback("loud", f"l-{n}")
    assert len(cap.state()["told"]) <= MOST_REDUCED


def told(rng: np.random.Generator, count: int) -> Iterator[tuple[DecisionRecord, float]]:
    """One of five tenants gives four fifths of the feedback and rates the good plan useless."""
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
    cap: TenantWeightCap | None, count: int, *, reported: bool = False
) -> tuple[float, list[str]]:
    """Returns the good plan's share of other tenants' requests, and the plans warned of.

    reported: the lies are failures that the caller of `Decide` reports.
    """
    settings = PolicySettings(units=Units(cost_usd=0.01), shape=SHAPE)
    policy = make_policy("adaptive", settings, "v1", np.random.default_rng(0))
    learned = LearnerState(policy, tenant_cap=cap)
    records: dict[str, DecisionRecord] = {}
    watching = Watching()

    async def find(names: Sequence[str]) -> list[DecisionRecord | None]:
        return [records.get(name) for name in names]

    trainer = BatchTrainer(find, Trainer(PLANS, RewardSettings(), watching))
    events: list[tuple[str, Event]] = []
    for made, quality in told(np.random.default_rng(1), count):
        if reported and made.tenant == LIAR and made.arm == "good":
            failed = replace(made.attempts[0], outcome=AttemptOutcome.FAILED)
            events.append(("0-1", Decided(replace(made, mode=Mode.DECIDE, attempts=(failed,)))))
            continue
        records[made.id] = made
        events += [("0-1", Decided(made)), ("0-1", FeedbackGiven(made.id, quality))]
    asyncio.run(trainer.train(learned, events))
    asked = Context(np.full(4, 0.25), np.zeros(2), np.zeros(3), "v1")
    weights = Weights(quality=1.0, cost=0.0, latency=0.0, failure=0.0)
    decision = policy.decide(asked, [Action(name, 0.001) for name in PLANS], weights)
    return decision.probabilities["good"], watching.off


@pytest.mark.slow
def test_a_hostile_tenant_does_not_move_the_others() -> None:
    """A fifth of the weight takes at most 0.9 / 5 off the good plan, which leads by 0.3."""
    bound, off = share_of_the_good(TenantWeightCap(0.2), 2_500)
    assert bound > 0.9
    assert off == ["good"]
    free, _ = share_of_the_good(None, 2_500)
    assert free < 0.1


def test_reported_failures_are_capped_like_feedback() -> None:
    assert share_of_the_good(TenantWeightCap(0.2), 2_500, reported=True)[0] > 0.9


def test_an_outlying_tenant_is_reported_once() -> None:
    outliers, rng = FeedbackOutliers(), np.random.default_rng(2)
    found = []
    for _ in range(300):
        for other in ("x", "y", "z"):
            outliers.add(other, "a", float(rng.random() < 0.8))
        found.append(outliers.add("odd", "a", float(rng.random() < 0.2)))
    gaps = [gap for gap in found if gap is not None]
    assert len(gaps) == 1
    assert gaps[0] == pytest.approx(-0.6, abs=0.25)


def test_tenants_that_differ_by_chance_are_not_reported() -> None:
    outliers, rng = FeedbackOutliers(), np.random.default_rng(3)
    names = [f"t{n % 20}" for n in range(20_000)]
    assert all(outliers.add(name, "a", float(rng.random() < 0.7)) is None for name in names)
