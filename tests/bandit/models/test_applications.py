"""Effects of applications against the same model with one number for each of them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bandit.models.empirical_bayes import (
    APPLICATION_GRID,
    Eliminated,
    application_variance,
    log_evidence,
)
from bandit.models.posterior import Posterior, Prior
from bandit.models.regression import HierarchicalRegression, RegressionSpec
from bandit.models.sufficient_statistics import BUCKETS, ApplicationSums, SufficientStatistics

Array = NDArray[np.float64]
SIZE, SLOTS, APPLICATIONS = 3, 2, 3
WIDTH = SIZE + 1
NOISE = np.array([0.2, 0.4])
VARIANCE = 0.3
PRIOR = Prior(np.array([0.1, 0.02, 0.02, 1.0]), np.tile([0.1, 0.01, 0.01], (SLOTS + 1, 1)), NOISE)
COUNT = 50


def stream(seed: int = 0) -> tuple[NDArray[np.intp], NDArray[np.intp], Array, Array]:
    """Slots, applications, phi, y; one pair of slot and application never comes."""
    rng = np.random.default_rng(seed)
    phi = rng.normal(size=(COUNT, WIDTH))
    phi[:, 0] = 1.0
    slots = rng.integers(SLOTS, size=COUNT)
    asked = np.where(slots == 1, rng.integers(2, size=COUNT), rng.integers(3, size=COUNT))
    return slots, asked, phi, rng.normal(size=COUNT)


def sums_of(seed: int = 0) -> tuple[SufficientStatistics, ApplicationSums]:
    stats, sums = SufficientStatistics(WIDTH), ApplicationSums(WIDTH)
    stats.grow(SLOTS)
    for slot, asked, row, y in zip(*stream(seed), strict=True):
        stats.add(int(slot), row, float(y), 1.0)
        sums.add(int(slot), int(asked) + 1, row, float(y), 1.0)
    return stats, sums


def design(slots: NDArray[np.intp], asked: NDArray[np.intp], phi: Array) -> Array:
    """One row over [u, d_0, d_1, effect of each pair]."""
    rows = np.zeros((len(phi), WIDTH + SLOTS * SIZE + SLOTS * APPLICATIONS))
    rows[:, :WIDTH] = phi
    for i, (slot, application) in enumerate(zip(slots.tolist(), asked.tolist(), strict=True)):
        rows[i, WIDTH + slot * SIZE : WIDTH + (slot + 1) * SIZE] = phi[i, :-1]
        rows[i, WIDTH + SLOTS * SIZE + slot * APPLICATIONS + application] = 1.0
    return rows


def test_effects_equal_the_dense_model() -> None:
    slots, asked, phi, y = stream()
    rows, noise = design(slots, asked, phi), NOISE[slots]
    variances = np.concatenate([PRIOR.shared, PRIOR.own[:-1].ravel(), np.full(6, VARIANCE)])
    covariance = np.linalg.inv(rows.T / noise @ rows + np.diag(1 / variances))
    mean = covariance @ rows.T @ (y / noise)
    stats, sums = sums_of()
    posterior = Posterior(sums.taken_off(stats, NOISE / VARIANCE), PRIOR)
    x, v, every = np.array([1.0, 0.5, -0.3]), np.array([0.2, -0.1]), np.arange(SLOTS)
    for application in range(APPLICATIONS):
        held = sums.of(every, application + 1)
        divisor = held[:, -1] + NOISE / VARIANCE
        shares = held[:, :-1] / divisor[:, None]
        effects = posterior.effects(every, shares[:, :-1], shares[:, -1], NOISE / divisor)
        wide = np.column_stack([np.tile(x, (SLOTS, 1)), v])
        probes = design(every, np.full(SLOTS, application), wide)
        assert posterior.mean(every, x, v, effects) == pytest.approx(probes @ mean)
        told = posterior.covariance(every, x, v, effects)
        assert told == pytest.approx(probes @ covariance @ probes.T)
        settled = posterior.covariance(every, x, v, effects, settled=True)
        assert told - settled == pytest.approx(np.diag(effects.variance))


def test_the_evidence_of_effects_is_that_of_the_density_of_y() -> None:
    slots, asked, phi, y = stream(1)
    stats, sums = sums_of(1)
    pairs = slots * APPLICATIONS + asked

    def density(variance: float) -> float:
        shared = np.array([0.1, 1e-4, 1e-4, 1e-4, *[0.1, 1e-5, 1e-5] * SLOTS])
        rows = design(slots, asked, phi)[:, : WIDTH + SLOTS * SIZE]
        covariance = np.diag(NOISE[slots]) + rows @ np.diag(shared) @ rows.T
        covariance += variance * (pairs[:, None] == pairs[None, :])
        return float(-(y @ np.linalg.solve(covariance, y) + np.linalg.slogdet(covariance)[1]) / 2)

    ratio = NOISE / VARIANCE
    left = sums.taken_off(stats, ratio)
    told = ((stats.square - left.square) / NOISE).sum() - sums.log_volume(ratio)
    tables = [log_evidence(Eliminated(s, 0.1, NOISE))[0, 0, 0] for s in (left, stats)]
    assert tables[0] + told / 2 - tables[1] == pytest.approx(density(VARIANCE) - density(0.0))


@pytest.mark.parametrize("effect", [0.0, 0.3])
def test_applications_are_listened_to_as_far_as_they_tell(effect: float) -> None:
    model = taught(effect)
    x, rows = np.array([1.0, 0.0, 0.0]), np.arange(2)
    told = [np.diff(model.mean(rows, x, None, application)) for application in range(1, 39)]
    differs = float(np.mean(told[1::2]) - np.mean(told[::2]))
    assert differs == pytest.approx(2 * effect, abs=0.06)
    assert (float(model.arrays()["application_variance"][0]) > 0) == (effect > 0)
    if effect:
        unknown = model.covariance(rows, x, None, 99)
        assert (unknown.diagonal() > model.covariance(rows, x, None, 7).diagonal()).all()


def taught(
    effect: float, count: int = 900, model: HierarchicalRegression | None = None, seed: int = 0
) -> HierarchicalRegression:
    """Even applications like action 1 by so much, odd ones dislike it."""
    rng = np.random.default_rng(seed)
    model = model or HierarchicalRegression(RegressionSpec(offset=0.5, noise=0.1), SIZE)
    model.grow(2)
    for _ in range(count):
        application, slot = int(rng.integers(1, 40)), int(rng.integers(2))
        x = np.array([1.0, *rng.normal(size=2)])
        liked = effect * (1 if application % 2 == 0 else -1) * slot
        y = 0.5 + liked + 0.2 * float(rng.normal())
        model.observe(slot, x, 0.0, y, 1.0, application=application)
    return model


def test_a_restored_model_with_applications_goes_on_alike() -> None:
    one = taught(0.3, 700)
    twin = HierarchicalRegression(RegressionSpec(offset=0.5, noise=0.1), SIZE)
    twin.restore({k: v.copy() for k, v in one.arrays().items()}, 2)
    for model in (one, twin):
        taught(0.3, 400, model, seed=1)
    first, second = one.arrays(), twin.arrays()
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_what_was_asked_before_does_not_hide_what_is_learned_after() -> None:
    model, rows, x = taught(0.3), np.array([0, 1]), np.array([1.0, 0.0, 0.0])
    before = [model.mean(rows, x, None, 2), model.mean(rows[::-1], x, None, 2)]
    assert np.array_equal(before[0], before[1][::-1])
    model.observe(1, x, 0.0, -3.0, 1.0, application=2)
    model.refresh()
    after = model.mean(rows, x, None, 2)
    assert after[1] < before[0][1] - 0.05
    assert not np.array_equal(model.mean(rows, x, None, 3), after)


def test_a_model_without_applications_stores_nothing_of_them() -> None:
    model = HierarchicalRegression(RegressionSpec(offset=0.5, noise=0.1), SIZE)
    model.grow(1)
    model.observe(0, np.array([1.0, 0.0, 0.0]), 0.0, 1.0, 1.0)
    assert not [name for name in model.arrays() if "application" in name]


def test_a_correction_and_a_forgotten_level_reach_the_applications() -> None:
    right, wrong = taught(0.3, 600), taught(0.3, 599)
    x = np.array([1.0, 0.1, 0.2])
    wrong.observe(1, x, 0.0, 0.0, 1.0, application=4)
    wrong.correct(1, np.append(x, 0.0), 0.0, 1.0, 1.0, application=4)
    right = taught(0.3, 599)
    right.observe(1, x, 0.0, 1.0, 1.0, application=4)
    right.refresh()
    asked = np.arange(2), x, None, 4
    assert wrong.mean(*asked) == pytest.approx(right.mean(*asked))
    differs = right.mean(*asked)[1] - right.mean(np.arange(2), x, None, 5)[1]
    right.shift_intercept(1, -0.4, 50.0)
    after = right.mean(*asked)[1] - right.mean(np.arange(2), x, None, 5)[1]
    assert after == pytest.approx(differs, abs=0.05)
    assert differs > 0.3


def whole_requests(model: HierarchicalRegression, count: int, seed: int) -> None:
    """Two features of whole requests are nearly the same in all of them; applications differ."""
    rng = np.random.default_rng(seed)
    for i in range(count):
        application = int(rng.integers(1, 21))
        told = [1.0, 1.2 + 0.05 * float(rng.normal())]
        x = np.array([1.0, *rng.normal(size=2), *told])
        y = 0.9 + 0.2 * (application % 2) + 0.1 * float(rng.normal())
        model.observe(i % 2, x, 0.0, y, 1.0, application=application)


def test_levels_forgotten_over_and_over_leave_the_model_near_what_it_saw() -> None:
    model = HierarchicalRegression(RegressionSpec(offset=0.0, noise=0.1), SIZE)
    model.grow(2)
    whole_requests(model, 1_200, seed=4)
    usual, row = np.array([1.0, 0.0, 0.0, 1.0, 1.2]), np.array([1])
    for i in range(8):
        before = model.mean(row, usual, None, 2)
        shift = 0.3 if i % 2 else -0.3
        model.shift_intercept(1, shift, 12.0)
        assert model.mean(row, usual, None, 2) - before == pytest.approx(shift, abs=0.05)
        whole_requests(model, 200, seed=5 + i)
        model.refresh()
        for application in (2, 3):
            expected = 0.9 + 0.2 * (application % 2)
            told = model.mean(row, usual, None, application)
            assert told == pytest.approx(expected, abs=0.1)


def test_a_model_that_grew_wider_equals_one_that_always_was() -> None:
    rng = np.random.default_rng(3)
    rows = [np.array([1.0, *rng.normal(size=2)]) for _ in range(200)]
    spec = RegressionSpec(offset=0.5, noise=0.1)
    late, early = HierarchicalRegression(spec, SIZE), HierarchicalRegression(spec, SIZE + 2)
    for model in (late, early):
        model.grow(2)
    for i, x in enumerate(rows):
        y = float(x[1] > 0) + 0.1 * float(rng.normal())
        wide = np.append(x, [0.5, -0.5] if i >= 100 else [0.0, 0.0])
        late.observe(i % 2, wide if i >= 100 else x, 0.0, y, 1.0, application=i % 3)
        early.observe(i % 2, wide, 0.0, y, 1.0, application=i % 3)
    for model in (late, early):
        model.refresh()
    asked = np.array([0, 1, -1]), np.append(rows[0], [0.5, 0.5]), None, 1
    assert late.mean(*asked) == pytest.approx(early.mean(*asked))
    short = np.array([0, 1]), rows[0], None, 1
    assert late.mean(*short) == pytest.approx(early.mean(*short))
    again = HierarchicalRegression(spec, SIZE)
    again.restore(late.arrays(), 2)
    assert again.mean(*asked) == pytest.approx(late.mean(*asked))


@pytest.mark.parametrize("broken", ["slot", "bucket", "twice", "count", "narrow"])
def test_sums_of_applications_that_do_not_fit_are_refused(broken: str) -> None:
    _, sums = sums_of()
    arrays = {name: array.copy() for name, array in sums.arrays().items()}
    if broken == "slot":
        arrays["applications"][0, 0] = SLOTS
    elif broken == "bucket":
        arrays["applications"][0, 1] = BUCKETS
    elif broken == "twice":
        arrays["applications"][1] = arrays["applications"][0]
    elif broken == "count":
        arrays["application_sums"][0, -1] = -1.0
    else:
        arrays["application_sums"] = arrays["application_sums"][:, 1:]
    with pytest.raises(ValueError, match=r"fit|shape"):
        ApplicationSums(WIDTH).restore(arrays, SLOTS, WIDTH)


def test_many_applications_share_a_bounded_number_of_buckets() -> None:
    sums = ApplicationSums(WIDTH)
    for application in range(1, 3_000):
        sums.add(application % 2, application, np.ones(WIDTH), 1.0, 1.0)
    assert len(sums.slots) <= 2 * BUCKETS
    stats = SufficientStatistics(WIDTH)
    stats.grow(2)
    assert application_variance(stats, sums, 0.1, NOISE, 0.1) in (
        0.0,
        *(s * 0.1 for s in APPLICATION_GRID),
    )
