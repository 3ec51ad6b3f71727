from __future__ import annotations

import numpy as np
import pytest

from bandit import Action, ContextMap, Estimate, PolicySettings, Weights, make_policy
from router.domain.catalog import Plan
from router.domain.chat import ChatRequest, Message, Role, TextPart
from router.domain.logged_context import action_of, read_context
from router.domain.requests import WeightOverrides
from router.serving.decider import Bounds, Decider, merge, with_shadow
from router.serving.request_prices import ArmPrice, PriceList

CHEAP, DEAR = Action("cheap", 0.001), Action("dear", 0.02)
ESTIMATES = {
    "cheap": Estimate(0.7, 0.001, 3_000, 0.0, 0.69),
    "dear": Estimate(0.9, 0.02, 1_000, 0.0, 0.8),
}
PLANS = (Plan("cheap", ("cheap",), 0.001), Plan("dear", ("dear",), 0.02))
ASK = ChatRequest((Message(Role.USER, (TextPart("Why is the sky blue?"),)),))


@pytest.mark.parametrize(
    ("bounds", "kept"),
    [
        (Bounds(), [CHEAP, DEAR]),
        (Bounds(cost_usd=0.01), [CHEAP]),
        (Bounds(cost_usd=0.0001), []),
        (Bounds(latency_ms=2_000), [DEAR]),
        (Bounds(latency_ms=10), [DEAR]),
        (Bounds(cost_usd=0.01, latency_ms=10), [CHEAP]),
    ],
)
def test_bounds_drop_costly_plans_and_prefer_quick_ones(bounds: Bounds, kept: list[Action]) -> None:
    assert bounds.keep([CHEAP, DEAR], ESTIMATES) == kept


def test_merge_overrides_weights_one_by_one() -> None:
    merged = merge(Weights(1.0, 0.1, 0.2, 0.3), WeightOverrides(cost=0.0, failure=2.0))
    assert merged == Weights(1.0, 0.0, 0.2, 2.0)


@pytest.fixture
def decider() -> Decider:
    context_map = ContextMap.default()
    settings = PolicySettings(cold_start="cheap")
    rng = np.random.default_rng(0)
    policy = make_policy("adaptive", settings, context_map.version, rng)
    return Decider(context_map, policy, Weights())


def test_choice_logs_every_plan_and_the_context(decider: Decider) -> None:
    embedding = np.full(384, 384**-0.5, dtype=np.float32)
    context = decider.context(ASK, embedding)
    choice = decider.choose(context, PLANS, WeightOverrides(), Bounds())
    assert choice is not None
    probabilities = dict(choice.probabilities)
    assert set(probabilities) == {"cheap", "dear"}
    assert sum(probabilities.values()) == pytest.approx(1.0)
    assert choice.propensity == probabilities[choice.plan]
    again = read_context(choice.context)
    assert np.array_equal(again.membership, context.membership.astype(np.float16))
    assert np.array_equal(again.projection, context.projection.astype(np.float16))
    assert again.version == context.version


def test_choose_takes_a_spare_plan_when_no_other_keeps_the_bounds(decider: Decider) -> None:
    context = decider.context(ASK, np.full(384, 384**-0.5, dtype=np.float32))
    spare = Plan("cheap", ("cheap",), 0.001, spare=True)
    checked = Plan("checked", ("cheap", "dear"), 0.02, "learned")
    free = decider.choose(context, (spare, checked), WeightOverrides(), Bounds())
    assert free is not None
    assert free.probabilities == (("checked", 1.0),)
    bound = decider.choose(context, (spare, checked), WeightOverrides(), Bounds(cost_usd=0.01))
    assert bound is not None
    assert bound.probabilities == (("cheap", 1.0),)
    ladder = Plan("checked", ("cheap", "dear"), 0.02)
    beside = decider.choose(context, (spare, ladder), WeightOverrides(), Bounds())
    assert beside is not None
    assert dict(beside.probabilities).keys() == {"cheap", "checked"}


def test_choose_logs_the_propensity_among_what_bounds_leave(decider: Decider) -> None:
    context = decider.context(ASK, np.full(384, 384**-0.5, dtype=np.float32))
    choice = decider.choose(context, PLANS, WeightOverrides(), Bounds(cost_usd=0.01))
    assert choice is not None
    assert (choice.plan, choice.propensity) == ("cheap", 1.0)
    assert decider.choose(context, PLANS, WeightOverrides(), Bounds(cost_usd=1e-9)) is None


PRICED = PriceList(
    {"cheap": ArmPrice(0.01, 0.002, 0.001), "dear": ArmPrice(0.002, 0.001, 0.004)}, turns_ahead=1.0
)


def test_choice_logs_the_prices_of_the_request_as_they_were_reckoned_with(
    decider: Decider,
) -> None:
    """What is logged is what a replay reads: the policy was told the same rounded numbers."""
    spare = Plan("cheap", ("cheap",), 0.001, spare=True)
    checked = Plan("checked", ("cheap", "dear"), 0.02, "learned")
    context = decider.context(ASK, np.full(384, 384**-0.5, dtype=np.float32))
    choice = decider.choose(context, (spare, checked), WeightOverrides(), Bounds(), prices=PRICED)
    assert choice is not None
    assert [name for name, _ in choice.probabilities] == ["checked"]
    assert choice.turns_ahead == 1.0
    for plan in (spare, checked):
        action = action_of(plan, choice.prices)
        assert action == PRICED.action(plan)
        assert action.input_usd == pytest.approx(0.01)
        assert action.ahead_usd == pytest.approx((0.01 + 0.002) / 2)


def test_a_cost_limit_is_kept_by_the_price_of_the_request(decider: Decider) -> None:
    """The plan that is cheap for a typical request is dear for this one."""
    context = decider.context(ASK, np.full(384, 384**-0.5, dtype=np.float32))
    bounds = Bounds(cost_usd=0.008)
    typical = decider.choose(context, PLANS, WeightOverrides(), bounds)
    choice = decider.choose(context, PLANS, WeightOverrides(), bounds, prices=PRICED)
    assert typical is not None
    assert choice is not None
    assert [name for name, _ in typical.probabilities] == ["cheap"]
    assert [name for name, _ in choice.probabilities] == ["dear"]
    assert decider.choose(context, PLANS, WeightOverrides(), Bounds(0.005), prices=PRICED) is None


def test_a_watching_policy_logs_the_prices_of_all_it_would_have_chosen_among(
    decider: Decider,
) -> None:
    context = decider.context(ASK, np.full(384, 384**-0.5, dtype=np.float32))
    served, shadow = (
        decider.choose(context, plans, WeightOverrides(), Bounds(), prices=PRICED)
        for plans in (PLANS[1:], PLANS)
    )
    assert served is not None
    assert shadow is not None
    both = with_shadow(served, shadow)
    assert {name for name, *_ in both.prices} == {name for name, _ in both.probabilities}
    assert both.turns_ahead == 1.0
