"""Forests predict what their trees do, and refuse damaged arrays."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from streams import SETTINGS, VERSION, actions, context, outcome

from bandit import Context, Policy, Weights, load_policy, make_policy
from bandit.models.forest import Forest
from bandit.models.forest_training import ForestSpec, fit_forest

SPEC = ForestSpec(trees=12, depth=5)


def fresh(name: str) -> Policy:
    return make_policy(name, SETTINGS, VERSION, np.random.default_rng(1))


def step_data(count: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Four numbers each, and 1 where the second is above 0.2."""
    x = np.random.default_rng(0).normal(size=(count, 4)).astype(np.float32)
    return x, (x[:, 1] > 0.2).astype(np.float64)


def test_a_forest_predicts_what_its_trees_do() -> None:
    from sklearn.ensemble import RandomForestRegressor  # noqa: PLC0415 - to compare with

    x, y = step_data()
    forest = fit_forest(x, y, np.ones(len(y)), SPEC, seed=3)
    model = RandomForestRegressor(
        n_estimators=12, max_depth=5, min_samples_leaf=10, max_features=1 / 3, random_state=3
    ).fit(x, y, sample_weight=np.ones(len(y)))
    assert forest.predict(x[:60].astype(np.float64)) == pytest.approx(model.predict(x[:60]))
    assert forest.depth <= 5
    assert len(forest.roots) == 12


def test_few_rows_are_told_what_many_are() -> None:
    x, y = step_data()
    forest = fit_forest(x, y, np.ones(len(y)), SPEC, seed=3)
    alone = [forest.predict(x[row : row + 1])[0] for row in range(40)]
    assert alone == pytest.approx(forest.predict(x[:40]))


def test_extremely_random_trees_are_those_of_an_ensemble() -> None:
    from sklearn.ensemble import ExtraTreesRegressor  # noqa: PLC0415 - to compare with

    x, y = step_data()
    weights = np.linspace(0.2, 1.0, len(y))
    spec = ForestSpec(trees=12, depth=5, least=10, share=0.6, random=True)
    forest = fit_forest(x, y, weights, spec, seed=3)
    model = ExtraTreesRegressor(
        n_estimators=12, max_depth=5, min_samples_leaf=10, max_features=0.6, random_state=3
    ).fit(x, y, sample_weight=weights)
    assert forest.predict(x[:60].astype(np.float64)) == pytest.approx(model.predict(x[:60]))


def test_a_forest_finds_the_step() -> None:
    x, y = step_data()
    forest = fit_forest(x, y, np.ones(len(y)), SPEC, seed=0)
    assert forest.predict(np.array([[0.0, 1.5, 0.0, 0.0]]))[0] > 0.65
    assert forest.predict(np.array([[0.0, -1.5, 0.0, 0.0]]))[0] < 0.35


def test_a_forest_follows_outcomes_of_more_weight() -> None:
    x, y = np.zeros((80, 2), dtype=np.float32), np.repeat([0.0, 1.0], 40)
    weights = np.where(y > 0, 9.0, 1.0)
    assert fit_forest(x, y, weights, SPEC, 0).predict(np.zeros((1, 2)))[0] > 0.8


def test_a_forest_restored_from_its_arrays_predicts_alike() -> None:
    x, y = step_data()
    forest = fit_forest(x, y, np.ones(len(y)), SPEC, seed=0)
    again = Forest.of(forest.arrays(), width=4)
    assert (again.predict(x[:20]) == forest.predict(x[:20])).all()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("feature", 4),
        ("feature", -1),
        ("children", 100_000),
        ("children", -1),
        ("roots", 100_000),
        ("depth", 99_999),
    ],
)
def test_a_forest_that_points_outside_itself_is_refused(name: str, value: int) -> None:
    x, y = step_data()
    arrays = fit_forest(x, y, np.ones(len(y)), SPEC, seed=0).arrays()
    broken = arrays[name].copy()
    broken.flat[0] = value
    with pytest.raises(ValueError, match="range"):
        Forest.of({**arrays, name: broken}, width=4)


def teach(policy: Policy, rounds: int, quality: float = 0.5) -> Context:
    rng = np.random.default_rng(2)
    for step in range(rounds):
        seen = context(rng)
        policy.learn([outcome(actions(3)[step % 3], seen, quality)])
    return context(rng)


def test_predicting_with_a_restored_forest_imports_no_trainer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    policy = fresh("pair-classifier")
    seen = teach(policy, 150)
    payload = policy.save()
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    twin = load_policy(payload, SETTINGS, VERSION)
    assert twin.decide(seen, actions(3), Weights()) == policy.decide(seen, actions(3), Weights())
