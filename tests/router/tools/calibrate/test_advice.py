"""Advice on figures whose best answer is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from router.config import parse_config
from router.domain.catalog import Plan
from router.tools.calibrate.analysis.advice import AdviceConstraints, advise
from router.tools.calibrate.analysis.cross_validation import CostWeightResult, equal_quality_cost
from router.tools.calibrate.analysis.frontier import Matrix, Strategy
from tests.router.tools.calibrate.prompt_sets import CATALOGUE, CONFIG, strategy


def tried(cost_weight: float, quality: float, cost_usd: float, *shares: float) -> CostWeightResult:
    numbers = strategy("", quality, cost_usd).numbers
    return CostWeightResult(cost_weight, numbers, dict(zip(CATALOGUE.plans, shares, strict=True)))


def test_advice_keeps_quality_and_the_plans_the_config_names() -> None:
    fixed = [strategy("strong", 0.9, 0.5), strategy("cheap", 0.3, 0.1)]
    weights = [
        tried(0.1, 0.85, 0.1, 0.9, 0.1, 0.0),
        tried(0.02, 0.895, 0.2, 0.5, 0.5, 0.0),
        tried(0.0, 0.9, 0.25, 0.4, 0.6, 0.0),
    ]
    constraints = AdviceConstraints(CATALOGUE.plans, "adaptive", 1.0)
    advice = advise(weights, fixed, constraints)
    assert (advice.cost_weight, advice.plans) == (0.02, ("cheap", "strong"))
    assert advice.gain.low > 0
    assert "routing pays" in advice.verdict
    kept = advise(weights, fixed, replace(constraints, keep=("ladder",)))
    assert kept.plans == ("cheap", "strong", "ladder")
    assert advise(weights[:1], fixed, constraints).cost_weight == 0.1


def test_advice_keeps_the_configured_weight_unless_another_saves_enough() -> None:
    weights = [tried(0.1, 0.8, 2.0, 0, 1, 0), tried(0.8, 0.8, 1.95, 0, 1, 0)]
    fixed, constraints = (
        [strategy("strong", 0.8, 2.0)],
        AdviceConstraints(CATALOGUE.plans, "adaptive", 1.0),
    )
    assert advise(weights, fixed, constraints).cost_weight == 0.1
    weights[1] = tried(0.8, 0.8, 1.8, 0, 1, 0)
    assert advise(weights, fixed, constraints).cost_weight == 0.8


def test_advice_is_one_plan_where_routing_is_worse() -> None:
    fixed = [strategy("strong", 0.9, 0.1), strategy("cheap", 0.3, 0.01)]
    worse = [tried(0.1, 0.8, 0.2, 0.5, 0.4, 0.1)]
    advice = advise(worse, fixed, AdviceConstraints(CATALOGUE.plans, "adaptive", 1.0))
    assert advice.plans == ("strong",)
    assert "does not pay" in advice.verdict
    plans = parse_config(CONFIG + advice.snippet, "merged.yaml", {}).plans
    assert {name: plan.rungs for name, plan in plans.items()} == {"strong": ("strong",)}


def test_the_best_of_many_equal_plans_does_not_beat_the_policy() -> None:
    """The best of twelve is better on the prompts it was picked on, and on no others."""
    plans = {f"p{k}": Plan(f"p{k}", (f"p{k}",), 0.001) for k in range(12)}
    told = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        quality = (rng.random((150, 12)) < 0.8).astype(float)
        columns = [np.column_stack([q, np.full(150, 0.001), q]) for q in quality.T]
        fixed = [Strategy(name, "plan", c) for name, c in zip(plans, columns, strict=True)]
        mixed = CostWeightResult(0.1, sum(columns) / 12, dict.fromkeys(plans, 1 / 12))
        advice = advise([mixed], fixed, AdviceConstraints(plans, "adaptive", 0.001))
        told += len(advice.plans) == 1
    assert told <= 3


def test_the_cost_of_exploration_does_not_stop_routing() -> None:
    """The best plan always, but for the floor: a sure loss, and a tiny one."""
    fixed = [strategy("strong", 0.9, 0.1), strategy("cheap", 0.3, 0.01)]
    numbers = 0.98 * fixed[0].numbers + 0.02 * fixed[1].numbers
    policy = [CostWeightResult(0.1, numbers, {"cheap": 0.02, "strong": 0.98, "ladder": 0.0})]
    constraints = AdviceConstraints(CATALOGUE.plans, "adaptive", 1.0, floor=0.02)
    advice = advise(policy, fixed, constraints)
    assert advice.gain.high < 0
    assert "does not pay" not in advice.verdict


def test_a_figure_says_when_its_weight_was_chosen_on_it() -> None:
    fixed = [strategy("strong", 0.9, 0.5), strategy("cheap", 0.3, 0.1)]
    weights = [tried(0.1, 0.85, 0.1, 0.9, 0.1, 0.0), tried(0.02, 0.895, 0.2, 0.5, 0.5, 0.0)]
    constraints = AdviceConstraints(CATALOGUE.plans, "adaptive", 1.0)
    assert "chosen on these same prompts" in advise(weights, fixed, constraints).snippet
    assert "chosen on" not in advise(weights[:1], fixed, constraints).snippet


def coins(seed: int, *rates: float) -> Matrix:
    """Quality by chance, at a cost of 1 for each."""
    drawn = np.random.default_rng(seed).random(100) < np.linspace(*rates, 100)
    return np.column_stack([drawn, np.ones(100), drawn]).astype(float)


def test_the_cost_of_equal_quality_has_an_interval() -> None:
    rng = np.random.default_rng(0)
    strong = Strategy("strong", "arm", coins(1, 0.87, 0.87))
    cheap = CostWeightResult(0.1, coins(2, 0.87, 0.87) * [1, 0.1, 1], {})
    dear = CostWeightResult(0.0, strong.numbers, {})
    said = equal_quality_cost([cheap, dear], [strong], rng)
    assert "costs 10% [10%, 90%] of its price" in said
    assert "[10%, not reached] of its price" in equal_quality_cost([cheap], [strong], rng)


def test_a_policy_equal_to_an_arm_but_for_exploration_reaches_its_quality() -> None:
    arms = [strategy("cheap", 0.8, 0.1), strategy("strong", 0.3, 1.0)]
    numbers = 0.996 * arms[0].numbers + 0.004 * arms[1].numbers
    said = equal_quality_cost([CostWeightResult(0.1, numbers, {})], arms, np.random.default_rng(0))
    assert "always cheap, less 0.01, costs 104% [104%, 104%]" in said


def test_free_arms_are_reported_as_free() -> None:
    free = strategy("free", 0.8, 0.0)
    said = equal_quality_cost(
        [CostWeightResult(0.1, free.numbers, {})], [free], np.random.default_rng(0)
    )
    assert said == "always free costs nothing"
