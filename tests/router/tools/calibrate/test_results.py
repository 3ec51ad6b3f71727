"""Results of plans from the results of their arms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bandit import ContextMap, PolicySettings, make_policy
from bandit.snapshots.codec import unpack
from router.domain.logged_context import action_of
from router.gates.format_checks import FormatCheckSettings
from router.learning.plan_results import CallResult, plan_result
from router.serving.request_prices import RequestPrices
from router.tools.calibrate.analysis.calibration import results_of
from router.tools.calibrate.analysis.prices import PromptPrices, taught_rates
from router.tools.calibrate.analysis.results import (
    PromptResults,
    arm_results,
    plan_outcomes,
    trained,
)
from router.tools.calibrate.collect.arm_client import Missing
from router.tools.calibrate.collect.collector import CollectedPrompt
from tests.router.tools.calibrate.prompt_sets import CATALOGUE, answered, case, context, failed

LADDER = CATALOGUE.plans["ladder"]
GOOD = {"cheap": 0.3, "strong": 0.9}


def ladder(made: CollectedPrompt) -> CallResult | None:
    return plan_result(LADDER, arm_results(made, FormatCheckSettings()))


def test_a_ladder_ends_at_an_answer_that_passes() -> None:
    assert ladder(case(0, GOOD)) == CallResult(0.3, 0.001, 100.0)


def test_a_rejected_answer_costs_both_rungs() -> None:
    weak = answered("cheap", text="I'm sorry, but I can't help with that.")
    result = ladder(case(0, GOOD, cheap=weak))
    assert result == CallResult(0.9, pytest.approx(0.011), 200.0)


def test_a_weak_answer_is_served_when_the_stronger_arm_fails() -> None:
    result = ladder(case(0, GOOD, cheap=answered("cheap", text=""), strong=failed("strong")))
    assert result == CallResult(0.3, pytest.approx(0.0015), 2_100.0, passed=False)


def test_a_failed_rung_is_followed_by_the_next() -> None:
    result = ladder(case(0, GOOD, cheap=failed("cheap")))
    assert result == CallResult(0.9, pytest.approx(0.0105), 2_100.0)


def test_a_ladder_of_failed_rungs_is_a_failure() -> None:
    result = ladder(case(0, {}, cheap=failed("cheap"), strong=failed("strong")))
    assert result is not None
    assert (result.quality, result.failed) == (0.0, True)


@pytest.mark.parametrize(
    "why",
    [
        "provider_unauthorized",
        "provider_rate_limited",
        "provider_unavailable",
        "provider_disconnected",
    ],
)
def test_errors_of_the_setup_are_no_result_of_the_arm(why: str) -> None:
    found = arm_results(case(0, GOOD, cheap=failed("cheap", why)), FormatCheckSettings())
    assert list(found) == ["strong"]
    assert plan_result(LADDER, found) is None


def test_plans_of_a_missing_arm_have_no_result() -> None:
    found = arm_results(case(0, GOOD, strong=Missing("budget")), FormatCheckSettings())
    assert plan_result(CATALOGUE.plans["strong"], found) is None
    assert plan_result(LADDER, found) is not None
    weak = answered("cheap", text="")
    found = arm_results(case(0, GOOD, cheap=weak, strong=Missing("budget")), FormatCheckSettings())
    assert plan_result(LADDER, found) is None


def test_an_answer_without_a_score_yields_cost_and_latency_only() -> None:
    arms = arm_results(case(0, {"cheap": None, "strong": 0.9}), FormatCheckSettings())
    plans = {"cheap": arms["cheap"], "strong": arms["strong"]}
    first, second = plan_outcomes(PromptResults(context(0), plans, arms), CATALOGUE.plans)
    assert (first.quality, first.cost_usd, first.failed) == (None, 0.001, False)
    assert (second.quality, second.propensity) == (0.9, 1.0)
    assert second.action.prior_cost_usd == CATALOGUE.plans["strong"].prior_cost_usd
    assert replace(first, quality=0.5) != first


def test_a_trained_policy_knows_which_outcomes_are_of_one_prompt() -> None:
    checks = FormatCheckSettings()
    whole = [results_of(case(i, GOOD), context(i), CATALOGUE, checks, {}) for i in range(3)]
    lone = arm_results(case(3, {"cheap": None, "strong": 0.9}), checks)
    plans = {"cheap": lone["cheap"], "strong": lone["strong"]}
    rng = np.random.default_rng(0)
    settings = PolicySettings(shape=ContextMap.default().shape, vw=frozenset())
    version = context(0).version
    policy = trained(
        lambda: make_policy("adaptive", settings, version, rng),
        [*whole, PromptResults(context(3), plans, lone)],
        CATALOGUE.plans,
        rng,
    )
    known = unpack(policy.save()).arrays["quality.prompts"]
    assert known[:, 1:3].tolist() == [[len(whole[0].plans)] * 2] * 3
    assert sorted(known[:, 0]) == [1.0, 2.0, 3.0]


def test_prompts_are_priced_by_the_tokens_that_their_answers_were_charged_for() -> None:
    made = case(0, GOOD, cheap=answered("cheap", most_usd=0.5))
    rates = taught_rates([made] * 400)
    assert list(rates.deployments) == ["strong"]  # the other's tokens are a guess
    assert not any(rates.everything)
    prices = PromptPrices(RequestPrices(CATALOGUE, 400), rates).of(made.prompt.chat)
    size = made.prompt.chat.input_bytes
    found = {name: (prior_usd, input_usd) for name, prior_usd, input_usd, _ in prices}
    assert found["strong"][1] == pytest.approx(10e-6, rel=0.6)
    assert found["strong"][0] == pytest.approx(found["strong"][1] + 400e-6)
    assert found["ladder"][1] == found["cheap"][1] == pytest.approx(size / 3.6 * 1e-6)


def test_calibration_learns_by_the_prices_of_its_prompts() -> None:
    made, plans = case(0, GOOD), CATALOGUE.plans
    prices = PromptPrices(RequestPrices(CATALOGUE, 400)).of(made.prompt.chat)
    checks = FormatCheckSettings()
    results = results_of(made, context(0), CATALOGUE, checks, {}, prices=prices)
    assert [o.action for o in plan_outcomes(results, plans)] == [
        action_of(plan, prices) for plan in plans.values()
    ]
    assert all(o.action.input_usd > 0 for o in plan_outcomes(results, plans))
