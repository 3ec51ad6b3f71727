"""Empirical Bayes: how much shared and how much own contextual signal the outcomes support."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit.statistics import Statistics
from bandit.types import Vector

Array = NDArray[np.float64]

SHARED_GRID: Final = (1e-4, 3e-3, 2e-2, 1e-1)
OWN_GRID: Final = (1e-5, 3e-4, 2e-3, 1e-2, 5e-2)
TRUST_GRID: Final = (1e-4, 1.0)
"""Not to listen to the other regressor at all, or as far as it proves right."""
DOUBT: Final = 3.0
"""Log odds against listening, before the evidence: with 20 to 1 it has to earn its place."""
PARSIMONY: Final = 0.5
"""Log odds against each step of `OWN_GRID`, before the evidence: actions that differ everywhere
alike are the rule."""


@dataclass(frozen=True, slots=True)
class Variances:
    """Prior variances. trust: of kappa; shared, own: of slopes all actions share, and their own."""

    trust: float = TRUST_GRID[0]
    shared: float = SHARED_GRID[1]
    own: float = OWN_GRID[1]


def expected_variances(stats: Statistics, intercept: float, noise: Vector) -> Variances:
    """What is to be expected of each after the evidence: the mean of its logarithm on the grid.

    The likeliest trust is taken. Few outcomes favour no variance by much; their mean then stays in
    the middle, where the likeliest of them would jump.
    intercept: prior variance of the shared and of each own intercept. noise: (slots,).
    """
    table = log_evidence(stats, intercept, noise)
    table[1:] -= DOUBT
    table -= PARSIMONY * np.arange(len(OWN_GRID))
    likeliest = int(table.max(axis=(1, 2)).argmax())
    odds = np.exp(table[likeliest] - table[likeliest].max())
    share = odds / odds.sum()
    shared, own = share.sum(axis=1) @ np.log(SHARED_GRID), share.sum(axis=0) @ np.log(OWN_GRID)
    return Variances(TRUST_GRID[likeliest], float(np.exp(shared)), float(np.exp(own)))


def log_evidence(stats: Statistics, intercept: float, noise: Vector) -> Array:
    """Up to a constant, (trust grid, shared grid, own grid).

    log N(y; 0, noise I + Phi P0^-1 Phi') through the matrix determinant and inversion lemmas:
    (b'P^-1 b - log|P| + log|P0|) / 2 with P the posterior precision and b = Phi'y / noise.
    """
    width = stats.width
    gram, moment = stats.gram / noise[:, None, None], stats.moment / noise[:, None]
    own = np.stack([_variances(width - 1, intercept, t) for t in OWN_GRID])
    pairs = [(trust, slopes) for trust in TRUST_GRID for slopes in SHARED_GRID]
    shared = np.stack([_with_trust(width, intercept, slopes, trust) for trust, slopes in pairs])
    table = np.empty((len(pairs), len(OWN_GRID)))
    for j, variances in enumerate(own):
        schur, residual, inner = _eliminated(gram, moment, variances)
        precision = schur + np.stack([np.diag(1 / s) for s in shared])
        solved = np.linalg.solve(precision, np.tile(residual, (len(shared), 1))[:, :, None])
        outer = solved[:, :, 0] @ residual
        table[:, j] = inner + outer - np.linalg.slogdet(precision)[1] - np.log(shared).sum(axis=1)
    return table.reshape(len(TRUST_GRID), len(SHARED_GRID), len(OWN_GRID)) / 2


def _eliminated(gram: Array, moment: Array, own: Vector) -> tuple[Array, Vector, float]:
    """Schur complement and right side for u, and what the actions' blocks add to the evidence."""
    block = gram[:, :-1, :-1] + np.diag(1 / own)
    right = np.concatenate([gram[:, :-1, :], moment[:, :-1, None]], axis=2)
    solved = np.linalg.solve(block, right)
    coupled, mean = solved[:, :, :-1], solved[:, :, -1]
    schur = (gram - gram[:, :, :-1] @ coupled).sum(axis=0)
    residual = (moment - (gram[:, :, :-1] @ mean[:, :, None])[:, :, 0]).sum(axis=0)
    quadratic = float((moment[:, :-1] * mean).sum())
    volume = float(np.linalg.slogdet(block)[1].sum() + len(gram) * np.log(own).sum())
    return schur, residual, quadratic - volume


def _variances(size: int, intercept: float, slopes: float) -> Vector:
    variances = np.full(size, slopes)
    variances[0] = intercept
    return variances


def _with_trust(width: int, intercept: float, slopes: float, trust: float) -> Vector:
    variances = _variances(width, intercept, slopes)
    variances[-1] = trust
    return variances
