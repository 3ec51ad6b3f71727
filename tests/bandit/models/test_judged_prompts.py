"""Effects of prompts: found as by the dense model, and never lost or counted twice."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bandit.models.judged_prompts import MEMORY, JudgedPrompts, PromptShare
from bandit.models.regression import (
    ADVISED,
    ENOUGH_PROMPTS,
    HierarchicalRegression,
    RegressionSpec,
)
from bandit.models.sufficient_statistics import ApplicationSums, SufficientStatistics

Array = NDArray[np.float64]
SLOTS, SIZE = 3, 4
SPEC = RegressionSpec(offset=0.7, noise=0.1)


def numbers(seed: int, count: int) -> Array:
    """Numbers of each prompt, exact in the precision it is kept in; (count, SIZE)."""
    x = np.random.default_rng(seed).normal(size=(count, SIZE)).astype(np.float16)
    x[:, 0] = 1.0
    return x.astype(np.float64)


def outcomes(seed: int, x: Array, hardness: float = 0.4) -> Array:
    """Outcomes, (count, SLOTS): the actions differ by a slope, the prompts by hardness."""
    rng = np.random.default_rng([seed, 1])
    slopes = np.array([[0.7, 0.0, 0.1, 0.0], [0.7, 0.1, 0.0, 0.0], [0.7, 0.0, 0.0, -0.1]])
    common = hardness * rng.normal(size=(len(x), 1))
    told: Array = x @ slopes.T + common + 0.1 * rng.normal(size=(len(x), SLOTS))
    return told


def learned(
    x: Array, y: Array, *, known: bool = True, start: int = 0, weight: float = 1.0
) -> HierarchicalRegression:
    model = HierarchicalRegression(SPEC, SIZE)
    model.grow(SLOTS)
    go_on(model, x, y, known=known, start=start, weight=weight)
    return model


def go_on(
    model: HierarchicalRegression,
    x: Array,
    y: Array,
    *,
    known: bool = True,
    start: int = 0,
    weight: float = 1.0,
) -> None:
    for i, (row, told) in enumerate(zip(x, y, strict=True)):
        share = PromptShare(start + i + 1, SLOTS) if known else None
        for slot in range(SLOTS):
            model.observe(slot, row, 0.0, float(told[slot]), weight, share=share)


def same(one: HierarchicalRegression, other: HierarchicalRegression) -> bool:
    a, b = one.arrays(), other.arrays()
    return a.keys() == b.keys() and all(a[name].tobytes() == b[name].tobytes() for name in a)


def test_effects_are_the_best_linear_predictions_of_what_residuals_share() -> None:
    rng = np.random.default_rng(3)
    prompts = JudgedPrompts(1, SLOTS)
    common = rng.normal(size=(400, 1))
    y = common + 0.7 * rng.normal(size=(400, SLOTS))
    for i, told in enumerate(y):
        for slot in range(SLOTS):
            prompts.add(PromptShare(i + 1, SLOTS), slot, np.ones(2), (told[slot], 1.0), 0)
    effects = prompts.effects(np.zeros((400, SLOTS)))
    covariance = np.full((SLOTS, SLOTS), 1.0) + 0.49 * np.eye(SLOTS)
    predicted = np.linalg.solve(covariance, y.T).sum(axis=0)
    assert np.abs(effects - predicted).max() < 0.25
    assert np.corrcoef(effects, common[:, 0])[0, 1] > 0.9
    assert np.corrcoef(effects, predicted)[0, 1] == pytest.approx(1.0)


def test_independent_residuals_have_next_to_no_effect() -> None:
    prompts = JudgedPrompts(1, SLOTS)
    y = np.random.default_rng(4).normal(size=(400, SLOTS))
    for i, told in enumerate(y):
        for slot in range(SLOTS):
            prompts.add(PromptShare(i + 1, SLOTS), slot, np.ones(2), (told[slot], 1.0), 0)
    assert np.abs(prompts.effects(np.zeros((400, SLOTS)))).std() < 0.1


def test_the_statistics_hold_y_less_the_effects_however_often_these_change() -> None:
    x, rng = numbers(5, 20), np.random.default_rng(5)
    y, phi = rng.normal(size=(20, SLOTS)), np.column_stack([x, np.full(20, 0.25)])
    prompts, stats = JudgedPrompts(SIZE, SLOTS), SufficientStatistics(SIZE + 1)
    applications = ApplicationSums(SIZE + 1)
    stats.grow(SLOTS)
    for i in range(20):
        for slot in range(SLOTS):
            prompts.add(PromptShare(i + 1, SLOTS), slot, phi[i], (y[i, slot], 0.5), 1 + i % 2)
            stats.add(slot, phi[i], y[i, slot], 0.5)
            applications.add(slot, 1 + i % 2, phi[i], y[i, slot], 0.5)
    for effects in (rng.normal(size=20), np.zeros(20), rng.normal(size=20)):
        prompts.shift(effects, stats, applications)
        left = y - effects[:, None]
        assert stats.moment == pytest.approx(0.5 * left.T @ phi)
        assert stats.square == pytest.approx(0.5 * (left**2).sum(axis=0))
        held = [applications.of(np.arange(SLOTS), number)[:, -2] for number in (1, 2)]
        assert held[0] == pytest.approx(0.5 * left[::2].sum(axis=0))
        assert held[1] == pytest.approx(0.5 * left[1::2].sum(axis=0))


def test_known_prompts_tell_how_actions_differ() -> None:
    x, fresh = numbers(6, 150), numbers(7, 300)
    y, truth = outcomes(6, x), outcomes(7, fresh, 0.0)
    every = np.arange(SLOTS)

    def error(model: HierarchicalRegression) -> float:
        found = np.array([model.mean(every, row, None) for row in fresh])
        gaps = (found - found.mean(axis=1, keepdims=True)) - (
            truth - truth.mean(axis=1, keepdims=True)
        )
        return float((gaps**2).mean())

    noise = error(learned(x, y)) - 0.01 * (SLOTS - 1) / SLOTS
    assert noise < 0.5 * (error(learned(x, y, known=False)) - 0.01 * (SLOTS - 1) / SLOTS)


def test_too_few_known_prompts_change_nothing() -> None:
    x = numbers(8, ENOUGH_PROMPTS - 1)
    y = outcomes(8, x)
    one, other = learned(x, y), learned(x, y, known=False)
    a, b = one.arrays(), other.arrays()
    assert all(a[name].tobytes() == b[name].tobytes() for name in b)
    assert one.prompts == ENOUGH_PROMPTS - 1
    assert other.prompts == 0
    assert not any("prompt" in name for name in b)


@pytest.mark.parametrize("count", [10, 29, 31, 73, 110])
def test_a_model_saved_in_the_middle_goes_on_bit_for_bit(count: int) -> None:
    x = numbers(9, 130)
    y = outcomes(9, x)
    whole, half = learned(x, y), learned(x[:count], y[:count])
    # The first action of the next prompt is known already.
    half.observe(0, x[count], 0.0, float(y[count, 0]), 1.0, share=PromptShare(count + 1, SLOTS))
    restored = HierarchicalRegression(SPEC, SIZE)
    restored.restore(half.arrays(), SLOTS)
    assert same(restored, half)
    for slot in range(1, SLOTS):
        share = PromptShare(count + 1, SLOTS)
        restored.observe(slot, x[count], 0.0, float(y[count, slot]), 1.0, share=share)
    go_on(restored, x[count + 1 :], y[count + 1 :], start=count + 1)
    assert same(restored, whole)


def test_a_correction_of_a_known_prompt_leaves_its_effect_alone() -> None:
    x = numbers(10, 60)
    y = outcomes(10, x)
    wrong = y.copy()
    wrong[20, 1] = 0.0
    model = learned(x, wrong)
    model.refresh()
    before = {name: array.copy() for name, array in model.arrays().items()}
    model.correct(1, np.append(x[20], 0.0), 0.0, float(y[20, 1]), 1.0)
    effect, change = before["prompts"][20, 4], float(y[20, 1])
    after = model.arrays()
    assert after["moment"][1] - before["moment"][1] == pytest.approx(change * np.append(x[20], 0.0))
    old, new = -SPEC.offset - effect, change - SPEC.offset - effect
    assert after["square"][1] - before["square"][1] == pytest.approx(new**2 - old**2)
    assert after["prompts_told"][1, 20, 1] == pytest.approx(change - SPEC.offset)


def test_a_level_that_was_forgotten_stays_so_when_effects_change() -> None:
    x = numbers(11, 120)
    y = outcomes(11, x)
    model = learned(x[:60], y[:60])
    model.shift_intercept(2, -0.5, 12.0)
    moved = float(model.mean(np.array([2]), x[0], None)[0])
    assert not model.arrays()["prompts_told"][2, :, 2].any()
    # The others are tuned again, with prompts on which the changed one is not asked.
    for i in range(60, 120):
        for slot in range(2):
            model.observe(slot, x[i], 0.0, float(y[i, slot]), 1.0, share=PromptShare(i + 1, 2))
    assert model.prompts == 120
    assert float(model.mean(np.array([2]), x[0], None)[0]) == pytest.approx(moved, abs=0.2)


def test_limited_outcomes_keep_their_expectations_when_effects_change() -> None:
    x = numbers(12, 100)
    y = outcomes(12, x)
    model, plain = learned(x, y), learned(x, y)
    model.limit(20.0)
    assert model.arrays()["prompts_told"][2].max() == pytest.approx(0.2)
    go_on(model, x[:50], y[:50], start=1_000)
    go_on(plain, x[:50], y[:50], start=1_000)
    every = np.arange(SLOTS)
    assert model.mean(every, x[0], None) == pytest.approx(plain.mean(every, x[0], None), abs=0.1)


def test_a_wider_model_keeps_the_prompts_it_has() -> None:
    x = numbers(13, 80)
    y = outcomes(13, x)
    model = learned(x[:40], y[:40])
    wide = np.column_stack([x[40:], np.ones(40)])
    go_on(model, wide, y[40:], start=40)
    assert model.prompts == 80
    restored = HierarchicalRegression(SPEC, SIZE)
    restored.restore(model.arrays(), SLOTS)
    assert same(restored, model)


def test_the_oldest_prompts_make_room_and_their_effects_stay() -> None:
    prompts, stats = JudgedPrompts(1, 2), SufficientStatistics(2)
    applications, more = ApplicationSums(2), 10
    stats.grow(2)
    y = np.random.default_rng(14).normal(size=(MEMORY + more, 2))
    for i, told in enumerate(y):
        if i == MEMORY:
            prompts.shift(np.ones(MEMORY), stats, applications)
        for slot in range(2):
            prompts.add(PromptShare(i + 1, 2), slot, np.array([1.0, 0.0]), (told[slot], 1.0), 0)
            stats.add(slot, np.array([1.0, 0.0]), told[slot], 1.0)
    assert prompts.complete == MEMORY
    prompts.shift(np.zeros(MEMORY), stats, applications)
    assert stats.moment[:, 0] == pytest.approx(y.sum(axis=0) - more)


@pytest.mark.parametrize("again", ["slot", "context"])
def test_outcomes_that_do_not_fit_a_prompt_begin_another(again: str) -> None:
    prompts = JudgedPrompts(2, 2)
    one, other = np.array([1.0, 0.5, 0.0]), np.array([1.0, -0.5, 0.0])
    assert not prompts.add(PromptShare(7, 2), 0, one, (1.0, 1.0), 0)
    second = (0, one) if again == "slot" else (1, other)
    assert not prompts.add(PromptShare(7, 2), second[0], second[1], (0.0, 1.0), 0)
    assert prompts.complete == 0
    assert prompts.add(PromptShare(7, 2), 1 - second[0], second[1], (0.0, 1.0), 0)
    assert prompts.complete == 1


@pytest.mark.parametrize("name", ["prompts", "prompts_x", "prompts_told"])
def test_prompts_that_do_not_fit_are_refused(name: str) -> None:
    x = numbers(15, 40)
    arrays = learned(x, outcomes(15, x)).arrays()
    arrays[name] = arrays[name][:-1]
    with pytest.raises((ValueError, KeyError)):
        HierarchicalRegression(SPEC, SIZE).restore(arrays, SLOTS)


@pytest.mark.parametrize("known", [True, False])
def test_advice_is_listened_to_beside_known_prompts_after_many_outcomes_alone(
    *, known: bool
) -> None:
    model, rng = HierarchicalRegression(SPEC, SIZE), np.random.default_rng(12)
    model.grow(SLOTS)
    heard = []
    for i, weight in enumerate([1.0] * 150 + [ADVISED / 150 / SLOTS] * 150):
        share = PromptShare(i + 1, SLOTS) if known else None
        for slot in range(SLOTS):
            v = float(rng.normal() * 0.2)
            y = 0.7 + v + 0.05 * float(rng.normal())
            model.observe(slot, np.eye(SIZE)[0], v, y, weight, share=share)
        heard.append(model.listens)
    assert heard[149] is not known
    assert heard[-1]
