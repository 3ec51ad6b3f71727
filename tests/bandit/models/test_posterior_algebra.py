"""Inverses and evidence by roots, against numpy's own."""

from __future__ import annotations

import numpy as np
import pytest

from bandit.models.empirical_bayes import _outer
from bandit.models.posterior import _inverse


def positive(n: int, width: int, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(n, 3 * width, width))
    return np.asarray(x.transpose(0, 2, 1) @ x / (3 * width) + 0.1 * np.eye(width))


@pytest.mark.parametrize("width", [1, 2, 63, 64, 65, 88, 130])
def test_inverse_by_halves_is_the_inverse(width: int) -> None:
    matrices = positive(3, width)
    assert np.allclose(_inverse(matrices), np.linalg.inv(matrices), rtol=1e-9, atol=1e-10)


def expected(precision: np.ndarray, residual: np.ndarray, prior: np.ndarray) -> list[float]:
    whole = [p + np.diag(1 / q) for p, q in zip(precision, prior, strict=True)]
    pairs = zip(whole, residual, strict=True)
    return [float(r @ np.linalg.solve(p, r) - np.linalg.slogdet(p)[1]) for p, r in pairs]


@pytest.mark.parametrize("size", [1.0, 1e6])
def test_evidence_by_a_root_is_that_by_solving(size: float) -> None:
    rng, precision = np.random.default_rng(1), positive(4, 12)
    residual, prior = size * rng.normal(size=(4, 12)), rng.uniform(0.01, 1, size=(4, 12))
    found = _outer(precision, residual, prior)
    assert np.allclose(found, expected(precision, residual, prior), rtol=1e-12)


def test_evidence_without_a_root_is_that_by_solving(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_root(_: np.ndarray) -> np.ndarray:
        raise np.linalg.LinAlgError

    rng, precision = np.random.default_rng(2), positive(4, 12)
    residual, prior = rng.normal(size=(4, 12)), rng.uniform(0.01, 1, size=(4, 12))
    monkeypatch.setattr(np.linalg, "cholesky", no_root)
    assert np.allclose(_outer(precision, residual, prior), expected(precision, residual, prior))
