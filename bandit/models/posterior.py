"""The hierarchical linear model, solved.

y = x'(s + d_a) + kappa v + noise, where x = [1, z] and v is another regressor's centred
prediction. Shared effects s ~ N(0, shared) and kappa ~ N(0, trust), deviations d_a ~ N(0, own_a),
all independent. With u = [s, kappa] the deviations are independent of one another given u, so the
joint precision is an arrow: one block per action and one for u. Everything below is its block
elimination (Schur complement), linear in the number of actions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from operator import mul
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit.models.sufficient_statistics import SufficientStatistics
from bandit.types import Vector

Array = NDArray[np.float64]

LEAST_HALF: Final = 32
"""Half of a matrix from which it is inverted by halves."""
MOST_PLAIN: Final = 4
"""Rows of a matrix up to which its root is taken in plain numbers."""


@dataclass(frozen=True, slots=True)
class Prior:
    """Prior variances. shared: (width,) of u; noise: (slots,) of y.

    own: (slots + 1, width - 1) of each d_a, last of an action never seen.
    """

    shared: Vector
    own: Vector
    noise: Vector


@dataclass(slots=True)
class Effects:
    """Effects b of an application on k actions, given the weights w: b = y - phi'w + noise.

    mean: expected b, (k,). phi: (k, width). variance: (k,), of the noise. reached: what phi takes
    off how the deviations are reached, once it is asked for.
    """

    mean: Vector
    phi: Array
    variance: Vector
    reached: Array | None = None


@dataclass(frozen=True, slots=True)
class Arrow:
    """The blocks of the actions, eliminated; G: an action's gram matrix by its noise.

    own: inverse of each block B = G + D less G's last row and column, D diagonal. coupled: B^-1 G.
    schur: G - G B^-1 G, what a block leaves to u. As G is B - D, no product of matrices is needed:
    they are 1 - B^-1 D and D - D B^-1 D, and vectors for the last row and column.
    """

    block: Array
    own: Array
    coupled: Array
    schur: Array

    @classmethod
    def of(cls, gram: Array, variances: Array) -> Arrow:
        """Eliminate. gram: (slots, width, width). variances: D^-1, (slots, width - 1)."""
        block, last = gram[:, :-1, :-1].copy(), gram[:, :-1, -1:]
        prior = 1 / variances
        _diagonal(block)[:] += prior
        own = _inverse(block)
        coupled, schur = np.empty(gram[:, :-1].shape), np.empty(gram.shape)
        np.multiply(own, -prior[:, None, :], out=coupled[:, :, :-1])
        np.multiply(prior[:, :, None], coupled[:, :, :-1], out=schur[:, :-1, :-1])
        _diagonal(coupled)[:] += 1.0
        _diagonal(schur)[:, :-1] += prior
        reached = (own @ last)[:, :, 0]
        coupled[:, :, -1] = reached
        schur[:, :-1, -1] = schur[:, -1, :-1] = prior * reached
        schur[:, -1, -1] = gram[:, -1, -1] - (last[:, :, 0] * reached).sum(axis=1)
        return cls(block, own, coupled, schur)


class Posterior:
    """The posterior of every slot, and in the last row of an action never seen.

    weights: (slots + 1, width) mean of [s + d_a, kappa].
    """

    def __init__(self, stats: SufficientStatistics, prior: Prior) -> None:
        """Solve the model."""
        noise = prior.noise[:, None]
        gram, moment = stats.gram / noise[:, :, None], stats.moment / noise
        arrow = Arrow.of(gram, prior.own[:-1])
        schur = arrow.schur.sum(axis=0, keepdims=True)
        _diagonal(schur)[:] += 1 / prior.shared
        inverse = _inverse((schur + schur.transpose(0, 2, 1)) / 2)[0]
        self._prior = prior
        self._own = arrow.own
        self._coupled = arrow.coupled
        self._shared = (inverse + inverse.T) / 2
        self.weights: Array = self._coefficients(moment)
        self._asked: tuple[Vector | None, Vector] = None, moment[:0, 0]

    def coefficients(self, moment: Array) -> Array:
        """Return `weights` for other y with these sums phi y, (slots, width)."""
        return self._coefficients(moment / self._prior.noise[:, None])

    def _coefficients(self, moment: Array) -> Array:
        own, coupled = self._own, self._coupled
        residual = moment - (moment[:, None, :-1] @ coupled)[:, 0]
        u = self._shared @ residual.sum(axis=0)
        weights = np.empty((len(moment) + 1, len(u)))
        weights[:] = u
        weights[:-1, :-1] += (own @ moment[:, :-1, None])[:, :, 0] - coupled @ u
        return weights

    def mean(
        self,
        rows: NDArray[np.intp],
        x: Vector,
        v: Vector | None,
        effects: Effects | None = None,
    ) -> Vector:
        """Return expected y; rows: (k,), x: (width - 1,), v: (k,), None for zeros."""
        result: Vector = self._told(x)[: len(self.weights)].take(rows)
        if v is not None:
            result += self.weights[rows, -1] * v
        if effects is not None:
            result += effects.mean
        return result

    def effects(self, rows: NDArray[np.intp], phi: Array, y: Vector, variance: Vector) -> Effects:
        """Return the effects on actions; see `Effects`."""
        return Effects(y - _rowwise(self.weights[rows], phi), phi, variance)

    def covariance(
        self,
        rows: NDArray[np.intp],
        x: Vector,
        v: Vector | None,
        effects: Effects | None = None,
        *,
        settled: bool = False,
    ) -> Array:
        """Return the joint covariance of the expected y of all rows, (k, k).

        settled: without the noise of the effects.
        """
        reached = self._reached(rows, x)
        if effects is not None:
            reached -= self._taken(rows, effects)
        direct = reached * self._by_prior.take(rows, axis=0)
        if v is not None:
            direct[:, -1] += v
        joint: Array = direct @ self._shared @ direct.T
        if effects is None:
            inner: Vector = reached[:, :-1] @ x
        else:
            inner = _rowwise(reached[:, :-1], x - effects.phi[:, :-1])
        if effects is not None and not settled:
            inner += effects.variance
        joint.ravel()[:: len(rows) + 1] += inner
        return joint

    def _taken(self, rows: NDArray[np.intp], effects: Effects) -> Array:
        """Return `effects.reached`: with it x less phi is reached as x alone is."""
        if effects.reached is None:
            phi, pairs = effects.phi, zip(effects.phi[:, :-1], rows.tolist(), strict=True)
            effects.reached = np.array([self._reached_alone(row, one) for one, row in pairs])
            effects.reached[:, -1] += phi[:, -1]
        return effects.reached

    def freedom(self) -> float:
        """Count parameters less the share of each that its prior still holds."""
        shared = 1 - self._shared.diagonal() / self._prior.shared
        return float(self.own_freedom().sum() + shared.sum())

    def own_freedom(self) -> Vector:
        """Count each action's deviations alone, less what their prior holds; (slots,)."""
        through_u = ((self._coupled @ self._shared) * self._coupled).sum(axis=2)
        spread = self._own.diagonal(axis1=1, axis2=2) + through_u
        result: Vector = (1 - spread / self._prior.own[:-1]).sum(axis=1)
        return result

    def _reached(self, rows: NDArray[np.intp], x: Vector) -> Array:
        """Return how x reaches the deviations and, last, kappa of each row, (k, width).

        The shared effects it reaches as far as the deviations by their prior variance do not take
        it: 1 - coupled is the inverse of that variance times own; see `Arrow`.
        """
        found: Array = self._told(x)[len(self.weights) :].reshape(-1, len(x) + 1)
        if rows.min() < 0:
            found = np.concatenate([found, self._reached_alone(-1, x)[None]])
        return found.take(rows, axis=0)

    def _reached_alone(self, row: int, x: Vector) -> Vector:
        """Return `_reached` of one row, (width,)."""
        if row < 0:
            return np.append(self._prior.own[-1] * x, 0.0)
        return np.append(self._own[row] @ x, -self._coupled[row, :, -1] @ x)

    def _told(self, x: Vector) -> Vector:
        """Return the product of `_stack` and x: means first ask for it, then the covariance."""
        asked, told = self._asked
        if asked is not x:
            told = self._stack @ x
            self._asked = x, told
        return told

    @cached_property
    def _stack(self) -> Array:
        """Return all that x is multiplied by, (slots + 1 + slots * width, width - 1).

        The weights, and of each slot own and the last column of coupled, below one another.
        """
        last = -self._coupled[:, None, :, -1]
        reach = np.concatenate([self._own, last], axis=1).reshape(-1, self._own.shape[-1])
        return np.concatenate([self.weights[:, :-1], reach])

    @cached_property
    def _by_prior(self) -> Array:
        """Return the inverse prior variances of the deviations, 1 for kappa; (slots + 1, width)."""
        return np.append(1 / self._prior.own, np.ones((len(self._prior.own), 1)), axis=1)


def cholesky(matrix: list[list[float]]) -> Array:
    """Return the lower triangular root of a positive definite matrix, (k, k).

    The call of LAPACK alone takes several times as long as a small root in plain numbers.

    >>> cholesky([[4.0, 2.0], [2.0, 2.0]]).tolist()
    [[2.0, 0.0], [1.0, 1.0]]
    """
    k = len(matrix)
    root = [[0.0] * k for _ in matrix] if k <= MOST_PLAIN else []
    for i, own in enumerate(root):
        for j, other in enumerate(root[: i + 1]):
            left = matrix[i][j] - sum(map(mul, own[:j], other))
            if i != j:
                own[j] = left / other[j]
            elif left > 0:
                own[j] = math.sqrt(left)
            else:
                return np.asarray(np.linalg.cholesky(matrix), dtype=np.float64)
    return np.array(root) if root else np.asarray(np.linalg.cholesky(matrix), dtype=np.float64)


def _diagonal(matrices: Array) -> Array:
    """Show the diagonals of contiguous matrices, (n, rows, columns) -> (n, rows); to write to."""
    n, rows, columns = matrices.shape
    return matrices.reshape(n, rows * columns)[:, :: columns + 1]


def _rowwise(one: Array, other: Array) -> Vector:
    """Return the product of each row of one with that of the other, (k,)."""
    products: Vector = np.einsum("ij,ij->i", one, other)
    return products


def _inverse(matrices: Array) -> Array:
    """Return the inverse of positive definite matrices of moderate condition, (n, k, k).

    Large ones are put together from halves: products of matrices, as LAPACK is called by numpy, are
    many times as quick as solving.
    """
    half = matrices.shape[-1] // 2
    if half < LEAST_HALF:
        return np.asarray(np.linalg.inv(matrices), dtype=np.float64)
    upper, across = _inverse(matrices[:, :half, :half]), matrices[:, :half, half:]
    reached = upper @ across
    lower = _inverse(matrices[:, half:, half:] - across.transpose(0, 2, 1) @ reached)
    crossed, result = reached @ lower, np.empty(matrices.shape)
    result[:, half:, half:] = lower
    np.negative(crossed, out=result[:, :half, half:])
    result[:, half:, :half] = result[:, :half, half:].transpose(0, 2, 1)
    result[:, :half, :half] = upper + crossed @ reached.transpose(0, 2, 1)
    return result


def residual_squares(stats: SufficientStatistics, posterior: Posterior) -> Vector:
    """Sum (y - expected y)^2 over each slot's outcomes, from the statistics alone."""
    weights = posterior.weights[:-1]
    fitted = ((stats.gram @ weights[:, :, None])[:, :, 0] * weights).sum(axis=1)
    squares: Vector = stats.square - 2 * (stats.moment * weights).sum(axis=1) + fitted
    return np.maximum(0.0, squares)
