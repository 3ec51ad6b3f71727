"""Figures on prompts for which the true figures are known."""

from __future__ import annotations

import numpy as np
import pytest

from router.config import parse_config
from router.gates.format_checks import FormatCheckSettings
from router.learning.plan_results import CallResult, plan_result
from router.tools.calibrate.analysis.calibration import (
    Findings,
    NothingLearned,
    StudySettings,
    absences,
    study,
)
from router.tools.calibrate.analysis.cross_validation import COST_WEIGHTS, cross_validated
from router.tools.calibrate.analysis.frontier import (
    COST,
    QUALITY,
    REWARD,
    Strategy,
    at_quality,
    frontier_rows,
    over_hull,
)
from router.tools.calibrate.analysis.results import (
    PromptResults,
    arm_results,
)
from router.tools.calibrate.report import ReportSection, markdown
from tests.router.tools.calibrate.prompt_sets import (
    CATALOGUE,
    CONFIG,
    UNIT_USD,
    UTILITY,
    case,
    context,
    fresh,
    strategy,
    world,
)

SETTINGS = StudySettings(CATALOGUE, FormatCheckSettings(), UTILITY, fresh, "adaptive", seed=0)


def rows_of(count: int, quality: object) -> list[PromptResults]:
    cases, contexts = world(count, quality)  # type: ignore[arg-type]  # a lambda in each test
    made = []
    for one, where in zip(cases, contexts, strict=True):
        arms = arm_results(one, FormatCheckSettings())
        plans = {name: plan_result(p, arms) for name, p in CATALOGUE.plans.items()}
        made.append(PromptResults(where, {n: r for n, r in plans.items() if r}, arms))
    return made


def test_a_mix_of_arms_saves_nothing_and_a_cheaper_strategy_does() -> None:
    arms = [strategy("a", 0.4, 1.0), strategy("b", 0.8, 3.0)]
    half, better = strategy("half", 0.6, 2.0), strategy("better", 0.6, 1.5)
    found = {
        line.name: line for line in frontier_rows(arms, [half, better], np.random.default_rng(0))
    }
    assert [found[n].saved.mean for n in ("a", "b", "half")] == pytest.approx([0, 0, 0])
    assert found["better"].saved.mean == pytest.approx(0.25)
    assert found["better"].saved.low > 0.2
    assert found["better"].over_best.mean == pytest.approx(-0.2)
    assert found["better"].dearer == pytest.approx(-0.5)
    gap = over_hull(arms, better, np.random.default_rng(0))
    assert gap.mean == pytest.approx(0.1)
    assert 0.09 < gap.low < gap.high < 0.11


def test_intervals_are_bootstrapped_over_prompts() -> None:
    """The mean of n fair coins: about 1.96 / (2 sqrt(n)) to each side."""
    numbers = np.stack([np.repeat([0.0, 1.0], 200), np.ones(400), np.zeros(400)], axis=1)
    line = frontier_rows([Strategy("a", "arm", numbers)], [], np.random.default_rng(0))[0]
    assert 0.085 < line.quality.high - line.quality.low < 0.11
    assert line.quality.low < 0.5 < line.quality.high


def test_the_cost_of_a_quality_is_interpolated_on_the_hull() -> None:
    points = [(1.0, 0.4), (3.0, 0.8), (4.0, 0.7)]
    assert at_quality(points, 0.6) == pytest.approx(2.0)
    assert at_quality(points, 0.9) is None


@pytest.mark.slow
def test_the_policy_beats_every_arm_where_kinds_of_prompts_differ() -> None:
    """Cheap is right in cluster 0 and wrong in 1; the gate sees no difference."""
    rows = rows_of(200, lambda cluster, arm, _: float(arm == "strong" or cluster == 0))
    first = cross_validated(fresh, rows, CATALOGUE.plans, UTILITY, np.random.default_rng(0))[0]
    quality, cost_usd, reward = first.numbers.mean(axis=0)
    assert quality > 0.93
    assert cost_usd < 0.008
    assert reward > max(0.5 - 0.01, 1 - 0.1)
    assert sum(first.shares.values()) == pytest.approx(1)


@pytest.mark.slow
def test_a_cross_validated_policy_gains_nothing_on_noise() -> None:
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
    return study(cases, contexts, [{}] * len(cases), SETTINGS)


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


def test_the_recommended_config_is_accepted_by_the_service() -> None:
    advice = found().advice
    assert advice is not None
    config = parse_config(CONFIG + advice.snippet, "merged.yaml", {})
    assert config.policy.weights.cost == advice.cost_weight
    assert config.policy.cost_unit_usd == UNIT_USD
    assert tuple(config.plans) == advice.plans
    assert set(advice.plans) >= {"strong"}


@pytest.mark.slow
def test_no_cost_weight_is_tried_twice() -> None:
    rows = rows_of(40, lambda cluster, arm, _: float(arm == "strong" or cluster == 0))
    made = cross_validated(fresh, rows, CATALOGUE.plans, UTILITY, np.random.default_rng(0))
    weights = [t.cost_weight for t in made]
    assert weights[0] == UTILITY.weights.cost
    assert sorted(weights) == sorted({UTILITY.weights.cost, *COST_WEIGHTS})


def test_few_prompts_train_a_policy_without_figures() -> None:
    cases, contexts = world(4, lambda *_: 1.0)
    findings = study(cases, contexts, [{}] * len(cases), SETTINGS)
    assert findings.advice is None
    assert "too few" in findings.sections[0].notes[0]
    assert findings.policy.learned == 12


def test_no_score_at_all_is_an_error() -> None:
    cases = [case(i, {"cheap": None, "strong": None}) for i in range(20)]
    with pytest.raises(NothingLearned, match="--judge"):
        study(cases, [context(0)] * 20, [{}] * 20, SETTINGS)
    assert absences(cases) == ({}, {"cheap: ": 20, "strong: ": 20})


def test_equal_results_and_free_arms_still_give_figures() -> None:
    cases, contexts = world(40, lambda *_: 1.0)
    assert len(study(cases, contexts, [{}] * len(cases), SETTINGS).sections) == 4
    free = Strategy("a", "arm", np.zeros((10, 3)))
    line = frontier_rows([free], [free], np.random.default_rng(0))[1]
    assert (line.saved.mean, line.dearer) == (0.0, None)


def test_marks_in_a_prompt_are_escaped_in_markdown() -> None:
    section = ReportSection("T", ("n",), ("a", "b"), (("x | y", "<b>`*"),), code="k: v\n")
    text = markdown([section])
    assert "| x \\| y | \\<b>\\`\\* |" in text
    assert "```yaml\nk: v\n```" in text


def test_utility_equals_the_reward_of_the_service() -> None:
    result = CallResult(0.8, 0.02, 5_000.0, failed=True)
    assert UTILITY.reward(result) == pytest.approx(0.8 - 0.1 * 2 - 0.5)
    assert REWARD == 2
