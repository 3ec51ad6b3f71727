"""Gains, hulls and summaries against values by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bench.experiments.routing.command import routing_figures
from bench.experiments.routing.report import RECOVERED, TIMES, markdown
from bench.lab.figures import Figures, Outcomes, compare, score
from bench.lab.jobs import Job
from bench.lab.replay import ReplayRun
from bench.lab.report import runs_csv
from bench.lab.setup import Variant

QUALITY = np.array([[0.0, 1.0], [1.0, 1.0], [0.0, 1.0], [1.0, 1.0]])
COST_USD = np.array([[1.0, 3.0]] * 4)
KNOWN = Outcomes(QUALITY, COST_USD, QUALITY - 0.1 * COST_USD / 2)
NAMES = ("small", "large")


def found(*chosen: int, known: Outcomes = KNOWN) -> Figures:
    """Figures of a run that chose these arms, with estimates that are the same every time."""
    worth = np.array([[0, 1], [0, 1], [0, 0.9], [0, 0.1]], dtype=np.float32)
    arm, none = np.array(chosen, dtype=np.int8), np.zeros(4, dtype=bool)
    plan = tuple(NAMES[i] for i in chosen)
    run = ReplayRun(
        *(plan, arm, worth, np.zeros(4), np.zeros(4), none, none, none), us=(1.0, 2.0, 3.0, 0.0)
    )
    return routing_figures(known, run, NAMES)


def test_a_part_by_hand() -> None:
    """The large arm: quality 1 at 3 USD, reward .85. The hull at 2 USD is .75."""
    result = score(KNOWN, KNOWN.of(np.array([1, 0, 1, 0])))
    assert (result.quality, result.cost_usd) == (1.0, 2.0)
    assert result.reward == pytest.approx(0.9)
    assert result.gain == pytest.approx(0.05)
    assert result.above_hull == pytest.approx(0.25)


def test_the_best_fixed_arm_neither_gains_nor_leaves_the_hull() -> None:
    result = found(1, 1, 1, 1)
    assert result.whole.gain == result.half.gain == 0
    assert result.whole.above_hull == 0
    assert result.shares == {"small": 0.0, "large": 1.0}
    assert result.advantage.tolist() == [0.0] * 4


def test_the_half_is_the_second_one_and_the_oracle_is_the_best_per_row() -> None:
    result = found(0, 1, 1, 0)
    assert result.half.reward == pytest.approx(0.9)
    assert result.whole.gain == pytest.approx(-0.2)
    assert result.oracle.reward == pytest.approx(0.9)
    assert [arm.quality for arm in result.arms] == [0.5, 1.0]
    assert result.measures["apgr"] == pytest.approx(0.75)
    assert result.measures["cpt50"] == pytest.approx(0.25)


def test_arms_of_equal_quality_leave_nothing_to_recover() -> None:
    equal = Outcomes(np.ones((4, 2)), COST_USD, np.ones((4, 2)) - COST_USD)
    assert set(found(0, 1, 1, 0, known=equal).measures.values()) == {None}


def test_differences_are_taken_seed_by_seed() -> None:
    """The second policy is .05 better on one seed and .1 worse on the other."""
    runs = {(0, 0): (1, 1, 1, 1), (0, 1): (1, 0, 1, 0), (1, 0): (1, 0, 1, 1), (1, 1): (1, 1, 1, 1)}
    variants = [Variant(name, name) for name in ("adaptive", "squarecb")]
    done = {
        Job("tiny", 0.1, i, variants[i], seed): found(*chosen) for (i, seed), chosen in runs.items()
    }
    (table,) = compare(done, {"tiny": NAMES})
    first, second = table.rows
    assert (table.seeds, table.requests) == (2, 4)
    assert first.versus is None
    assert second.versus is not None
    assert second.versus.mean == pytest.approx((0.025 - 0.05) / 2)
    assert (second.versus.low, second.versus.high) == pytest.approx((-0.05, 0.025))
    assert first.gain.mean == pytest.approx(0.025)
    assert (first.worst, second.worst) == pytest.approx((0.0, 0.0))
    assert second.score.quality == 1.0
    text = markdown([table], {"tiny": 2.0}, {"tiny": "A map."}, "Terms: none.")
    assert "| squarecb | +0.0125 [+0.0000, +0.0250] |" in text
    assert "one unit of cost is 2 USD. small 0.500 @ 1 USD; large 1.000 @ 3 USD" in text
    lines = runs_csv(done, "policy", RECOVERED, TIMES).splitlines()
    assert len(lines) == 5
    assert lines[2].endswith("1.0,2.0,3.0,small=0.5000 large=0.5000")
