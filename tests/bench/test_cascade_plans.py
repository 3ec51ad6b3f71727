"""Which arm takes which place, what answers are read, and figures by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny
import told

from bench.experiments.cascade.plans import SINGLE, Trio, by_price, parsed, usual
from bench.experiments.cascade.replays import (
    answers_of,
    cascade_figures,
    open_texts,
    perfect_gate,
    single_arm,
)
from bench.experiments.cascade.report import markdown
from bench.lab.figures import Outcomes, compare
from bench.lab.jobs import Job
from bench.lab.replay import ReplayRun
from bench.lab.setup import PlanSpec, Variant

QUALITY = np.array([[1.0, 1.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
COST_USD = np.array([[1.0, 10.0]] * 4)
RATE = 0.01
KNOWN = Outcomes(QUALITY, COST_USD, QUALITY - RATE * COST_USD)


@pytest.mark.parametrize(
    ("usd", "wanted", "trio"),
    [
        ((5, 1, 100, 3), Trio(), Trio("a", "b", "c")),
        ((50, 1, 100, 30), Trio(), Trio("b", "", "c")),
        ((50, 20, 100, 30), Trio(), Trio("b", "", "c")),
        ((5, 1, 100, 3), Trio(first="d"), Trio("d", "b", "c")),
        ((5, 1, 100, 3), Trio(second="c"), Trio("b", "c", "a")),
        ((5, 1, 100, 3), Trio(strong="a"), Trio("b", "", "a")),
    ],
)
def test_arms_take_their_places_by_price(usd: tuple[float, ...], wanted: Trio, trio: Trio) -> None:
    assert by_price(("a", "b", "c", "d"), usd, wanted) == trio


def test_plans_without_a_second_arm_ask_nobody() -> None:
    assert [p.name for p in usual(Trio("a", "", "c"), read=True)] == ["rules", "learned-alone"]
    assert [p.name for p in usual(Trio("a", "b", "c"), read=False)] == ["rules"]


def test_a_plan_as_it_is_written() -> None:
    arms = ("a", "b", "c")
    assert parsed("x=a+b>c", arms) == PlanSpec("x", "a", "c", "b", "learned")
    assert parsed("x=a>c:rules", arms) == PlanSpec("x", "a", "c", "", "rules")


def test_short_answers_stand_in_for_texts(tmp_path: Path) -> None:
    columns = told.columns(8)
    columns["text_small"][3] = None
    columns["ans_large"][5] = None
    data = told.stream(tiny.write(tmp_path / "told.parquet", columns), 4).data
    answers = answers_of(data, "told.parquet")
    assert answers["small"][0] == columns["text_small"][0]
    assert answers["small"][3] == columns["ans_small"][3]
    assert answers["large"][:2] == tuple(columns["ans_large"][:2])
    assert answers["large"][5] == ""


def test_only_open_answers_are_embedded(tmp_path: Path) -> None:
    columns = told.columns(8)
    columns["prompt"][1] = "Write of the sea."
    columns["text_small"][1], columns["text_other"][1] = "Waves come in.", "x " * 3_000
    data = told.stream(tiny.write(tmp_path / "told.parquet", columns), 4).data
    found = open_texts(data, answers_of(data, "told.parquet"), [("small", "other")])
    assert found == ["Waves come in.", ("x " * 3_000)[:2_000]]


def test_a_perfect_gate_by_hand() -> None:
    """Right, wrong, right, wrong: two are escalated, and cost 1 + 10."""
    found = cascade_figures(KNOWN, perfect_gate(KNOWN, 0, 1, "perfect"), {"perfect"}, RATE)
    assert (found.whole.quality, found.whole.cost_usd) == (1.0, 6.0)
    assert found.whole.reward == pytest.approx(0.94)
    assert found.whole.gain == pytest.approx(0.94 - 0.65)
    assert found.half.gain == pytest.approx(0.94 - 0.49)
    wanted = {"escalated": 0.5, "asked": 0.0, "cheap_served": 0.5, "bad": 0.0}
    assert found.measures == wanted | {"audited": 0.0, "audit_cost": 0.0}


def test_what_was_done_by_hand() -> None:
    """The plan accepts a right and a wrong answer and escalates one; one goes straight up."""
    run = ReplayRun(
        plan=("plan", "plan", "plan", "large"),
        arm=np.array([0, 0, 1, 1], dtype=np.int8),
        worth=np.zeros((4, 2), dtype=np.float32),
        cost_usd=np.array([1.0, 1.0, 11.0, 10.0]),
        audit_usd=np.array([0.0, 10.0, 0.0, 0.0]),
        escalated=np.array([False, False, True, False]),
        asked=np.array([False, True, True, False]),
        audited=np.array([False, True, False, False]),
        us=(1.0, 2.0, 3.0, 4.0),
    )
    found = cascade_figures(KNOWN, run, {"plan"}, RATE)
    assert found.whole.quality == 0.5
    assert found.whole.cost_usd == pytest.approx(33 / 4)
    assert found.whole.reward == pytest.approx(0.5 - RATE * 33 / 4)
    assert found.measures == {
        "escalated": 0.25,
        "asked": 0.5,
        "cheap_served": 0.5,
        "bad": 0.5,
        "audited": 0.25,
        "audit_cost": pytest.approx(RATE * 10 / 4),
    }
    assert found.shares == {"plan": 0.75, "large": 0.25}
    # Beside the large arm: quality 1, 1, 0, 1 at 10 USD.
    assert found.advantage.tolist() == pytest.approx([0.09, -1.01, -0.01, 0.0])


def test_seeds_are_summarized_together() -> None:
    variants = [
        Variant("small", SINGLE),
        Variant("x", SINGLE, plans=(told.plan("rules"),)),
    ]
    runs = [single_arm(KNOWN, 0, "small"), perfect_gate(KNOWN, 0, 1, "plan")]
    done = {
        Job("told", RATE, i, variants[i], seed): cascade_figures(KNOWN, runs[i], {"plan"}, RATE)
        for seed in range(2)
        for i in range(2)
    }
    (table,) = compare(done, {"told": ("small", "large")})
    small, plan = table.rows
    assert (table.seeds, table.requests) == (2, 4)
    assert small.gain.mean == pytest.approx(0.49 - 0.65)
    assert small.measures["bad"] == []
    assert plan.measures["bad"] == [0.0, 0.0]
    text = markdown([table], {"told": 1.0}, [str(told.plan("rules"))], "Terms: none.")
    assert "| x | +0.2900 [+0.2900, +0.2900] |" in text
    assert "Plans: plan = small + other > large (rules)." in text
