"""Empirical Bayes: how much shared and how much own contextual signal the outcomes support."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit.models.sufficient_statistics import ApplicationSums, SufficientStatistics
from bandit.types import Vector

Array = NDArray[np.float64]

SHARED_GRID: Final = (1e-4, 3e-3, 2e-2, 1e-1)
OWN_GRID: Final = (1e-5, 3e-4, 2e-3, 1e-2, 5e-2)
TRUST_GRID: Final = (1e-4, 1.0)
"""Prior variances of kappa: not to listen to the other regressor, or as far as it proves right."""
APPLICATION_GRID: Final = (0.01, 0.1, 0.5)
"""Variances of the effects of an application on an action, as parts of the noise at the start."""
DOUBT: Final = 3.0
"""Log odds against listening, before the evidence: with 20 to 1 it has to earn its place."""
PARSIMONY: Final = 0.5
"""Log odds against each step of `OWN_GRID`, before the evidence: actions that differ everywhere
alike are the rule."""
OWN_PARSIMONY: Final = 0.7
"""Log odds against each step for one action by itself."""


@dataclass(frozen=True, slots=True)
class PriorVariances:
    """Prior variances. trust: of kappa; shared, own: of slopes all actions share, and their own."""

    trust: float = TRUST_GRID[0]
    shared: float = SHARED_GRID[1]
    own: float = OWN_GRID[1]


def expected_variances(
    stats: SufficientStatistics,
    intercept: float,
    noise: Vector,
    *,
    sparing: bool = True,
    advised: bool = True,
) -> PriorVariances:
    """Choose variances by the evidence: the posterior mean of each one's logarithm on the grid.

    The likeliest trust is taken. Few outcomes favour no variance by much; their mean then stays in
    the middle, where the likeliest of them would jump.
    intercept: prior variance of the shared and of each own intercept. noise: (slots,). sparing:
    with the odds against actions that differ by context. advised: whether kappa may be trusted.
    """
    table = _doubted(stats, intercept, noise, sparing=sparing)
    likeliest = int(table.max(axis=(1, 2)).argmax()) if advised else 0
    odds = np.exp(table[likeliest] - table[likeliest].max())
    share = odds / odds.sum()
    shared, own = share.sum(axis=1) @ np.log(SHARED_GRID), share.sum(axis=0) @ np.log(OWN_GRID)
    return PriorVariances(TRUST_GRID[likeliest], float(np.exp(shared)), float(np.exp(own)))


def application_variance(
    stats: SufficientStatistics, sums: ApplicationSums, intercept: float, noise: Vector, unit: float
) -> float:
    """Choose the variance of the applications' effects by the evidence; 0 not to listen to them.

    unit: the noise assumed at the start.
    """
    best, found = float(_doubted(stats, intercept, noise).max()) + DOUBT, 0.0
    plain = float((stats.square / noise).sum())
    for share in APPLICATION_GRID:
        ratio = noise / (share * unit)
        left = sums.taken_off(stats, ratio)
        told = plain - float((left.square / noise).sum()) - sums.log_volume(ratio)
        evidence = float(_doubted(left, intercept, noise).max()) + told / 2
        if evidence > best:
            best, found = evidence, share * unit
    return found


def _doubted(
    stats: SufficientStatistics, intercept: float, noise: Vector, *, sparing: bool = True
) -> Array:
    """Return the log evidence less the odds against each place of the grid."""
    table = log_evidence(stats, intercept, noise)
    table[1:] -= DOUBT
    result: Array = table - PARSIMONY * sparing * np.arange(len(OWN_GRID))
    return result


def own_variances(
    stats: SufficientStatistics,
    intercept: float,
    noise: Vector,
    found: PriorVariances,
    *,
    sparing: bool = True,
) -> Vector:
    """Choose the variance of each action's own slopes, last of one never seen; (slots + 1,).

    Each is chosen by its own outcomes, as in `expected_variances`, while the others' is
    `found.own`, and is not less than that. One variance for all would let an action that is good
    everywhere alike, and often chosen for it, speak for those that were hardly tried; each for
    itself alone would trust a few outcomes that happen to be alike.
    """
    width, grid = stats.width, np.log(OWN_GRID)
    gram, moment = stats.gram / noise[:, None, None], stats.moment / noise[:, None]
    others = _eliminated(gram, moment, _variances(width - 1, intercept, found.own))
    prior = np.diag(1 / _with_trust(width, intercept, found.shared, found.trust))
    table = np.zeros((stats.slots + 1, len(grid)))
    for j, variance in enumerate(OWN_GRID):
        own = _eliminated(gram, moment, _variances(width - 1, intercept, variance))
        precision, residual = (
            o.sum(axis=0) - o + a for o, a in zip(others[:2], own[:2], strict=True)
        )
        precision += prior
        solved = np.linalg.solve(precision, residual[:, :, None])[:, :, 0]
        outer = (solved * residual).sum(axis=1)
        table[:-1, j] = (own[2] + outer - np.linalg.slogdet(precision)[1]) / 2
    table -= OWN_PARSIMONY * sparing * np.arange(len(grid))
    odds = np.exp(table - table.max(axis=1, keepdims=True))
    result: Vector = np.maximum(found.own, np.exp(odds @ grid / odds.sum(axis=1)))
    return result


def log_evidence(stats: SufficientStatistics, intercept: float, noise: Vector) -> Array:
    """Return the log evidence up to a constant, (trust grid, shared grid, own grid).

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
        schur, residual, inner = (a.sum(axis=0) for a in _eliminated(gram, moment, variances))
        precision = schur + np.stack([np.diag(1 / s) for s in shared])
        solved = np.linalg.solve(precision, np.tile(residual, (len(shared), 1))[:, :, None])
        outer = solved[:, :, 0] @ residual
        table[:, j] = inner + outer - np.linalg.slogdet(precision)[1] - np.log(shared).sum(axis=1)
    return table.reshape(len(TRUST_GRID), len(SHARED_GRID), len(OWN_GRID)) / 2


def _eliminated(gram: Array, moment: Array, own: Vector) -> tuple[Array, Array, Vector]:
    """Return what each action's block adds to u's precision and right side, and to the evidence.

    (slots, width, width), (slots, width) and (slots,).
    """
    block = gram[:, :-1, :-1] + np.diag(1 / own)
    right = np.concatenate([gram[:, :-1, :], moment[:, :-1, None]], axis=2)
    solved = np.linalg.solve(block, right)
    coupled, mean = solved[:, :, :-1], solved[:, :, -1]
    schur = gram - gram[:, :, :-1] @ coupled
    residual = moment - (gram[:, :, :-1] @ mean[:, :, None])[:, :, 0]
    volume = np.linalg.slogdet(block)[1] + np.log(own).sum()
    return schur, residual, (moment[:, :-1] * mean).sum(axis=1) - volume


def _variances(size: int, intercept: float, slopes: float) -> Vector:
    variances = np.full(size, slopes)
    variances[0] = intercept
    return variances


def _with_trust(width: int, intercept: float, slopes: float, trust: float) -> Vector:
    variances = _variances(width, intercept, slopes)
    variances[-1] = trust
    return variances
