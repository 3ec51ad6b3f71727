"""The hierarchical linear model, solved.

y = x'(s + d_a) + kappa v + noise, where x = [1, z] and v is another regressor's centred
prediction. Shared effects s ~ N(0, shared) and kappa ~ N(0, slope), deviations d_a ~ N(0, own),
all independent. With u = [s, kappa] the deviations are independent of one another given u, so the
joint precision is an arrow: one block per action and one for u. Everything below is its block
elimination (Schur complement), linear in the number of actions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandit.statistics import Statistics
from bandit.types import Vector

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Prior:
    """Variances. shared: (width,) of u; own: (width - 1,) of each d_a; noise: of y."""

    shared: Vector
    own: Vector
    noise: float


@dataclass(frozen=True, slots=True)
class Posterior:
    """What is believed. The last row of each array is an action never seen.

    weights: (slots + 1, width) mean of [s + d_a, kappa].
    reach:   (slots + 1, width - 1, 2 width - 1): [own' M | own], where own is the covariance of
             d_a given u and M couples it to u.
    shared:  (width, width) covariance of u.
    freedom: effective number of fitted parameters.
    """

    weights: Array
    reach: Array
    shared: Array
    freedom: float

    def mean(self, rows: NDArray[np.intp], x: Vector, v: Vector) -> Vector:
        """Expected y of each row; rows, v: (k,), x: (width - 1,)."""
        picked = self.weights[rows]
        result: Vector = picked[:, :-1] @ x + picked[:, -1] * v
        return result

    def covariance(self, rows: NDArray[np.intp], x: Vector, v: Vector) -> Array:
        """Of the expected y of all rows jointly, (k, k)."""
        width = len(self.shared)
        reached = (x @ self.reach)[rows]
        direct = -reached[:, :width]
        direct[:, :-1] += x
        direct[:, -1] += v
        joint: Array = direct @ self.shared @ direct.T
        joint[np.diag_indices(len(rows))] += reached[:, width:] @ x
        return joint


def solve(stats: Statistics, prior: Prior) -> Posterior:
    width, slots = stats.width, stats.slots
    gram, moment = stats.gram / prior.noise, stats.moment / prior.noise
    own: Array = np.linalg.inv(gram[:, :-1, :-1] + np.diag(1 / prior.own))
    coupled = own @ gram[:, :-1, :]
    schur = (gram - gram[:, :, :-1] @ coupled).sum(axis=0)
    schur += np.diag(1 / prior.shared)
    inverse = np.linalg.inv((schur + schur.T) / 2)
    shared: Array = (inverse + inverse.T) / 2
    residual = moment - (moment[:, None, :-1] @ coupled)[:, 0]
    u = shared @ residual.sum(axis=0)
    deviation = (own @ moment[:, :-1, None])[:, :, 0] - coupled @ u

    weights = np.tile(u, (slots + 1, 1))
    weights[:-1, :-1] += deviation
    reach = np.zeros((slots + 1, width - 1, 2 * width - 1))
    reach[:-1, :, :width], reach[:-1, :, width:] = coupled, own
    reach[-1, :, width:] = np.diag(prior.own)
    return Posterior(weights, reach, shared, _freedom(own, coupled, shared, prior))


def _freedom(own: Array, coupled: Array, shared: Array, prior: Prior) -> float:
    """Number of parameters less the share of each that its prior still holds."""
    spread = own.diagonal(axis1=1, axis2=2) + ((coupled @ shared) * coupled).sum(axis=2)
    held = (spread / prior.own).sum() + (shared.diagonal() / prior.shared).sum()
    return float(spread.size + len(shared) - held)


def residual_square(stats: Statistics, posterior: Posterior) -> float:
    """Sum over all outcomes of (y - expected y)^2, from the statistics alone."""
    weights = posterior.weights[:-1]
    fitted = ((stats.gram @ weights[:, :, None])[:, :, 0] * weights).sum()
    return max(0.0, float(stats.square.sum() - 2 * (stats.moment * weights).sum() + fitted))
