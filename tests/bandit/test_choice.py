"""Choices from preferences: floors, cold starts, caution."""

from __future__ import annotations

import doctest
import importlib

import numpy as np
import pytest

from bandit.choice import (
    AFFORDED,
    BOLD,
    LEAST_FLOOR,
    cautious,
    cold_start,
    count_best,
    draw_widths,
    floors,
    with_floor,
)


@pytest.mark.parametrize(
    "module", ["bandit.context.features", "bandit.choice", "bandit.models.vowpal_wabbit"]
)
def test_the_examples_in_docstrings_hold(module: str) -> None:
    result = doctest.testmod(importlib.import_module(module))
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize("k", [1, 2, 12, 256])
def test_with_floor_leaves_a_distribution(k: int) -> None:
    certain = [1.0, *[0.0] * (k - 1)]
    floored = with_floor(certain, [0.002] * k)
    assert sum(floored) == pytest.approx(1, abs=1e-12)
    assert min(floored) >= min(0.002, 0.5 / k) - 1e-15
    assert floored[0] >= 0.5


def test_cold_start_gives_a_newcomer_a_share_not_everything() -> None:
    settled = np.array([0.1, 0.5, 0.4])
    mature = np.array([500.0, 500.0, 0.0])
    shares = cold_start(settled, mature, mature, 5, preferred=0)
    assert shares.sum() == pytest.approx(1)
    assert shares[2] == pytest.approx(0.05)
    assert shares[1] == pytest.approx(5 * shares[0])


def test_cold_start_gives_a_promising_newcomer_no_more() -> None:
    mature = np.array([500.0, 500.0, 0.0])
    shares = cold_start(np.array([0.0, 0.0, 1.0]), mature, mature, 5, preferred=None)
    assert shares == pytest.approx([0.475, 0.475, 0.05])


def test_cold_start_divides_one_share_among_many_newcomers() -> None:
    judged = np.append(np.full(10, 100.0), np.zeros(30))
    shares = cold_start(np.eye(40)[0], judged, judged, 5, preferred=None)
    assert shares[10:].sum() == pytest.approx(0.4)
    assert shares[0] == pytest.approx(0.6)


def test_cold_start_without_a_preference_is_uniform_over_the_young() -> None:
    judged = np.array([5.0, 1.0, 0.0])
    shares = cold_start(np.array([1.0, 0.0, 0.0]), judged, judged, 5, preferred=None)
    assert shares.tolist() == [0.0, 0.5, 0.5]


def test_cautious_gives_way_to_evidence() -> None:
    judged = np.array([0.0, 25.0, 50.0])
    settled = np.array([0.2, 0.4, 0.4])
    assert cautious(settled, judged, 0, 50.0) == pytest.approx([0.4, 0.2, 0.4])
    assert cautious(settled, judged, 2, 50.0) == pytest.approx([0.0, 0.2, 0.8])
    assert cautious(np.array([0.0, 1.0, 0.0]), np.zeros(3), 0, 50.0).tolist() == [1.0, 0.0, 0.0]
    later = np.array([249.0, 1.0, 0.0])
    assert cautious(settled, later, 0, 50.0).tolist() == settled.tolist()


def test_floors_cost_the_same_however_far_behind_an_action_is() -> None:
    behind = np.array([0.0, AFFORDED, 3 * AFFORDED, 9 * AFFORDED])
    found = np.array(floors(0.001, (0.9 - behind).tolist()))
    assert found[0] == pytest.approx(0.001)
    assert (found * behind)[1:] == pytest.approx(0.001 * AFFORDED)
    assert floors(0.001, [0.0, -1e9])[1] == pytest.approx(0.001 * LEAST_FLOOR)


def test_draw_widths_start_wide_and_narrow_with_outcomes_and_actions() -> None:
    assert draw_widths([0.0] * 20) == pytest.approx([BOLD] * 20)
    assert draw_widths([1e9] * 5) == pytest.approx([1.0] * 5)
    assert draw_widths([1e9] * 20) == pytest.approx([0.5] * 20)


def test_two_actions_are_counted_as_many_are() -> None:
    drawn = np.array([[0.3, 0.2], [0.1, 0.2], [0.2, 0.2], [-np.inf, 0.1], [-np.inf, -np.inf]])
    alone = np.append(drawn, np.full((5, 1), -np.inf), axis=1)
    assert count_best(drawn).tolist() == count_best(alone)[:2].tolist() == [0.6, 0.4]
