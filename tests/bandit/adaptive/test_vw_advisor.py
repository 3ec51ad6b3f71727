"""A regressor's advice on a prompt must not rest on that prompt's own outcomes."""

from __future__ import annotations

import numpy as np
import pytest

from bandit.adaptive.vw_advisor import RegressorStart, VwAdvisor
from bandit.context.view import ContextView, ContextViewer
from tests.bandit.streams import SHAPE, VERSION, context

ROWS = np.arange(3)


def adviser(viewer: ContextViewer) -> VwAdvisor:
    return VwAdvisor(RegressorStart(0.5, 0.0, 1.0), SHAPE, 100, viewer.write)


def view(viewer: ContextViewer, seed: int) -> ContextView:
    return viewer.view(context(np.random.default_rng(seed)))


def taught(made: VwAdvisor, viewer: ContextViewer, prompts: range) -> None:
    """Every action on every prompt; action 1 is the good one."""
    for seed in prompts:
        for slot in ROWS.tolist():
            made.learn(view(viewer, seed), slot, float(slot == 1), 1.0)


def test_advisor_learns_outcomes_of_a_prompt_when_another_prompt_comes() -> None:
    viewer = ContextViewer(SHAPE, VERSION)
    made, asked = adviser(viewer), view(viewer, 20)
    taught(made, viewer, range(20))
    made.learn(asked, 0, 1.0, 1.0)
    before = made.advice(asked.text, ROWS)
    made.learn(asked, 1, 0.0, 1.0)
    made.learn(asked, 2, 1.0, 1.0)
    assert before.argmax() == 1
    assert np.array_equal(before, made.advice(asked.text, ROWS))
    made.learn(view(viewer, 21), 0, 0.0, 1.0)
    assert made.advice(asked.text, ROWS)[1] < before[1]


def test_advisor_learns_a_repeated_prompt_when_its_action_comes_again() -> None:
    viewer = ContextViewer(SHAPE, VERSION)
    made, same = adviser(viewer), view(viewer, 0)
    for _ in range(50):
        made.learn(same, 0, 0.0, 1.0)
        made.learn(same, 1, 1.0, 1.0)
    assert len(made.arrays()["waiting"]) == 2
    assert made.advice(same.text, np.array([0, 1]))[1] > 0.2


def test_advisor_snapshot_holds_the_outcomes_that_wait() -> None:
    viewer = ContextViewer(SHAPE, VERSION)
    made, twin = adviser(viewer), adviser(viewer)
    taught(made, viewer, range(10))
    twin.restore(made.arrays(), 3)
    for each in (made, twin):
        taught(each, viewer, range(10, 15))
    for name, array in made.arrays().items():
        assert np.array_equal(array, twin.arrays()[name]), name


@pytest.mark.parametrize("slot", [-1.0, 3.0])
def test_advisor_refuses_a_waiting_outcome_of_an_unknown_slot(slot: float) -> None:
    viewer = ContextViewer(SHAPE, VERSION)
    made = adviser(viewer)
    taught(made, viewer, range(2))
    arrays = made.arrays()
    arrays["waiting"][0, 0] = slot
    with pytest.raises(ValueError, match="of no action"):
        adviser(viewer).restore(arrays, 3)
