"""The hull by hand and by brute force; APGR, CPT and intervals on cases with known answers."""

from __future__ import annotations

import numpy as np
import pytest

from bandit import frontier
from bandit.errors import BadInput
from bandit.frontier import apgr, bootstrap_mean, cpt, hull, hull_quality, recovery


def test_arms_that_are_dominated_or_below_a_mix_are_left_out() -> None:
    costs, qualities = [1.0, 2.0, 3.0, 3.0, 4.0], [0.2, 0.4, 0.8, 0.7, 0.5]
    assert hull(costs, qualities) == [0, 2]


def test_hull_keeps_the_best_of_equally_cheap_arms() -> None:
    assert hull([1.0, 1.0, 2.0], [0.3, 0.5, 0.6]) == [1, 2]


def test_hull_of_three_published_arms_is_found() -> None:
    """Points of the recorded-outcome data's own documentation."""
    costs, qualities = [2.9e-5, 5.3e-4, 1.5e-2], [0.793, 0.923, 0.932]
    found = hull_quality(costs, qualities, [2.9e-5, 8.3e-5, 2.3e-4, 6.5e-4, 1.1e-2])
    assert found == pytest.approx([0.793, 0.807, 0.845, 0.923, 0.930], abs=1e-3)


def test_no_random_mix_is_above_the_hull_and_the_hull_is_one() -> None:
    rng = np.random.default_rng(0)
    costs, qualities = rng.random(6), rng.random(6)
    mixes = rng.dirichlet(np.full(6, 0.2), size=20_000)
    bound = hull_quality(costs, qualities, mixes @ costs)
    short = bound - mixes @ qualities
    assert short.min() > -1e-12
    assert short.min() < 0.01


def test_hull_quality_outside_the_arms_costs_is_that_of_the_nearest_end() -> None:
    assert hull_quality([1.0, 2.0], [0.5, 0.6], 0.1) == 0.5
    assert hull_quality([1.0, 2.0], [0.5, 0.6], 7.0) == 0.6


def test_hull_of_one_arm_is_that_arm() -> None:
    assert hull_quality([1.0], [0.5], [0.0, 1.0, 2.0]).tolist() == [0.5, 0.5, 0.5]


@pytest.mark.parametrize(
    ("costs", "qualities"), [([], []), ([1.0], [1.0, 2.0]), ([np.nan], [1.0]), ([1.0], [np.inf])]
)
def test_hull_refuses_points_that_are_not_finite_pairs(
    costs: list[float], qualities: list[float]
) -> None:
    with pytest.raises(BadInput):
        hull(costs, qualities)


def test_a_perfect_router_and_its_opposite() -> None:
    weak, strong = np.array([0, 1, 0, 1]), np.ones(4)
    assert apgr(strong - weak, weak, strong) == pytest.approx(0.75)
    assert apgr(weak - strong, weak, strong) == pytest.approx(0.25)
    assert cpt(strong - weak, weak, strong, 0.5) == pytest.approx(0.25)
    assert cpt(weak - strong, weak, strong, 0.5) == pytest.approx(0.75)


def test_equal_scores_are_a_random_router() -> None:
    weak, strong = np.array([0, 1, 0, 1, 0]), np.ones(5)
    share, recovered = recovery(np.zeros(5), weak, strong)
    assert share.tolist() == recovered.tolist() == [0.0, 1.0]
    assert apgr(np.zeros(5), weak, strong) == 0.5
    assert cpt(np.zeros(5), weak, strong, 0.8) == pytest.approx(0.8)


def test_the_strong_arm_may_lose_on_some_prompts() -> None:
    """PGR then passes 1 on the way; the first crossing counts."""
    weak, strong = np.array([0.0, 0.0, 1.0]), np.array([1.0, 1.0, 0.0])
    assert recovery([3, 2, 1], weak, strong)[1].tolist() == [0.0, 1.0, 2.0, 1.0]
    assert cpt([3, 2, 1], weak, strong, 1.0) == pytest.approx(1 / 3)


def test_recovery_without_a_gap_is_refused() -> None:
    with pytest.raises(BadInput, match="no gap"):
        apgr([1, 2], [1, 0], [0, 1])
    with pytest.raises(BadInput):
        apgr([1, np.nan], [1, 0], [1, 1])
    with pytest.raises(BadInput):
        apgr([1], [1, 0], [1, 1])
    with pytest.raises(BadInput):
        cpt([1, 2], [1, 0], [1, 1], target=50)


def test_an_interval_covers_the_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    found = [bootstrap_mean(rng.normal(size=60), rng, draws=400) for _ in range(200)]
    covered = sum(i.low <= 0 <= i.high for i in found)
    assert 175 <= covered <= 199
    assert all(i.low <= i.mean <= i.high for i in found)


def test_an_interval_depends_on_the_seed_only() -> None:
    values = np.arange(10.0)
    first, second = (bootstrap_mean(values, np.random.default_rng(1)) for _ in range(2))
    assert first == second
    assert bootstrap_mean([2.0], np.random.default_rng(1)).low == 2.0


def test_many_values_are_drawn_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.arange(50.0)
    whole = bootstrap_mean(values, np.random.default_rng(1), draws=100)
    monkeypatch.setattr(frontier, "_BLOCK_NUMBERS", 350)
    assert bootstrap_mean(values, np.random.default_rng(1), draws=100) == whole


def test_bootstrap_mean_refuses_no_values() -> None:
    with pytest.raises(BadInput):
        bootstrap_mean([], np.random.default_rng(0))
    with pytest.raises(BadInput):
        bootstrap_mean([np.nan], np.random.default_rng(0))
