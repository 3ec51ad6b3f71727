"""Each learning policy by itself: its model, its expectations, its shares."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from streams import SETTINGS, VERSION, actions, context, instead, outcome

from bandit import Action, Context, Outcome, Policy, Weights, load_policy, make_policy
from bandit.errors import CorruptSnapshot
from bandit.policies.linucb import LinucbOptions, SlotRidge
from bandit.policies.pair_classifier import PairClassifierOptions
from bandit.policies.sampling import QualityNoise, shrunk_variance
from bandit.snapshots.codec import pack, unpack


def fresh(name: str) -> Policy:
    return make_policy(name, SETTINGS, VERSION, np.random.default_rng(1))


def test_slot_ridge_inverse_is_that_of_the_whole_regression() -> None:
    """After 20,000 rank-one updates, against one solve."""
    rng = np.random.default_rng(0)
    ridge, x = SlotRidge(4, 2.0, offset=0.5), rng.normal(size=(20_000, 4))
    y, weights = rng.random(20_000), rng.uniform(0.1, 1, 20_000)
    ridge.grow(1)
    for row, target, weight in zip(x, y, weights, strict=True):
        ridge.add(0, row, float(target), float(weight))
    gram = 2 * np.eye(4) + (x * weights[:, None]).T @ x
    solved = np.linalg.solve(gram, (x * weights[:, None]).T @ (y - 0.5))
    point = np.array([1.0, -0.5, 0.3, 2.0])
    rows = np.array([0, -1])
    assert ridge.mean(rows, point) == pytest.approx([0.5 + point @ solved, 0.5], rel=1e-9)
    widths = [point @ np.linalg.inv(gram) @ point, point @ point / 2.0]
    assert ridge.width(rows, point) == pytest.approx(np.sqrt(widths), rel=1e-9)


def test_quality_noise_is_the_mean_squared_residual() -> None:
    noise = QualityNoise()
    assert noise.value == pytest.approx(0.12)
    for _ in range(2_000):
        noise.add(0.5, 1.0)
    assert noise.value == pytest.approx(0.25, rel=0.01)


def test_shrunk_variance_is_that_of_two_mixed_means() -> None:
    """Monte Carlo: 4 outcomes of unit noise and 6 made-up ones at a mean of 9 + 1."""
    rng = np.random.default_rng(0)
    own, overall = rng.normal(size=(40_000, 4)).sum(axis=1), rng.normal(size=40_000) / np.sqrt(10)
    drawn = ((own + 6 * overall) / 10).var()
    assert shrunk_variance(np.array([4.0]), 6.0, np.array([9.0])) == pytest.approx(drawn, rel=0.03)


def teach(policy: Policy, rounds: int, quality: float = 0.5) -> Context:
    rng = np.random.default_rng(2)
    for step in range(rounds):
        seen = context(rng)
        policy.learn([outcome(actions(3)[step % 3], seen, quality)])
    return context(rng)


def test_knn_trusts_neighbours_more_than_the_mean() -> None:
    policy, rng = fresh("knn"), np.random.default_rng(3)
    for step in range(150):
        good = step % 2
        policy.learn([outcome(actions(1)[0], context(rng, 3 * good), float(good))])
    for kind, low, high in ((0, 0.0, 0.35), (3, 0.65, 1.0)):
        found = [
            policy.decide(context(rng, kind), actions(1), Weights()).estimates["a0"].quality
            for _ in range(20)
        ]
        assert low <= float(np.mean(found)) <= high


@pytest.mark.parametrize("name", ["knn", "cluster-table", "linucb"])
def test_cost_is_expected_in_context(name: str) -> None:
    policy, rng, action = fresh(name), np.random.default_rng(3), actions(1)[0]
    for _ in range(200):
        kind = int(rng.integers(2))
        spent = action.prior_cost_usd * (4.0 if kind else 1.0)
        policy.learn([Outcome(action, context(rng, kind), cost_usd=spent)])

    def expected(kind: int) -> float:
        return policy.decide(context(rng, kind), [action], Weights()).estimates["a0"].cost_usd

    assert np.mean([expected(1) for _ in range(20)]) > 1.6 * np.mean(
        [expected(0) for _ in range(20)]
    )


def test_weights_of_a_decision_act_at_once() -> None:
    for name in ("thompson", "linucb", "knn", "cluster-table", "pair-classifier"):
        policy, rng = fresh(name), np.random.default_rng(4)
        for _ in range(150):
            for action, quality in zip(actions(2), (0.5, 0.9), strict=True):
                policy.learn([outcome(action, context(rng), float(rng.random() < quality))])
        seen = context(rng)
        best = policy.decide(seen, actions(2), Weights(cost=0.0)).probabilities
        thrifty = policy.decide(seen, actions(2), Weights(cost=10.0)).probabilities
        assert best["a1"] > 0.9, name
        assert thrifty["a0"] > 0.9, name


def test_linucb_bound_is_optimistic() -> None:
    """The less tried of two actions that did alike is wanted."""
    policy, rng = fresh("linucb"), np.random.default_rng(5)
    for step in range(300):
        action = actions(2)[int(step % 10 == 0)]
        policy.learn([outcome(action, context(rng), 0.5)])
    shares = policy.decide(context(rng), actions(2), Weights(cost=0.0)).probabilities
    assert shares["a1"] > 0.9


@pytest.mark.parametrize("name", ["thompson", "cluster-table", "knn"])
def test_sampling_policies_grow_sure_with_evidence(name: str) -> None:
    """Two actions a hair apart: neither is given up after eight outcomes each."""
    policy, rng = fresh(name), np.random.default_rng(8)
    for step in range(8):
        for action in actions(2):
            policy.learn([outcome(action, context(rng), float(step % 2))])
    shares = policy.decide(context(rng), actions(2), Weights(cost=0.0)).probabilities
    assert min(shares.values()) > 0.15


@pytest.mark.parametrize("kind", range(4))
def test_cluster_table_keeps_clusters_apart(kind: int) -> None:
    policy, rng = fresh("cluster-table"), np.random.default_rng(9)
    for step in range(200):
        other = (kind + 1 + step % 3) % 4
        policy.learn([outcome(actions(1)[0], context(rng, other), 0.1)])
        policy.learn([outcome(actions(1)[0], context(rng, kind), 0.9)])
    for asked, expected in ((kind, 0.9), ((kind + 1) % 4, 0.1)):
        decision = policy.decide(context(rng, asked), actions(1), Weights())
        assert decision.estimates["a0"].quality == pytest.approx(expected, abs=0.15)


def test_explorers_take_a_newcomer_for_no_other_action() -> None:
    policy = make_policy(
        "squarecb", replace(SETTINGS, initial_pulls=0), VERSION, np.random.default_rng(0)
    )
    rng = np.random.default_rng(10)
    for _ in range(60):
        for action, quality in zip(actions(2), (0.1, 0.9), strict=True):
            policy.learn([outcome(action, context(rng), quality)])
    late = Action("late", 0.001)
    shares = policy.decide(context(rng), [*actions(2), late], Weights()).probabilities
    assert shares["late"] != pytest.approx(shares["a0"])


def test_linucb_bound_is_at_most_the_best_quality() -> None:
    """Both bounds lie above 1, that of the dear action higher: the price decides."""
    options = instead(LinucbOptions(alpha=3.0))
    settings = replace(SETTINGS, options=options, initial_pulls=0)
    policy = make_policy("linucb", settings, VERSION, np.random.default_rng(0))
    cheap, dear = actions(2)
    seen = context(np.random.default_rng(1))
    policy.learn([outcome(cheap, seen, 1.0)] * 3)
    assert policy.decide(seen, [cheap, dear], Weights(cost=0.01)).probabilities["a0"] > 0.9


def test_linucb_soon_outweighs_one_huge_cost() -> None:
    policy, rng, action = fresh("linucb"), np.random.default_rng(5), actions(1)[0]
    policy.learn([replace(outcome(action, context(rng), 0.5), cost_usd=5.0)])
    for _ in range(100):
        policy.learn([outcome(action, context(rng), 0.5)])
    for _ in range(10):
        estimate = policy.decide(context(rng), [action], Weights()).estimates["a0"]
        assert estimate.cost_usd < 3 * action.prior_cost_usd


def test_pair_classifier_leaves_others_the_floor_however_good() -> None:
    policy, rng = fresh("pair-classifier"), np.random.default_rng(6)
    for _ in range(70):
        for action, quality in zip(actions(3), (0.1, 0.2, 1.0), strict=True):
            policy.learn([outcome(action, context(rng), quality)])
    shares = policy.decide(context(rng), actions(3), Weights(cost=0.0)).probabilities
    assert shares["a1"] > 0.9


def test_pair_classifier_fits_no_forest_to_a_handful_of_outcomes() -> None:
    policy, rng = fresh("pair-classifier"), np.random.default_rng(7)
    for step in range(130):
        action = actions(2)[int(step % 12 == 0)]
        policy.learn([outcome(action, context(rng), 0.5)])
    shares = policy.decide(context(rng), actions(2), Weights()).probabilities
    assert list(shares.values()) == pytest.approx([0.5, 0.5])


def test_pair_classifier_tries_both_alike_until_both_have_a_forest() -> None:
    policy = fresh("pair-classifier")
    seen = teach(policy, 60)
    shares = policy.decide(seen, actions(3), Weights()).probabilities
    assert list(shares.values()) == pytest.approx([0.5, 0.5, SETTINGS.floor], abs=0.005)
    seen = teach(policy, 60)
    shares = policy.decide(seen, actions(3), Weights()).probabilities
    assert max(shares.values()) > 0.9
    assert shares["a2"] == pytest.approx(SETTINGS.floor)


def test_pair_classifier_takes_the_other_where_one_is_not_eligible() -> None:
    policy = fresh("pair-classifier")
    seen = teach(policy, 150)
    shares = policy.decide(seen, actions(3)[1:], Weights()).probabilities
    assert shares["a1"] > 0.9


def test_pair_classifier_without_its_pair_takes_the_best_mean() -> None:
    options = instead(PairClassifierOptions(("x", "y")))
    policy = make_policy(
        "pair-classifier", replace(SETTINGS, options=options), VERSION, np.random.default_rng(0)
    )
    for quality, action in zip((0.2, 0.9, 0.4), actions(3), strict=True):
        for _ in range(20):
            policy.learn([outcome(action, context(np.random.default_rng(0)), quality)])
    shares = policy.decide(teach(policy, 0), actions(3), Weights(cost=0.0)).probabilities
    assert shares["a1"] > 0.9


def test_pair_classifier_weighs_rare_choices_more() -> None:
    """Half the outcomes of one action are 0 at propensity 1, half are 1 at propensity 0.1."""
    policy, rng = fresh("pair-classifier"), np.random.default_rng(6)
    for step in range(120):
        good = step % 2
        policy.learn([outcome(actions(1)[0], context(rng), good, 0.1 if good else 1.0)])
    quality = [
        policy.decide(context(rng), actions(1), Weights()).estimates["a0"].quality
        for _ in range(20)
    ]
    assert float(np.mean(quality)) > 0.8


@pytest.mark.parametrize(
    ("policy", "array"),
    [
        ("pair-classifier", "forests.0.children"),
        ("pair-classifier", "forests.fitted"),
        ("pair-classifier", "forests.seen"),
        ("knn", "quality.x"),
        ("knn", "ratio.added"),
        ("cluster-table", "quality.sums"),
        ("linucb", "ratio.inverse"),
        ("linucb", "quality.moment"),
        ("thompson", "noise.sums"),
        ("fixed", "means.counts"),
        ("squarecb", "model.vw"),
    ],
)
def test_a_snapshot_with_an_impossible_array_is_refused(policy: str, array: str) -> None:
    made = fresh(policy)
    teach(made, 150)
    good = unpack(made.save())
    lacking = {key: held for key, held in good.arrays.items() if key != array}
    emptied = dict(good.arrays) | {array: good.arrays[array][:0]}
    for arrays in (lacking, emptied):
        if policy == "pair-classifier" and arrays is emptied and array == "forests.fitted":
            continue  # as if nothing had been fitted yet
        with pytest.raises(CorruptSnapshot):
            load_policy(pack(replace(good, arrays=arrays)), SETTINGS, VERSION)
