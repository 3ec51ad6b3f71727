"""The block elimination against the same model solved densely."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bandit.models.empirical_bayes import (
    OWN_GRID,
    OWN_PARSIMONY,
    SHARED_GRID,
    TRUST_GRID,
    Eliminated,
    PriorVariances,
    expected_variances,
    log_evidence,
    own_variances,
)
from bandit.models.posterior import Posterior, Prior, cholesky, residual_squares
from bandit.models.regression import HierarchicalRegression, RegressionSpec
from bandit.models.sufficient_statistics import SufficientStatistics

Array = NDArray[np.float64]
SIZE, SLOTS = 4, 3
NOISE = np.array([0.2, 0.4, 0.1])
"""The noise of each slot."""
WIDTH = SIZE + 1


def stream(seed: int = 0, count: int = 60) -> tuple[Array, Array, Array]:
    """Slots (n,), phi (n, width), y (n,)."""
    rng = np.random.default_rng(seed)
    phi = rng.normal(size=(count, WIDTH))
    phi[:, 0] = 1.0
    return rng.integers(SLOTS, size=count), phi, rng.normal(size=count)


def statistics(slots: Array, phi: Array, y: Array) -> SufficientStatistics:
    stats = SufficientStatistics(WIDTH)
    stats.grow(SLOTS)
    for slot, row, value in zip(slots, phi, y, strict=True):
        stats.add(int(slot), row, float(value), 1.0)
    return stats


def prior() -> Prior:
    shared = np.array([0.1, 0.02, 0.02, 0.02, 1.0])
    own = [[0.1, *[slopes] * 3] for slopes in (0.01, 0.02, 0.005, 0.03)]
    return Prior(shared, np.array(own), NOISE)


def design(slots: Array, phi: Array) -> Array:
    """One row per outcome over [u, d_0, d_1, d_2]."""
    rows = np.zeros((len(phi), WIDTH + SLOTS * SIZE))
    rows[:, :WIDTH] = phi
    for i, slot in enumerate(slots.astype(int)):
        rows[i, WIDTH + slot * SIZE : WIDTH + (slot + 1) * SIZE] = phi[i, :-1]
    return rows


def dense(slots: Array, phi: Array, y: Array) -> tuple[Array, Array]:
    """Mean and covariance of all coefficients."""
    rows, p = design(slots, phi), prior()
    variances = np.concatenate([p.shared, p.own[:-1].ravel()])
    noise = NOISE[slots.astype(int)]
    covariance = np.linalg.inv(rows.T / noise @ rows + np.diag(1 / variances))
    return covariance @ rows.T @ (y / noise), covariance


def test_posterior_equals_the_dense_model() -> None:
    slots, phi, y = stream()
    posterior = Posterior(statistics(slots, phi, y), prior())
    mean, covariance = dense(slots, phi, y)
    x, v = np.array([1.0, 0.5, -0.3, 0.8]), np.array([0.2, -0.1, 0.4])
    every = np.arange(SLOTS)
    rows = design(every.astype(float), np.column_stack([np.tile(x, (SLOTS, 1)), v]))
    assert posterior.mean(every, x, v) == pytest.approx(rows @ mean)
    assert posterior.covariance(every, x, v) == pytest.approx(rows @ covariance @ rows.T)
    fitted = design(slots, phi) @ mean
    stats = statistics(slots, phi, y)
    squares = np.bincount(slots.astype(int), (y - fitted) ** 2)
    assert residual_squares(stats, posterior) == pytest.approx(squares)
    every = design(slots, phi)
    hat = np.trace(every @ covariance @ every.T / NOISE[slots.astype(int)])
    assert posterior.freedom() == pytest.approx(hat)


@pytest.mark.parametrize("k", [1, 2, 4, 7])
def test_a_root_is_that_of_lapack(k: int) -> None:
    half = np.random.default_rng(k).normal(size=(k, k + 2))
    matrix = half @ half.T
    assert cholesky(matrix.tolist()) == pytest.approx(np.linalg.cholesky(matrix))


def test_what_has_no_root_is_refused() -> None:
    with pytest.raises(np.linalg.LinAlgError):
        cholesky([[1.0, 2.0], [2.0, 1.0]])


def test_posterior_of_an_unseen_action_is_the_shared_mean_and_its_prior() -> None:
    slots, phi, y = stream()
    posterior = Posterior(statistics(slots, phi, y), prior())
    mean, covariance = dense(slots, phi, y)
    x = np.array([1.0, 0.5, -0.3, 0.8])
    row, none = np.array([-1]), np.zeros(1)
    assert posterior.mean(row, x, none) == pytest.approx(x @ mean[:SIZE])
    own = (prior().own[-1] * x * x).sum()
    shared = x @ covariance[:SIZE, :SIZE] @ x
    assert posterior.covariance(row, x, none)[0, 0] == pytest.approx(shared + own)


def test_log_evidence_differs_between_variances_as_the_density_of_y() -> None:
    slots, phi, y = stream(1)
    table = log_evidence(Eliminated(statistics(slots, phi, y), 0.1, NOISE))

    def density(trust: float, shared: float, own: float) -> float:
        variances = np.array([0.1, *[shared] * 3, trust, *[0.1, *[own] * 3] * SLOTS])
        rows = design(slots, phi)
        covariance = np.diag(NOISE[slots.astype(int)]) + rows @ np.diag(variances) @ rows.T
        return float(-(y @ np.linalg.solve(covariance, y) + np.linalg.slogdet(covariance)[1]) / 2)

    expected = np.array(
        [[[density(k, s, d) for d in OWN_GRID] for s in SHARED_GRID] for k in TRUST_GRID]
    )
    assert table - table[0, 0, 0] == pytest.approx(expected - expected[0, 0, 0])


@pytest.mark.parametrize(
    ("own", "least", "most"), [(0.0, OWN_GRID[0], OWN_GRID[1]), (0.5, OWN_GRID[3], OWN_GRID[4])]
)
def test_empirical_bayes_opens_up_only_for_signal(own: float, least: float, most: float) -> None:
    rng = np.random.default_rng(2)
    slots, phi, _ = stream(2, 600)
    slopes = rng.normal(size=(SLOTS, SIZE - 1)) * own
    y = (phi[:, 1:-1] * slopes[slots.astype(int)]).sum(axis=1) + rng.normal(size=600) * 0.3
    found = expected_variances(Eliminated(statistics(slots, phi, y), 0.1, np.full(SLOTS, 0.09)))
    assert least <= found.own <= 1.001 * most


def test_own_variances_are_weighed_as_the_density_of_y() -> None:
    slots, phi, y = stream(1)
    found = PriorVariances(TRUST_GRID[1], SHARED_GRID[2], OWN_GRID[1])
    rows, noise = design(slots, phi), np.diag(NOISE[slots.astype(int)])

    def density(own: float) -> float:
        each = [[0.1, *[found.own if slot else own] * 3] for slot in range(SLOTS)]
        variances = np.array([0.1, *[found.shared] * 3, found.trust, *np.ravel(each)])
        covariance = noise + rows @ np.diag(variances) @ rows.T
        return float(-(y @ np.linalg.solve(covariance, y) + np.linalg.slogdet(covariance)[1]) / 2)

    table = np.array([density(own) for own in OWN_GRID]) - OWN_PARSIMONY * np.arange(len(OWN_GRID))
    odds = np.exp(table - table.max())
    expected = max(found.own, np.exp(odds @ np.log(OWN_GRID) / odds.sum()))
    each = own_variances(Eliminated(statistics(slots, phi, y), 0.1, NOISE), found)
    assert each[0] == pytest.approx(expected)
    assert each[-1] == found.own


def test_own_variances_of_a_uniform_action_do_not_bind_one_hardly_tried() -> None:
    rng = np.random.default_rng(4)
    slots, phi, _ = stream(4, 1_024)
    slots = np.where(np.arange(len(slots)) < 1_000, 0, 1)
    y = rng.normal(size=len(slots)) * 0.1 + np.where(slots == 1, 0.1 * phi[:, 1], 0.0)
    stats, noise = statistics(slots, phi, y), np.full(SLOTS, 0.01)
    found = expected_variances(Eliminated(stats, 0.1, noise))
    flat, tried, untried, unseen = own_variances(Eliminated(stats, 0.1, noise), found)
    assert flat == found.own
    assert tried > 5 * found.own
    assert untried == pytest.approx(unseen)


def test_variances_without_evidence_lie_inside_their_grid() -> None:
    found = expected_variances(Eliminated(statistics(*stream(1, 2)), 0.1, NOISE))
    assert SHARED_GRID[0] < found.shared < SHARED_GRID[-1]
    assert OWN_GRID[0] < found.own < OWN_GRID[-1]
    assert found.trust == TRUST_GRID[0]


def test_regression_learns_the_noise() -> None:
    regression = HierarchicalRegression(RegressionSpec(offset=0.0, noise=0.5), SIZE)
    regression.grow(1)
    rng = np.random.default_rng(3)
    for _ in range(600):
        regression.observe(0, np.array([1.0, *rng.normal(size=3)]), 0.0, rng.normal() * 0.2, 1.0)
    assert regression.noise(0) == pytest.approx(0.04, rel=0.3)


def test_regression_learns_a_noise_for_each_action() -> None:
    regression = HierarchicalRegression(RegressionSpec(offset=0.0, noise=0.1), SIZE)
    regression.grow(3)
    rng, deviations = np.random.default_rng(3), (0.1, 0.4)
    for _ in range(600):
        for slot, deviation in enumerate(deviations):
            x = np.array([1.0, *rng.normal(size=3)])
            regression.observe(slot, x, 0.0, rng.normal() * deviation, 1.0)
    for slot, deviation in enumerate(deviations):
        assert regression.noise(slot) == pytest.approx(deviation**2, rel=0.3)
    assert regression.noise(0) < regression.noise(2) < regression.noise(1)


@pytest.mark.parametrize("helps", [False, True])
def test_regression_trusts_another_regressor_that_proves_right(*, helps: bool) -> None:
    slots, phi, _ = stream(5, 600)
    y = np.random.default_rng(6).normal(size=600) * 0.3 + (phi[:, -1] if helps else 0)
    found = expected_variances(Eliminated(statistics(slots, phi, y), 0.1, np.full(SLOTS, 0.09)))
    assert found.trust == TRUST_GRID[1 if helps else 0]


def test_statistics_forget_the_intercept_and_keep_the_slopes() -> None:
    slots, phi, y = stream(4)
    stats = statistics(slots * 0, phi, y + 2.0)
    flat = Prior(np.full(WIDTH, 1e6), np.full((SLOTS + 1, SIZE), 1e-9), NOISE)
    before = Posterior(stats, flat).weights[0]
    stats.forget_intercept(0)
    after = Posterior(stats, flat).weights[0]
    assert after[1:] == pytest.approx(before[1:], rel=1e-3)
    assert before[0] == pytest.approx(2.0, abs=0.5)
    assert after[0] == pytest.approx(0.0, abs=1e-6)


def test_statistics_refuse_what_does_not_fit() -> None:
    slots, phi, y = stream()
    arrays = statistics(slots, phi, y).arrays()
    restored = SufficientStatistics(WIDTH)
    restored.restore(arrays, SLOTS)
    assert (restored.gram == statistics(slots, phi, y).gram).all()
    with pytest.raises(ValueError, match="shape"):
        restored.restore(arrays, SLOTS + 1)
