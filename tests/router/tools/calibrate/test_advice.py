"""What is advised, of outcomes of which is known what must be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from router.config import parse_config
from router.domain.catalog import Plan
from router.tools.calibrate.analysis.advice import Terms, advise
from router.tools.calibrate.analysis.cross_validation import Tried
from router.tools.calibrate.analysis.equal_quality import equal_quality
from router.tools.calibrate.analysis.frontier import Matrix, Way
from tests.router.tools.calibrate.worlds import CATALOGUE, CONFIG, way


def tried(cost_weight: float, quality: float, cost_usd: float, *shares: float) -> Tried:
    numbers = way("", quality, cost_usd).numbers
    return Tried(cost_weight, numbers, dict(zip(CATALOGUE.plans, shares, strict=True)))


def test_advice_keeps_quality_and_what_the_config_names() -> None:
    fixed = [way("strong", 0.9, 0.5), way("cheap", 0.3, 0.1)]
    weights = [
        tried(0.1, 0.85, 0.1, 0.9, 0.1, 0.0),
        tried(0.02, 0.895, 0.2, 0.5, 0.5, 0.0),
        tried(0.0, 0.9, 0.25, 0.4, 0.6, 0.0),
    ]
    terms, rng = Terms(CATALOGUE.plans, "adaptive", 1.0), np.random.default_rng(0)
    advice = advise(weights, fixed, terms, rng)
    assert (advice.cost_weight, advice.plans) == (0.02, ("cheap", "strong"))
    assert advice.gain.low > 0
    assert "routing pays" in advice.verdict
    kept = advise(weights, fixed, replace(terms, keep=("ladder",)), rng)
    assert kept.plans == ("cheap", "strong", "ladder")
    assert advise(weights[:1], fixed, terms, rng).cost_weight == 0.1


def test_where_another_weight_saves_next_to_nothing_the_configured_one_stays() -> None:
    weights = [tried(0.1, 0.8, 2.0, 0, 1, 0), tried(0.8, 0.8, 1.95, 0, 1, 0)]
    fixed, terms = [way("strong", 0.8, 2.0)], Terms(CATALOGUE.plans, "adaptive", 1.0)
    assert advise(weights, fixed, terms, np.random.default_rng(0)).cost_weight == 0.1
    weights[1] = tried(0.8, 0.8, 1.8, 0, 1, 0)
    assert advise(weights, fixed, terms, np.random.default_rng(0)).cost_weight == 0.8


def test_where_routing_does_worse_than_one_plan_that_plan_is_advised() -> None:
    fixed = [way("strong", 0.9, 0.1), way("cheap", 0.3, 0.01)]
    worse = [tried(0.1, 0.8, 0.2, 0.5, 0.4, 0.1)]
    advice = advise(worse, fixed, Terms(CATALOGUE.plans, "adaptive", 1.0), np.random.default_rng(0))
    assert advice.plans == ("strong",)
    assert "does not pay" in advice.verdict
    plans = parse_config(CONFIG + advice.snippet, "merged.yaml", {}).plans
    assert {name: plan.rungs for name, plan in plans.items()} == {"strong": ("strong",)}


def test_plans_that_are_alike_do_not_make_one_of_them_better() -> None:
    """The best of twelve is better on the prompts it was picked on, and on no others."""
    plans = {f"p{k}": Plan(f"p{k}", (f"p{k}",), 0.001) for k in range(12)}
    told = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        quality = (rng.random((150, 12)) < 0.8).astype(float)
        columns = [np.column_stack([q, np.full(150, 0.001), q]) for q in quality.T]
        fixed = [Way(name, "plan", c) for name, c in zip(plans, columns, strict=True)]
        mixed = Tried(0.1, sum(columns) / 12, dict.fromkeys(plans, 1 / 12))
        advice = advise([mixed], fixed, Terms(plans, "adaptive", 0.001), rng)
        told += len(advice.plans) == 1
    assert told <= 3


def test_what_exploration_costs_is_no_reason_to_stop_routing() -> None:
    """The best plan always, but for the floor: a sure loss, and a tiny one."""
    fixed = [way("strong", 0.9, 0.1), way("cheap", 0.3, 0.01)]
    numbers = 0.98 * fixed[0].numbers + 0.02 * fixed[1].numbers
    policy = [Tried(0.1, numbers, {"cheap": 0.02, "strong": 0.98, "ladder": 0.0})]
    terms = Terms(CATALOGUE.plans, "adaptive", 1.0, floor=0.02)
    advice = advise(policy, fixed, terms, np.random.default_rng(0))
    assert advice.gain.high < 0
    assert "does not pay" not in advice.verdict


def test_a_figure_the_weight_was_chosen_on_says_so() -> None:
    fixed = [way("strong", 0.9, 0.5), way("cheap", 0.3, 0.1)]
    weights = [tried(0.1, 0.85, 0.1, 0.9, 0.1, 0.0), tried(0.02, 0.895, 0.2, 0.5, 0.5, 0.0)]
    terms, rng = Terms(CATALOGUE.plans, "adaptive", 1.0), np.random.default_rng(0)
    assert "chosen on these same prompts" in advise(weights, fixed, terms, rng).snippet
    assert "chosen on" not in advise(weights[:1], fixed, terms, rng).snippet


def coins(seed: int, *rates: float) -> Matrix:
    """Quality by chance, at a cost of 1 for each."""
    drawn = np.random.default_rng(seed).random(100) < np.linspace(*rates, 100)
    return np.column_stack([drawn, np.ones(100), drawn]).astype(float)


def test_what_equal_quality_costs_has_an_interval() -> None:
    rng = np.random.default_rng(0)
    strong = Way("strong", "arm", coins(1, 0.87, 0.87))
    cheap = Tried(0.1, coins(2, 0.87, 0.87) * [1, 0.1, 1], {})
    dear = Tried(0.0, strong.numbers, {})
    said = equal_quality([cheap, dear], [strong], rng)
    assert "costs 10% [10%, 90%] of its price" in said
    assert "[10%, not reached] of its price" in equal_quality([cheap], [strong], rng)


def test_a_policy_that_is_an_arm_but_for_its_exploration_reaches_that_arm() -> None:
    arms = [way("cheap", 0.8, 0.1), way("strong", 0.3, 1.0)]
    numbers = 0.996 * arms[0].numbers + 0.004 * arms[1].numbers
    said = equal_quality([Tried(0.1, numbers, {})], arms, np.random.default_rng(0))
    assert "always cheap, less 0.01, costs 104% [104%, 104%]" in said


def test_arms_that_cost_nothing_are_told_as_such() -> None:
    free = way("free", 0.8, 0.0)
    said = equal_quality([Tried(0.1, free.numbers, {})], [free], np.random.default_rng(0))
    assert said == "always free costs nothing"
