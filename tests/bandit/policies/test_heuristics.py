"""Which action the policies that follow a rule want, and which instead where it is not there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from streams import OPTIONS, SETTINGS, SHAPE, VERSION, actions, context, example, instead, outcome

from bandit import Action, Context, Policy, PolicySettings, Weights, make_policy
from bandit.context.conditions import Bound
from bandit.errors import BadContext, BadSettings, VersionMismatch
from bandit.policies.cluster_table import ClusterTableOptions
from bandit.policies.intent import IntentOptions
from bandit.policies.knn import KnnOptions
from bandit.policies.length import LengthOptions, Tier
from bandit.policies.linucb import LinucbOptions
from bandit.policies.pair_classifier import PairClassifierOptions
from bandit.policies.random_mix import RandomMixOptions
from bandit.policies.rules import Rule, RulesOptions


def fresh(name: str, options: tuple[object, ...] = OPTIONS) -> Policy:
    settings = replace(SETTINGS, options=options)
    return make_policy(name, settings, VERSION, np.random.default_rng(1))


def featured(*features: float) -> Context:
    return replace(example(0.1, 0.1, 0.1), features=np.array(features))


def wanted(policy: Policy, seen: Context, choices: Sequence[Action] = tuple(actions(3))) -> str:
    shares = policy.decide(seen, choices, Weights()).probabilities
    return max(shares, key=shares.__getitem__)


ANY = featured(0.0, 0.0)


def test_fixed_is_the_named_action_or_the_first() -> None:
    assert wanted(fresh("fixed"), ANY) == "a1"
    assert wanted(fresh("fixed"), ANY, actions(3)[::2]) == "a0"
    assert wanted(fresh("fixed", ()), ANY, actions(3)[1:]) == "a1"


def test_heuristics_leave_other_actions_the_floor() -> None:
    shares = fresh("fixed").decide(ANY, actions(3), Weights()).probabilities
    assert shares["a0"] == shares["a2"] == pytest.approx(SETTINGS.floor)


def test_explored_is_true_when_the_choice_leaves_the_rule() -> None:
    policy = make_policy(
        "fixed", replace(SETTINGS, options=OPTIONS, floor=0.1), VERSION, np.random.default_rng(0)
    )
    decisions = [policy.decide(ANY, actions(3), Weights()) for _ in range(60)]
    assert {d.explored for d in decisions} == {True, False}
    assert all(d.explored == (d.action != "a1") for d in decisions)


def test_a_random_mix_is_renormalised_over_what_is_eligible() -> None:
    policy = fresh("random-mix")
    shares = policy.decide(ANY, actions(3), Weights()).probabilities
    assert list(shares.values()) == pytest.approx([3 / 6, 2 / 6, 1 / 6], abs=0.005)
    fewer = policy.decide(ANY, actions(3)[1:], Weights()).probabilities
    assert list(fewer.values()) == pytest.approx([2 / 3, 1 / 3], abs=0.005)


def test_a_random_mix_without_weights_is_uniform() -> None:
    for options in ((), instead(RandomMixOptions({"elsewhere": 1.0}))):
        shares = fresh("random-mix", options).decide(ANY, actions(4), Weights()).probabilities
        assert list(shares.values()) == pytest.approx([0.25] * 4)


def test_a_random_mix_of_huge_weights_does_not_overflow() -> None:
    policy = fresh("random-mix", instead(RandomMixOptions({"a0": 1e308, "a1": 1e308})))
    shares = policy.decide(ANY, actions(2), Weights()).probabilities
    assert list(shares.values()) == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize(
    ("length", "eligible", "chosen"),
    [
        (-1.5, "a0 a1 a2", "a0"),
        (-0.3, "a0 a1 a2", "a1"),
        (0.29, "a0 a1 a2", "a1"),
        (1.5, "a0 a1 a2", "a2"),
        (-1.5, "a1 a2", "a1"),  # longer ones first
        (0.0, "a0 a2", "a2"),
        (1.5, "a0 a1", "a1"),  # then shorter ones, from the nearest on
        (0.0, "a8 a9", "a8"),
    ],
)
def test_length_takes_the_last_tier_reached_then_longer_then_shorter_ones(
    length: float, eligible: str, chosen: str
) -> None:
    choices = [Action(name, 0.001) for name in eligible.split()]
    assert wanted(fresh("length"), featured(length, 0.0), choices) == chosen


def test_length_counts_a_shorter_prompt_as_of_the_first_tier() -> None:
    policy = fresh("length", instead(LengthOptions((Tier("a1", 0.0), Tier("a2", 1.0)))))
    assert wanted(policy, featured(-1.0, 0.0)) == "a1"


def test_length_without_tiers_takes_the_first_action() -> None:
    assert wanted(fresh("length", ()), ANY, actions(3)[1:]) == "a1"


@pytest.mark.parametrize(
    ("features", "eligible", "chosen"),
    [
        ((0.3, 0.0), "a0 a1 a2", "a1"),
        ((0.2, 0.0), "a0 a1 a2", "a0"),
        ((0.9, 0.1), "a0 a1 a2", "a0"),  # both bounds must hold
        ((0.0, 0.5), "a0 a1 a2", "a2"),
        ((0.3, 0.0), "a0 a2", "a0"),
        ((0.2, 0.0), "a2 a1 a0", "a0"),  # the default, not the first
        ((0.0, 0.5), "a9 a1", "a9"),
    ],
)
def test_rules_take_the_first_that_applies_else_the_default(
    features: tuple[float, float], eligible: str, chosen: str
) -> None:
    choices = [Action(name, 0.001) for name in eligible.split()]
    assert wanted(fresh("rules"), featured(*features), choices) == chosen


def test_rules_take_the_first_that_applies_and_is_eligible() -> None:
    always = Bound(0)
    rules = RulesOptions((Rule("a2", (always,)), Rule("a1", (always,))), default="a0")
    policy = fresh("rules", instead(rules))
    assert wanted(policy, ANY) == "a2"
    assert wanted(policy, ANY, actions(2)) == "a1"


@pytest.mark.parametrize(
    ("projection", "eligible", "chosen"),
    [
        ((2.0, 0.1, 0.0), "a0 a1 a2", "a1"),
        ((0.1, 0.0, 0.4), "a0 a1 a2", "a2"),
        ((0.0, 3.0, 0.0), "a0 a1 a2", "a2"),
        ((-1.0, -1.0, -1.0), "a0 a1 a2", "a0"),
        ((0.0, 0.0, 0.0), "a0 a1 a2", "a0"),
        ((1.0, 0.8, 0.0), "a0 a1 a2", "a1"),  # the most alike of two
        ((0.8, 1.0, 0.0), "a0 a1 a2", "a2"),
        ((1.0, 0.9, 0.0), "a0 a2", "a2"),  # the next alike
        ((1.0, 0.0, 0.0), "a0 a2", "a0"),
        ((1.0, 0.0, 0.0), "a5 a6", "a5"),
    ],
)
def test_intent_takes_the_most_alike_example_else_the_default(
    projection: tuple[float, float, float], eligible: str, chosen: str
) -> None:
    choices = [Action(name, 0.001) for name in eligible.split()]
    assert wanted(fresh("intent"), example(*projection), choices) == chosen


def test_intent_refuses_examples_of_another_map() -> None:
    other = replace(example(1.0, 0.0, 0.0), version="v2")
    with pytest.raises(VersionMismatch):
        fresh("intent", instead(IntentOptions({"a1": (other,)}, default="a0")))
    wide = replace(example(1.0, 0.0, 0.0), projection=np.zeros(9))
    with pytest.raises(BadContext):
        fresh("intent", instead(IntentOptions({"a1": (wide,)}, default="a0")))


def test_heuristics_report_estimates_of_what_they_learned() -> None:
    """So that limits on cost hold for it too."""
    policy, rng = fresh("fixed"), np.random.default_rng(2)
    dear, cheap = actions(2)
    for _ in range(100):
        policy.learn([replace(outcome(dear, context(rng), 0.2), cost_usd=0.5)])
        policy.learn([outcome(cheap, context(rng), 0.9)])
    estimates = policy.decide(ANY, actions(2), Weights()).estimates
    assert estimates["a0"].cost_usd == pytest.approx(0.5, rel=0.02)
    assert estimates["a0"].quality == pytest.approx(0.2, abs=0.02)
    assert estimates["a1"].quality == pytest.approx(0.9, abs=0.02)
    assert wanted(policy, ANY, actions(2)) == "a1"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: RandomMixOptions({"a": -1.0}), "random_mix"),
        (lambda: RandomMixOptions({"a": 0.0}), "random_mix"),
        (lambda: RandomMixOptions({"a": float("nan")}), "random_mix"),
        (lambda: LengthOptions((Tier("a", 0.5), Tier("b", 0.5))), "rising"),
        (lambda: Tier("a", float("nan")), "number"),
        (lambda: Bound(0, low=1.0, high=0.0), "low <= high"),
        (lambda: Bound(0, low=float("nan")), "low <= high"),
        (lambda: Bound(-1), "index"),
        (lambda: IntentOptions(threshold=1.5), "threshold"),
        (lambda: KnnOptions(neighbours=0), "neighbours"),
        (lambda: KnnOptions(memory=0), "memory"),
        (lambda: KnnOptions(shrink=0.0), "shrink"),
        (lambda: ClusterTableOptions(shrink=float("nan")), "shrink"),
        (lambda: LinucbOptions(alpha=-1.0), "alpha"),
        (lambda: LinucbOptions(ridge=0.0), "ridge"),
        (lambda: PairClassifierOptions(actions=("a", "a")), "two different"),
        (lambda: PairClassifierOptions(trees=0), "trees"),
        (lambda: PairClassifierOptions(depth=99), "depth"),
        (lambda: PairClassifierOptions(refit_every=0), "refit_every"),
        (lambda: PairClassifierOptions(memory=0), "memory"),
    ],
)
def test_options_out_of_range_are_refused(make: object, says: str) -> None:
    with pytest.raises(BadSettings, match=says):
        make()  # type: ignore[operator]  # a lambda


def test_rules_refuse_a_bound_on_a_missing_feature() -> None:
    options = (RulesOptions((Rule("a0", (Bound(SHAPE.features),)),)),)
    with pytest.raises(BadSettings, match="feature"):
        make_policy("rules", PolicySettings(shape=SHAPE, options=options), VERSION, rng())


def rng() -> np.random.Generator:
    return np.random.default_rng(0)
