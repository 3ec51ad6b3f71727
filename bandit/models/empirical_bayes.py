"""Empirical Bayes: how much shared and how much own contextual signal the outcomes support."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit.models.posterior import Arrow
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
    eliminated: Eliminated,
    *,
    sparing: bool = True,
    advised: bool = True,
) -> PriorVariances:
    """Choose variances by the evidence: the posterior mean of each one's logarithm on the grid.

    The likeliest trust is taken. Few outcomes favour no variance by much; their mean then stays in
    the middle, where the likeliest of them would jump.
    sparing: with the odds against actions that differ by context. advised: whether kappa may be
    trusted.
    """
    table = _doubted(eliminated, sparing=sparing)
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
    best = float(_doubted(Eliminated(stats, intercept, noise)).max()) + DOUBT
    found = 0.0
    plain = float((stats.square / noise).sum())
    for share in APPLICATION_GRID:
        ratio = noise / (share * unit)
        left = sums.taken_off(stats, ratio)
        told = plain - float((left.square / noise).sum()) - sums.log_volume(ratio)
        evidence = float(_doubted(Eliminated(left, intercept, noise)).max()) + told / 2
        if evidence > best:
            best, found = evidence, share * unit
    return found


def _doubted(eliminated: Eliminated, *, sparing: bool = True) -> Array:
    """Return the log evidence less the odds against each place of the grid."""
    table = log_evidence(eliminated)
    table[1:] -= DOUBT
    result: Array = table - PARSIMONY * sparing * np.arange(len(OWN_GRID))
    return result


def own_variances(
    eliminated: Eliminated,
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
    width, grid = eliminated.width, np.log(OWN_GRID)
    others = eliminated.of(found.own)
    prior = _with_trust(width, eliminated.intercept, found.shared, found.trust)
    table = np.zeros((len(others[2]) + 1, len(grid)))
    for j, variance in enumerate(OWN_GRID):
        own = eliminated.of(variance)
        precision, residual = (
            o.sum(axis=0) - o + a for o, a in zip(others[:2], own[:2], strict=True)
        )
        table[:-1, j] = (own[2] + _outer(precision, residual, prior)) / 2
    table -= OWN_PARSIMONY * sparing * np.arange(len(grid))
    odds = np.exp(table - table.max(axis=1, keepdims=True))
    result: Vector = np.maximum(found.own, np.exp(odds @ grid / odds.sum(axis=1)))
    return result


def log_evidence(eliminated: Eliminated) -> Array:
    """Return the log evidence up to a constant, (trust grid, shared grid, own grid).

    log N(y; 0, noise I + Phi P0^-1 Phi') through the matrix determinant and inversion lemmas:
    (b'P^-1 b - log|P| + log|P0|) / 2 with P the posterior precision and b = Phi'y / noise.
    """
    width, intercept = eliminated.width, eliminated.intercept
    pairs = [(trust, slopes) for trust in TRUST_GRID for slopes in SHARED_GRID]
    shared = np.stack([_with_trust(width, intercept, slopes, trust) for trust, slopes in pairs])
    table = np.empty((len(pairs), len(OWN_GRID)))
    for j, variance in enumerate(OWN_GRID):
        schur, residual, inner = (a.sum(axis=0) for a in eliminated.of(variance))
        outer = _outer(schur[None], residual[None], shared)
        table[:, j] = inner + outer - np.log(shared).sum(axis=1)
    return table.reshape(len(TRUST_GRID), len(SHARED_GRID), len(OWN_GRID)) / 2


class Eliminated:
    """Parts that each action's block adds to u's precision, its right side and the evidence.

    intercept: prior variance of the shared and of each own intercept. noise: (slots,).

    It is kept for each variance of own slopes that was asked for: choosing the variances of all
    and of each action asks for the same ones.
    """

    def __init__(self, stats: SufficientStatistics, intercept: float, noise: Vector) -> None:
        self.width, self.intercept = stats.width, intercept
        self._gram = stats.gram / noise[:, None, None]
        self._moment = stats.moment / noise[:, None]
        self._known: dict[float, tuple[Array, Array, Vector]] = {}

    def of(self, slopes: float) -> tuple[Array, Array, Vector]:
        """Return (slots, width, width), (slots, width) and (slots,); slopes: their variance."""
        known = self._known.get(slopes)
        if known is None:
            own = _variances(self.width - 1, self.intercept, slopes)
            known = self._known[slopes] = _eliminated(self._gram, self._moment, own)
        return known


def _eliminated(gram: Array, moment: Array, own: Vector) -> tuple[Array, Array, Vector]:
    """Return what `Eliminated.of` does; own: prior variances of each action's deviations."""
    arrow = Arrow.of(gram, np.broadcast_to(own, (len(gram), len(own))))
    mean = (arrow.own @ moment[:, :-1, None])[:, :, 0]
    residual = np.empty_like(moment)
    residual[:, :-1] = mean / own
    residual[:, -1] = moment[:, -1] - (gram[:, -1, :-1] * mean).sum(axis=1)
    volume = np.linalg.slogdet(arrow.block)[1] + np.log(own).sum()
    return arrow.schur, residual, (moment[:, :-1] * mean).sum(axis=1) - volume


def _outer(precision: Array, residual: Array, prior: Array) -> Vector:
    """Return r'P^-1 r - log|P| of each P = precision + diag(1 / prior) and its r = residual.

    Each is (n, width, ...) or one for all. Both are told by the root L of P bordered by r, whose
    last row is L^-1 r before the corner. The corner need only be large enough for there to be a
    root: r'P^-1 r <= r' diag(prior) r.
    """
    n, width = max(len(precision), len(np.atleast_2d(prior))), residual.shape[1]
    bordered = np.empty((n, width + 1, width + 1))
    bordered[:, :-1, :-1] = precision
    bordered.reshape(n, -1)[:, :: width + 2][:, :-1] += 1 / prior
    bordered[:, -1, :-1] = bordered[:, :-1, -1] = residual
    bordered[:, -1, -1] = 1 + (residual**2 * prior).sum(axis=1)
    try:
        root = np.linalg.cholesky(bordered)
    except np.linalg.LinAlgError:  # rounding has left one that is not positive definite
        inner = bordered[:, :-1, :-1]
        solved = np.linalg.solve(inner, bordered[:, :-1, -1:])[:, :, 0]
        return np.asarray((solved * residual).sum(axis=1) - np.linalg.slogdet(inner)[1])
    pivots = root.diagonal(axis1=1, axis2=2)
    reached = (root[:, -1, :-1] ** 2).sum(axis=1)
    result: Vector = reached - 2 * np.log(pivots[:, :-1]).sum(axis=1)
    return result


def _variances(size: int, intercept: float, slopes: float) -> Vector:
    variances = np.full(size, slopes)
    variances[0] = intercept
    return variances


def _with_trust(width: int, intercept: float, slopes: float, trust: float) -> Vector:
    variances = _variances(width, intercept, slopes)
    variances[-1] = trust
    return variances
