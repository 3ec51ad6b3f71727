"""Parts of gates: scales, shared labels, values of steps, running shares."""

from __future__ import annotations

import numpy as np
import pytest
from answers import seen

from bandit.gates.heads import LEAST_SCALE, ColumnScales
from bandit.gates.learned import shared_labels
from bandit.gates.types import GateExample, Step
from bandit.gates.values import Beliefs, LabelTally, StepTerms, after, before


def test_column_scales_are_standard_deviations_but_never_tiny() -> None:
    scales, x = ColumnScales(2), np.random.default_rng(5).normal([5.0, 1.0], [2.0, 0.0], (500, 2))
    for row in x:
        scales.add(row)
    assert scales.values == pytest.approx([x[:, 0].std(), LEAST_SCALE], rel=0.02)


@pytest.mark.parametrize(
    ("agreement", "first", "second", "labels"),
    [
        (1.0, 1.0, None, (1.0, 1.0)),
        (1.0, None, 0.0, (0.0, 0.0)),
        (0.0, 1.0, None, (1.0, 0.0)),
        (0.0, None, 1.0, (0.0, 1.0)),
        (0.0, 0.0, None, (0.0, 0.5)),
        (0.0, None, 0.0, (0.75, 0.0)),
        (0.0, 0.0, 0.0, (0.0, 0.0)),
        (0.0, None, None, (None, None)),
        (0.9, 1.0, None, (1.0, None)),
        (None, 1.0, None, (1.0, None)),
    ],
)
def test_shared_labels_infer_one_answers_label_from_the_others(
    agreement: float | None,
    first: float | None,
    second: float | None,
    labels: tuple[float | None, float | None],
) -> None:
    lesson = GateExample(seen(np.random.default_rng(6), agreement), first, second)
    assert shared_labels(lesson, np.array([0.6, 0.2, 0.9])) == pytest.approx(labels)


def _beliefs(first: list[float], second: list[float], strong: list[float], agree: float) -> Beliefs:
    return Beliefs(np.array([first]), np.array([second]), np.array([strong]), np.array([agree]))


def test_value_of_asking_is_that_of_the_best_step_after_it() -> None:
    beliefs = _beliefs([0.9, 0.3], [0.9, 0.4], [0.95, 0.8], 0.75)
    values = before(beliefs, StepTerms(quality=1.0, ask=0.01, escalate=0.2))
    assert values[Step.ACCEPT] == pytest.approx(0.75 * 0.9 + 0.25 * 0.3)
    assert values[Step.ESCALATE] == pytest.approx(0.75 * 0.95 + 0.25 * 0.8 - 0.2)
    assert values[Step.ASK] == pytest.approx(0.75 * 0.9 + 0.25 * 0.6 - 0.01)


def test_value_of_an_opinion_that_changes_nothing_is_below_its_cost() -> None:
    beliefs = _beliefs([0.9, 0.9], [0.5, 0.5], [0.95, 0.95], 0.6)
    values = before(beliefs, StepTerms(quality=1.0, ask=0.01, escalate=0.2))
    assert values[Step.ASK] - values[Step.ACCEPT] < 0


def test_values_after_equal_answers_average_their_estimates() -> None:
    beliefs = _beliefs([0.8], [0.9], [0.95], 0.6)
    assert after(beliefs, StepTerms(1.0, None, None), same=True) == {
        Step.ACCEPT: pytest.approx(0.85)
    }
    assert after(beliefs, StepTerms(2.0, None, 0.5), same=False) == {
        Step.ACCEPT: pytest.approx(1.6),
        Step.SECOND: pytest.approx(1.8),
        Step.ESCALATE: pytest.approx(1.4),
    }


def test_label_tally_keeps_agreeing_and_differing_answers_apart() -> None:
    tally, rng = LabelTally(), np.random.default_rng(7)
    for agree in (True, False):
        for _ in range(400):
            lesson = GateExample(seen(rng), float(agree), None, 1.0, 2.0)
            tally.add(lesson, agree=agree)
    assert tally.beliefs(agree=True).first == pytest.approx(np.array([[1.0]]), abs=0.02)
    assert tally.beliefs(agree=False).first == pytest.approx(np.array([[0.0]]), abs=0.02)
    assert tally.beliefs(agree=None).first.shape == (1, 2)
    assert tally.agree_share == pytest.approx(0.5, abs=0.01)
    assert tally.cost_ratio == pytest.approx(2.0, abs=0.02)
