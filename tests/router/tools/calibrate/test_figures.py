"""The figures on worlds of which is known what they must be."""

from __future__ import annotations

import numpy as np
import pytest

from router.config import parse_config
from router.gates.format_checks import FormatCheckSettings
from router.tools.calibrate.analysis.calibration import Findings, Study, absences, study
from router.tools.calibrate.analysis.cross_validation import COST_WEIGHTS, cross_validated
from router.tools.calibrate.analysis.frontier import (
    COST,
    QUALITY,
    REWARD,
    Way,
    at_quality,
    lines,
    over_hull,
)
from router.tools.calibrate.analysis.results import Result, arm_results, plan_result
from router.tools.calibrate.analysis.training import Row
from router.tools.calibrate.errors import NothingLearned
from router.tools.calibrate.report import Section, markdown
from tests.router.tools.calibrate.worlds import (
    CATALOGUE,
    CONFIG,
    UNIT_USD,
    UTILITY,
    case,
    context,
    fresh,
    way,
    world,
)

HOW = Study(CATALOGUE, FormatCheckSettings(), UTILITY, fresh, "adaptive", seed=0)


def rows_of(count: int, quality: object) -> list[Row]:
    cases, contexts = world(count, quality)  # type: ignore[arg-type]  # a lambda in each test
    made = []
    for one, where in zip(cases, contexts, strict=True):
        arms = arm_results(one, FormatCheckSettings())
        plans = {name: plan_result(p, arms) for name, p in CATALOGUE.plans.items()}
        made.append(Row(where, {n: r for n, r in plans.items() if r}, arms))
    return made


def test_a_mix_of_arms_saves_nothing_and_less_cost_for_its_quality_does() -> None:
    arms = [way("a", 0.4, 1.0), way("b", 0.8, 3.0)]
    half, better = way("half", 0.6, 2.0), way("better", 0.6, 1.5)
    found = {line.name: line for line in lines(arms, [half, better], np.random.default_rng(0))}
    assert [found[n].saved.mean for n in ("a", "b", "half")] == pytest.approx([0, 0, 0])
    assert found["better"].saved.mean == pytest.approx(0.25)
    assert found["better"].saved.low > 0.2
    assert found["better"].over_best.mean == pytest.approx(-0.2)
    assert found["better"].dearer == pytest.approx(-0.5)
    gap = over_hull(arms, better, np.random.default_rng(0))
    assert gap.mean == pytest.approx(0.1)
    assert 0.09 < gap.low < gap.high < 0.11


def test_intervals_are_those_of_prompts() -> None:
    """The mean of n fair coins: about 1.96 / (2 sqrt(n)) to each side."""
    numbers = np.stack([np.repeat([0.0, 1.0], 200), np.ones(400), np.zeros(400)], axis=1)
    line = lines([Way("a", "arm", numbers)], [], np.random.default_rng(0))[0]
    assert 0.085 < line.quality.high - line.quality.low < 0.11
    assert line.quality.low < 0.5 < line.quality.high


def test_the_cost_of_a_quality_is_mixed_from_its_neighbours() -> None:
    points = [(1.0, 0.4), (3.0, 0.8), (4.0, 0.7)]
    assert at_quality(points, 0.6) == pytest.approx(2.0)
    assert at_quality(points, 0.9) is None


@pytest.mark.slow
def test_where_kinds_of_prompts_differ_the_policy_beats_every_arm() -> None:
    """Cheap is right in cluster 0 and wrong in 1; the gate sees no difference."""
    rows = rows_of(200, lambda cluster, arm, _: float(arm == "strong" or cluster == 0))
    first = cross_validated(fresh, rows, CATALOGUE.plans, UTILITY, np.random.default_rng(0))[0]
    quality, cost_usd, reward = first.numbers.mean(axis=0)
    assert quality > 0.93
    assert cost_usd < 0.008
    assert reward > max(0.5 - 0.01, 1 - 0.1)
    assert sum(first.shares.values()) == pytest.approx(1)


@pytest.mark.slow
def test_a_policy_is_not_judged_on_what_it_was_trained_on() -> None:
    """Qualities are coins: whoever does better than a coin has seen them before."""
    rows = rows_of(300, lambda _cluster, _arm, rng: float(rng.random() < 0.5))
    first = cross_validated(fresh, rows, CATALOGUE.plans, UTILITY, np.random.default_rng(0))[0]
    assert abs(first.numbers[:, QUALITY].mean() - 0.5) < 0.1


@pytest.mark.slow
def test_a_higher_cost_weight_never_buys_dearer_answers() -> None:
    rows = rows_of(200, lambda cluster, arm, _: 0.9 if arm == "strong" else 0.8 - 0.3 * cluster)
    weights = cross_validated(fresh, rows, CATALOGUE.plans, UTILITY, np.random.default_rng(0))[1:]
    costs = [t.numbers[:, COST].mean() for t in weights]
    assert costs == sorted(costs, reverse=True)
    assert costs[-1] < 0.5 * costs[0]


def found(count: int = 100) -> Findings:
    cases, contexts = world(count, lambda cluster, arm, _: float(arm == "strong" or cluster == 0))
    return study(cases, contexts, [{}] * len(cases), HOW)


def test_the_report_shows_frontier_weights_map_and_config() -> None:
    findings = found()
    assert findings.complete == 100
    assert findings.policy.learned == 100 * len(CATALOGUE.plans)
    titles = [section.title for section in findings.sections]
    assert titles == [
        "The frontier on these prompts",
        "What a cost weight buys",
        "The map",
        "Recommended config",
    ]
    frontier, _, land, _ = findings.sections
    assert [row[0] for row in frontier.rows] == [
        "arm cheap",
        "arm strong",
        "plan ladder",
        "policy adaptive (cost weight 0.1)",
    ]
    assert [row[2] for row in land.rows] == ["cheap", "strong"]
    assert {"equation", "solve"} <= set(land.rows[0][-2].split(", "))
    assert "glacier" in land.rows[1][-2]
    assert all(len(row) == len(s.columns) for s in findings.sections for row in s.rows)


def test_the_recommended_config_is_one_that_the_service_takes() -> None:
    advice = found().advice
    assert advice is not None
    config = parse_config(CONFIG + advice.snippet, "merged.yaml", {})
    assert config.policy.weights.cost == advice.cost_weight
    assert config.policy.cost_unit_usd == UNIT_USD
    assert tuple(config.plans) == advice.plans
    assert set(advice.plans) >= {"strong"}


@pytest.mark.slow
def test_no_weight_is_tried_twice() -> None:
    rows = rows_of(40, lambda cluster, arm, _: float(arm == "strong" or cluster == 0))
    made = cross_validated(fresh, rows, CATALOGUE.plans, UTILITY, np.random.default_rng(0))
    weights = [t.cost_weight for t in made]
    assert weights[0] == UTILITY.weights.cost
    assert sorted(weights) == sorted({UTILITY.weights.cost, *COST_WEIGHTS})


def test_few_prompts_teach_but_give_no_figures() -> None:
    cases, contexts = world(4, lambda *_: 1.0)
    findings = study(cases, contexts, [{}] * len(cases), HOW)
    assert findings.advice is None
    assert "too few" in findings.sections[0].notes[0]
    assert findings.policy.learned == 12


def test_nothing_scored_is_an_error_that_says_what_to_do() -> None:
    cases = [case(i, {"cheap": None, "strong": None}) for i in range(20)]
    with pytest.raises(NothingLearned, match="--judge"):
        study(cases, [context(0)] * 20, [{}] * 20, HOW)
    assert absences(cases) == ({}, {"cheap: ": 20, "strong: ": 20})


def test_equal_outcomes_and_free_arms_break_nothing() -> None:
    cases, contexts = world(40, lambda *_: 1.0)
    assert len(study(cases, contexts, [{}] * len(cases), HOW).sections) == 4
    free = Way("a", "arm", np.zeros((10, 3)))
    line = lines([free], [free], np.random.default_rng(0))[1]
    assert (line.saved.mean, line.dearer) == (0.0, None)


def test_markdown_is_not_ended_by_what_stands_in_it() -> None:
    section = Section("T", ("n",), ("a", "b"), (("x | y", "<b>`*"),), code="k: v\n")
    text = markdown([section])
    assert "| x \\| y | \\<b>\\`\\* |" in text
    assert "```yaml\nk: v\n```" in text


def test_rewards_are_those_of_the_service() -> None:
    result = Result(0.8, 0.02, 5_000.0, failed=True)
    assert UTILITY.reward(result) == pytest.approx(0.8 - 0.1 * 2 - 0.5)
    assert REWARD == 2
