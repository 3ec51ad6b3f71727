"""A regressor learns and predicts what a plain workspace does, whatever it leaves out of it."""

from __future__ import annotations

import numpy as np
import pytest
from vowpalwabbit import Workspace

from bandit.models.vowpal_wabbit import MORE, ContextText, Regressor
from bandit.settings import ContextShape

SHAPE = ContextShape(clusters=4, axes=3, features=2)
OPTIONS = (
    "--quiet --interactions ac --interactions ae --interactions ap -b 18 -l 0.1 "
    "--min_prediction 0 --max_prediction 1"
)


def texts(count: int) -> list[str]:
    rng, writer = np.random.default_rng(0), ContextText(SHAPE)
    rows = np.concatenate([rng.random((count, SHAPE.total)), np.zeros((count, MORE))], axis=1)
    return [writer.write(row) for row in rows]


def test_a_regressor_predicts_what_a_workspace_does() -> None:
    regressor, workspace = Regressor(initial=0.75, low=0.0, high=1.0), Workspace(OPTIONS)
    rng = np.random.default_rng(1)
    for step, text in enumerate(texts(120)):
        slot, y = step % 3, float(f"{rng.random():.6g}")
        regressor.learn(text, slot, y, 0.5)
        workspace.learn(f"{y} 0.5 0.75 |a {slot} {text}")
    for text in texts(10):
        expected = [workspace.predict(f"0 0 0.75 |a {slot} {text}") for slot in (0, 2, 7)]
        assert regressor.predict(text, [0, 2, 7]) == pytest.approx(expected, abs=1e-7)


def test_predictions_leave_the_model_as_it_was() -> None:
    asked, silent = (Regressor(initial=0.75, low=0.0, high=1.0) for _ in range(2))
    for text in texts(40):
        asked.predict(text, [0, 1, 5])
        for one in (asked, silent):
            one.learn(text, 1, 0.25, 1.0)
    assert asked.save() == silent.save()
