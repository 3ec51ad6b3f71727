"""Which arm takes which place, what answers are read, and figures by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny
import told

from bench.cascade.answers import answers_of, open_texts
from bench.cascade.figures import figures, perfect, single, took
from bench.cascade.jobs import Job
from bench.cascade.plans import PlanSpec, Trio, Wanted, by_price, parsed, usual
from bench.cascade.replay import Ran
from bench.cascade.report import markdown
from bench.cascade.summary import tables
from bench.cascade.world import SINGLE, Variant
from bench.routing.figures import Outcomes

QUALITY = np.array([[1.0, 1.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
COST_USD = np.array([[1.0, 10.0]] * 4)
RATE = 0.01
KNOWN = Outcomes(QUALITY, COST_USD, QUALITY - RATE * COST_USD)


@pytest.mark.parametrize(
    ("usd", "wanted", "trio"),
    [
        ((5, 1, 100, 3), Wanted(), Trio("a", "b", "c")),
        ((50, 1, 100, 30), Wanted(), Trio("b", "", "c")),
        ((50, 20, 100, 30), Wanted(), Trio("b", "", "c")),
        ((5, 1, 100, 3), Wanted(first="d"), Trio("d", "b", "c")),
        ((5, 1, 100, 3), Wanted(second="c"), Trio("b", "c", "a")),
        ((5, 1, 100, 3), Wanted(strong="a"), Trio("b", "", "a")),
    ],
)
def test_arms_take_their_places_by_price(
    usd: tuple[float, ...], wanted: Wanted, trio: Trio
) -> None:
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
    found = figures(KNOWN, perfect(KNOWN, 0, 1, "perfect"), RATE)
    assert (found.whole.quality, found.whole.cost_usd) == (1.0, 6.0)
    assert found.whole.reward == pytest.approx(0.94)
    assert found.whole.gain == pytest.approx(0.94 - 0.65)
    assert found.half.gain == pytest.approx(0.94 - 0.49)
    assert (found.escalated, found.kept, found.bad) == (0.5, 0.5, 0.0)


def test_what_was_done_by_hand() -> None:
    """The plan accepts a right and a wrong answer and escalates one; one goes straight up."""
    ran = Ran(
        plan=np.array([2, 2, 2, 1], dtype=np.int8),
        arm=np.array([0, 0, 1, 1], dtype=np.int8),
        cost_usd=np.array([1.0, 1.0, 11.0, 10.0]),
        audit_usd=np.array([0.0, 10.0, 0.0, 0.0]),
        climbed=np.array([False, False, True, False]),
        asked=np.array([False, True, True, False]),
        audited=np.array([False, True, False, False]),
        us=(1.0, 2.0, 3.0, 4.0),
    )
    specs = {"plan": told.plan("learned")}
    found = figures(KNOWN, took(KNOWN, ran, specs, ["small", "large", "plan"]), RATE)
    assert found.whole.quality == 0.5
    assert found.whole.cost_usd == pytest.approx(33 / 4)
    assert found.whole.reward == pytest.approx(0.5 - RATE * 33 / 4)
    assert (found.escalated, found.asked, found.kept) == (0.25, 0.5, 0.5)
    assert (found.bad, found.audited) == (0.5, 0.25)
    assert found.audit == pytest.approx(RATE * 10 / 4)
    assert found.shares == {"plan": 0.75, "large": 0.25}
    # Beside the large arm: quality 1, 1, 0, 1 at 10 USD.
    assert found.advantage.tolist() == pytest.approx([0.09, -1.01, -0.01, 0.0])


def test_seeds_are_drawn_together() -> None:
    variants = [
        Variant("small", SINGLE, fixed="small"),
        Variant("x", SINGLE, (told.plan("rules"),)),
    ]
    runs = [single(KNOWN, 0, "small"), perfect(KNOWN, 0, 1, "plan")]
    done = {
        Job("told", RATE, i, variants[i], seed): figures(KNOWN, runs[i], RATE)
        for seed in range(2)
        for i in range(2)
    }
    (table,) = tables(done, {"told": ("small", "large")})
    small, plan = table.rows
    assert (table.seeds, table.requests) == (2, 4)
    assert small.gain.mean == pytest.approx(0.49 - 0.65)
    assert small.bad is None
    assert plan.bad == plan.worst_bad == 0.0
    text = markdown([table], {"told": 1.0}, "Terms: none.")
    assert "| x | +0.2900 [+0.2900, +0.2900] |" in text
    assert "Plans: plan = small + other > large (rules)." in text
