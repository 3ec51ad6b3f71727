"""Gains, hulls and summaries against values by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bench.routing.figures import Outcomes, figures, part
from bench.routing.jobs import Job
from bench.routing.replay import Ran
from bench.routing.report import markdown, runs_csv
from bench.routing.summary import tables
from bench.routing.world import Variant

QUALITY = np.array([[0.0, 1.0], [1.0, 1.0], [0.0, 1.0], [1.0, 1.0]])
COST_USD = np.array([[1.0, 3.0]] * 4)
KNOWN = Outcomes(QUALITY, COST_USD, QUALITY - 0.1 * COST_USD / 2)
NO_TIME = (1.0, 2.0, 3.0)


def ran(*chosen: int) -> Ran:
    expected = np.array([[0, 1], [0, 1], [0, 0.9], [0, 0.1]], dtype=np.float32)
    return Ran(np.array(chosen, dtype=np.int8), expected, NO_TIME)


def test_a_part_by_hand() -> None:
    """The large arm: quality 1 at 3 USD, reward .85. The hull at 2 USD is .75."""
    found = part(KNOWN, np.array([1, 0, 1, 0]))
    assert (found.quality, found.cost_usd) == (1.0, 2.0)
    assert found.reward == pytest.approx(0.9)
    assert found.gain == pytest.approx(0.05)
    assert found.above_hull == pytest.approx(0.25)


def test_the_best_fixed_arm_neither_gains_nor_leaves_the_hull() -> None:
    found = figures(KNOWN, ran(1, 1, 1, 1))
    assert found.whole.gain == found.half.gain == 0
    assert found.whole.above_hull == 0
    assert found.shares.tolist() == [0.0, 1.0]
    assert found.advantage.tolist() == [0.0] * 4


def test_the_half_is_the_second_one_and_the_oracle_is_the_best_per_row() -> None:
    found = figures(KNOWN, ran(0, 1, 1, 0))
    assert found.half.reward == pytest.approx(0.9)
    assert found.whole.gain == pytest.approx(-0.2)
    assert found.oracle.reward == pytest.approx(0.9)
    assert [arm.quality for arm in found.arms] == [0.5, 1.0]
    assert found.recovered is not None
    assert found.recovered.apgr == pytest.approx(0.75)
    assert found.recovered.cpt50 == pytest.approx(0.25)


def test_arms_of_equal_quality_leave_nothing_to_recover() -> None:
    equal = Outcomes(np.ones((4, 2)), COST_USD, np.ones((4, 2)) - COST_USD)
    assert figures(equal, ran(0, 1, 1, 0)).recovered is None


def test_differences_are_taken_seed_by_seed() -> None:
    """The second policy is .05 better on one seed and .1 worse on the other."""
    runs = {(0, 0): (1, 1, 1, 1), (0, 1): (1, 0, 1, 0), (1, 0): (1, 0, 1, 1), (1, 1): (1, 1, 1, 1)}
    variants = [Variant(name, name) for name in ("adaptive", "squarecb")]
    done = {
        Job("tiny", 0.1, i, variants[i], seed): figures(KNOWN, ran(*chosen))
        for (i, seed), chosen in runs.items()
    }
    (table,) = tables(done, {"tiny": ("small", "large")})
    first, second = table.rows
    assert (table.seeds, table.requests) == (2, 4)
    assert first.versus is None
    assert second.versus is not None
    assert second.versus.mean == pytest.approx((0.025 - 0.05) / 2)
    assert (second.versus.low, second.versus.high) == pytest.approx((-0.05, 0.025))
    assert first.gain.mean == pytest.approx(0.025)
    assert (first.worst, second.worst) == pytest.approx((0.0, 0.0))
    assert second.point.quality == 1.0
    text = markdown([table], {"tiny": 2.0}, {"tiny": "A map."}, "Terms: none.")
    assert "| squarecb | +0.0125 [+0.0000, +0.0250] |" in text
    assert "one unit of cost is 2 USD. small 0.500 @ 1 USD; large 1.000 @ 3 USD" in text
    lines = runs_csv(done, {"tiny": ("small", "large")}).splitlines()
    assert len(lines) == 5
    assert lines[2].endswith("1.0,2.0,3.0,small=0.5000 large=0.5000")
