"""Bayesian logistic regression: mode, covariance, variances, memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bandit.models.logistic import LabelledRows, LogisticHead, WeightGroup, moderated, sigmoid

GROUPS = (WeightGroup(1, 4.0, np.inf), WeightGroup(3, 0.5, 2.0))


ONES = np.ones(4)


TRUE = np.array([0.5, 2.0, -1.0, 0.0])


def rows(count: int, seed: int = 1) -> LabelledRows:
    rng = np.random.default_rng(seed)
    x = np.column_stack([np.ones(count), rng.normal(size=(count, 3))])
    y = (rng.random(count) < sigmoid(x @ TRUE)).astype(np.float64)
    return LabelledRows(x, y, rng.uniform(0.2, 1.0, count))


def posterior_slope(head: LogisticHead, data: LabelledRows, theta: np.ndarray) -> np.ndarray:
    prior = 1 / np.array([4.0, 0.5, 0.5, 0.5])
    p = sigmoid(head.offset + data.x @ theta)
    return np.asarray(data.x.T @ (data.weight * (p - data.y)) + prior * theta)


def test_logistic_mode_is_where_the_posterior_is_flat() -> None:
    head, data = LogisticHead(GROUPS, 1.0), rows(200)
    head.fit(data, ONES)
    assert np.abs(posterior_slope(head, data, head.mode)).max() < 0.05
    assert np.abs(posterior_slope(head, data, np.zeros(4))).max() > 10


def test_logistic_covariance_is_the_inverse_curvature() -> None:
    head, data = LogisticHead(GROUPS, 1.0), rows(200)
    head.fit(data, ONES)
    step = 1e-5
    bend = np.column_stack(
        [
            posterior_slope(head, data, head.mode + step * axis)
            - posterior_slope(head, data, head.mode - step * axis)
            for axis in np.eye(4)
        ]
    )
    assert head.covariance == pytest.approx(np.linalg.inv(bend / (2 * step)), rel=1e-3, abs=1e-6)


def test_logistic_without_rows_keeps_the_prior() -> None:
    head = LogisticHead(GROUPS, 1.0)
    head.fit(rows(0), ONES, rounds=0)
    assert head.mode.tolist() == [0.0] * 4
    assert head.covariance.diagonal() == pytest.approx([4.0, 0.5, 0.5, 0.5])


def test_logistic_scales_equal_scaled_columns() -> None:
    scales = np.array([1.0, 10.0, 0.1, 3.0])
    one, other, data = LogisticHead(GROUPS, 1.0), LogisticHead(GROUPS, 1.0), rows(100)
    one.fit(data, ONES, rounds=3)
    other.fit(replace(data, x=data.x * scales), scales, rounds=3)
    assert other.logits(data.x * scales) == pytest.approx(one.logits(data.x), abs=1e-3)


def test_logistic_group_variances_follow_the_signal() -> None:
    found = []
    for strength in (0.0, 2.0):
        rng = np.random.default_rng(3)
        x = np.column_stack([np.ones(400), rng.normal(size=(400, 3))])
        y = (rng.random(400) < sigmoid(strength * x[:, 1:].sum(axis=1))).astype(np.float64)
        head = LogisticHead(GROUPS, 0.0)
        head.fit(LabelledRows(x, y, np.ones(400)), ONES, rounds=10)
        found.append(head.arrays()["variances"])
    assert found[0][1] < 0.3
    assert found[1][1] > 1.0
    assert found[0][0] == found[1][0] == 4.0


def test_logistic_mode_stays_finite_for_separable_rows() -> None:
    x = np.column_stack([np.ones(100), np.linspace(-1, 1, 100), np.zeros((100, 2))])
    head = LogisticHead(GROUPS, 1.0)
    for _ in range(20):
        head.fit(LabelledRows(x, (x[:, 1] > 0).astype(np.float64), np.ones(100)), ONES, rounds=4)
    assert np.abs(head.mode).max() < 50
    assert np.isfinite(head.covariance).all()


def test_logistic_remembers_absorbed_rows() -> None:
    whole, parted, data = LogisticHead(GROUPS, 1.0), LogisticHead(GROUPS, 1.0), rows(400)
    whole.fit(data, ONES)
    parted.fit(data, ONES)
    first = LabelledRows(data.x[:300], data.y[:300], data.weight[:300])
    parted.absorb(first)
    parted.fit(LabelledRows(data.x[300:], data.y[300:], data.weight[300:]), ONES)
    assert parted.mode == pytest.approx(whole.mode, abs=0.02)
    assert parted.covariance == pytest.approx(whole.covariance, abs=0.01)


def test_moderated_is_the_mean_over_the_posterior() -> None:
    normal = np.random.default_rng(4).standard_normal(200_000)
    for z, variance in ((1.0, 0.5), (-2.0, 4.0), (0.0, 9.0)):
        mean = sigmoid(z + np.sqrt(variance) * normal).mean()
        assert moderated(np.array(z), np.array(variance)) == pytest.approx(mean, abs=0.02)
