"""The companion is the difference that joint models of q - lambda c make, for any lambda."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bandit.models.companion import Companion
from bandit.models.judged_prompts import PromptShare
from bandit.models.posterior import Posterior, Prior
from bandit.models.regression import HierarchicalRegression, RegressionSpec
from bandit.models.sufficient_statistics import SufficientStatistics

Array = NDArray[np.float64]
SLOTS, SIZE = 3, 4
SPEC = RegressionSpec(offset=0.7, noise=0.1, effects=False)
EVERY = np.arange(SLOTS)


def told(seed: int, count: int) -> tuple[Array, Array, Array]:
    """Numbers (count, SIZE), qualities and costs (count, SLOTS)."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, SIZE)).astype(np.float16).astype(np.float64)
    x[:, 0] = 1.0
    return x, rng.random((count, SLOTS)), rng.uniform(0.5, 2.0, (count, SLOTS))


def learned(
    x: Array, y: Array, costs: Array | None, *, share: bool = True, late: int = 0
) -> HierarchicalRegression:
    """late: prompts before the companion begins, with costs of 1.2."""
    model = HierarchicalRegression(SPEC, SIZE)
    model.grow(SLOTS)
    for i, row in enumerate(x):
        if i == late and costs is not None:
            model.accompany(np.full(SLOTS, 1.2))
        for slot in range(SLOTS):
            beside = None if costs is None else float(costs[i, slot])
            place = PromptShare(i + 1, SLOTS) if share and i >= late else None
            model.observe(slot, row, 0.0, float(y[i, slot]), 1.0, share=place, beside=beside)
    model.refresh()
    return model


def posterior(phi: Array, y: Array) -> Posterior:
    stats = SufficientStatistics(SIZE + 1)
    stats.grow(SLOTS)
    for row, each in zip(phi, y, strict=True):
        for slot in range(SLOTS):
            stats.add(slot, row, float(each[slot]), 1.0)
    own = np.array([[0.1, *[slopes] * (SIZE - 1)] for slopes in (0.01, 0.02, 0.005, 0.03)])
    shared = np.array([0.1, *[0.02] * (SIZE - 1), 1.0])
    return Posterior(stats, Prior(shared, own, np.array([0.2, 0.4, 0.1])))


@pytest.mark.parametrize("weight", [0.05, 0.4])
def test_quality_less_weighted_cost_is_the_mean_of_their_difference(weight: float) -> None:
    x, y, costs = told(1, 80)
    phi = np.column_stack([x, np.random.default_rng(1).normal(size=80)])
    companion = Companion(np.zeros((SLOTS, SIZE + 1)))
    for row, each in zip(phi, costs, strict=True):
        for slot in range(SLOTS):
            companion.add(slot, row, float(each[slot]), 1.0)
    companion.solve(posterior(phi, y))
    joint = posterior(phi, y - weight * (costs - 1))
    v, rows = np.array([0.1, -0.2, 0.3]), np.array([0, 1, -1])
    for row in x[:5]:
        apart = posterior(phi, y).mean(rows, row, v)
        apart -= weight * (companion.mean(rows, row, v) - 1)
        assert apart == pytest.approx(joint.mean(rows, row, v))


def test_a_late_companion_takes_earlier_amounts_for_the_usual_ones() -> None:
    x, y, costs = told(2, 60)
    costs[:30] = 1.2
    whole = learned(x, y, costs, share=False)
    late = learned(x, y, costs, share=False, late=30)
    assert late.beside(EVERY, x[0]) == pytest.approx(whole.beside(EVERY, x[0]))


def test_rescaled_amounts_are_those_of_a_dearer_action() -> None:
    x, y, costs = told(3, 60)
    model = learned(x, y, costs)
    model.rescale_companion(1, 1.5)
    costs[:, 1] *= 1.5
    dearer = learned(x, y, costs)
    assert model.beside(EVERY, x[0]) == pytest.approx(dearer.beside(EVERY, x[0]))


def test_limited_outcomes_keep_their_costs() -> None:
    x, y, _ = told(4, 200)
    costs = 1 + 0.3 * x[:, 1:2] * np.ones(SLOTS)
    model = learned(x, y, costs)
    before = model.beside(EVERY, x[0])
    model.limit(100.0)
    assert model.beside(EVERY, x[0]) == pytest.approx(before, abs=0.1)


def test_a_changed_level_of_quality_leaves_the_level_of_cost() -> None:
    x, y, _ = told(5, 200)
    costs = 1.4 + 0.3 * x[:, 1:2] * np.ones(SLOTS)
    model = learned(x, y, costs)
    before = model.beside(EVERY, x[:20].mean(axis=0))
    model.shift_intercept(2, -0.4, 12.0)
    assert model.beside(EVERY, x[:20].mean(axis=0)) == pytest.approx(before, abs=0.05)


def test_costs_stand_beside_applications_too() -> None:
    x, y, _ = told(6, 300)
    model = HierarchicalRegression(SPEC, SIZE)
    model.grow(SLOTS)
    model.accompany(np.ones(SLOTS))
    for i, row in enumerate(x):
        application, low = 1 + i % 2, 0.6 * (i % 2)
        for slot in range(SLOTS):
            model.observe(
                slot, row, 0.0, 0.3 * y[i, slot] + low, 1.0, application=application, beside=1.5
            )
    model.refresh()
    assert float(model.arrays()["application_variance"][0]) > 0
    assert model.beside(EVERY, x[:50].mean(axis=0)) == pytest.approx(1.5, abs=0.05)


@pytest.mark.parametrize("count", [3, 17, 41])
def test_a_model_saved_in_the_middle_goes_on_bit_for_bit(count: int) -> None:
    x, y, costs = told(7, 60)
    model = HierarchicalRegression(SPEC, SIZE)
    model.grow(SLOTS)
    model.accompany(np.ones(SLOTS))
    half = HierarchicalRegression(SPEC, SIZE)

    def go_on(one: HierarchicalRegression, start: int, end: int) -> None:
        for i in range(start, end):
            slot, told = i % SLOTS, float(costs[i, 0])
            one.observe(slot, x[i], 0.1, float(y[i, 0]), 1.0, beside=told if i % 5 else None)

    go_on(model, 0, count)
    half.restore(model.arrays(), SLOTS)
    for one in (model, half):
        go_on(one, count, 60)
    a, b = model.arrays(), half.arrays()
    assert a.keys() == b.keys()
    assert all(a[name].tobytes() == b[name].tobytes() for name in a)
    assert model.beside(EVERY, x[0]).tobytes() == half.beside(EVERY, x[0]).tobytes()


def test_a_wider_model_keeps_its_companion() -> None:
    x, y, costs = told(8, 60)
    model = learned(x[:30], y[:30], costs[:30])
    for i in range(30, 60):
        wide = np.append(x[i], 1.0)
        for slot in range(SLOTS):
            model.observe(slot, wide, 0.0, float(y[i, slot]), 1.0, beside=float(costs[i, slot]))
    model.refresh()
    assert model.beside(EVERY, np.append(x[0], 1.0)) == pytest.approx(1.25, abs=0.6)
    restored = HierarchicalRegression(SPEC, SIZE)
    restored.restore(model.arrays(), SLOTS)
    assert restored.beside(EVERY, x[0]).tobytes() == model.beside(EVERY, x[0]).tobytes()
