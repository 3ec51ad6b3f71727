"""Regions get positions that stay where they were as far as they can."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from prompts import embeddings, facts

from bandit import ContextMap
from bandit.context.fitting import fit
from bandit.context.layout import apart, assignment, positions, renumbered
from bandit.errors import BadInput

ROWS = np.random.default_rng(0).normal(size=(12, 40)) * np.linspace(3, 0.1, 40)


def test_positions_of_near_centroids_are_near() -> None:
    pair = np.vstack([ROWS, ROWS[0] + 1e-3])
    plane = positions(pair)
    gaps = np.linalg.norm(plane[1:] - plane[0], axis=1)
    assert gaps.argmin() == len(gaps) - 1
    assert np.linalg.norm(plane, axis=1).max() == pytest.approx(1)


def test_positions_are_turned_and_mirrored_onto_earlier_ones() -> None:
    before = positions(ROWS)
    turn = np.array([[0.0, 1.0], [1.0, 0.0]])
    assert positions(ROWS, before @ turn) == pytest.approx(before @ turn)


def test_positions_move_little_with_a_small_change_of_the_centroids() -> None:
    before = positions(ROWS)
    shaken = ROWS + 0.02 * np.random.default_rng(1).normal(size=ROWS.shape)
    assert abs(positions(shaken, before) - before).max() < 0.1


def test_positions_do_not_move_when_the_space_is_turned() -> None:
    turn, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(40, 40)))
    before = positions(ROWS)
    assert positions(ROWS @ turn, before) == pytest.approx(before)
    assert positions(-ROWS, before) == pytest.approx(before)


@pytest.mark.parametrize("before", [np.zeros((3, 2)), np.full((12, 2), np.nan)])
def test_positions_ignore_an_earlier_layout_that_does_not_fit(before: np.ndarray) -> None:
    assert positions(ROWS, before) == pytest.approx(positions(ROWS))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_positions_exist_for_few_clusters(count: int) -> None:
    plane = positions(ROWS[:count])
    assert plane.shape == (count, 2)
    assert np.isfinite(plane).all()


def test_apart_separates_clusters_on_one_spot() -> None:
    radii = [0.05] * 9
    placed = apart(np.zeros((9, 2)), radii)
    gaps = np.linalg.norm(placed[:, None] - placed[None], axis=2) + np.eye(9)
    assert gaps.min() >= 0.1


def test_apart_leaves_circles_that_do_not_overlap() -> None:
    points = np.array([[0.0, 0.0], [1.0, 0.0]])
    assert apart(points, [0.1, 0.1]) == pytest.approx(points, abs=1e-5)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 6])
@pytest.mark.parametrize("whole", [False, True], ids=["real", "ties"])
def test_assignment_is_the_cheapest_of_all(n: int, whole: bool) -> None:  # noqa: FBT001 - a parameter
    rng = np.random.default_rng(n)
    for _ in range(20):
        costs = rng.integers(0, 4, (n, n)).astype(float) if whole else rng.normal(size=(n, n))
        found = assignment(costs)
        least = min(costs[range(n), order].sum() for order in itertools.permutations(range(n)))
        assert sorted(found.tolist()) == list(range(n))
        assert costs[range(n), found].sum() == pytest.approx(least)


@pytest.mark.parametrize("costs", [np.zeros((2, 3)), np.zeros(4), np.full((2, 2), np.nan)])
def test_assignment_refuses_costs_that_are_no_finite_square(costs: np.ndarray) -> None:
    with pytest.raises(BadInput):
        assignment(costs)


def test_renumbered_gives_a_shuffled_map_its_order_back() -> None:
    made = fit(embeddings(400), facts(400), seed=1)
    order = np.random.default_rng(0).permutation(len(made.centroids))
    shuffled = ContextMap.of(
        {
            "centroids": made.centroids[order],
            "centre": made.centre,
            "axes": made.axes,
            "feature_means": made.feature_means,
            "feature_scales": made.feature_scales,
        }
    )
    assert shuffled.version != made.version
    assert renumbered(shuffled, made).version == made.version


def test_renumbered_leaves_maps_of_other_embeddings_alone() -> None:
    made = fit(embeddings(400), facts(400))
    wider = fit(embeddings(400, width=64), facts(400))
    assert renumbered(made, wider) is made
