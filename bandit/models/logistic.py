"""Bayesian logistic regression with a Gaussian posterior (Laplace's approximation).

MacKay 1992, The evidence framework applied to classification networks: the mode by Newton's
method, the variances of groups of weights by expectation maximisation, predictions moderated by
their own variance: P = sigma(m / sqrt(1 + pi v / 8)).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit.snapshots.parts import Arrays, shaped
from bandit.types import Vector

Array = NDArray[np.float64]

MAX_STEPS: Final = 12
TOLERANCE: Final = 1e-4
MOST_LOGIT: Final = 30.0
_HALVINGS: Final = 5
_LEAST_VARIANCE: Final = 1e-4
_MOST_VARIANCE: Final = 25.0


@dataclass(frozen=True, slots=True)
class WeightGroup:
    """Neighbouring weights with one prior variance.

    start: that variance at first. strength: made-up weights that hold to it; inf to keep it.
    """

    size: int
    start: float
    strength: float


@dataclass(frozen=True, slots=True)
class LabelledRows:
    """Labelled rows. x: (n, width). y: (n,) in [0, 1], soft labels too. weight: (n,) > 0."""

    x: Array
    y: Vector
    weight: Vector


class LogisticHead:
    """P(y = 1 | x) = sigma(offset + x'theta); scales: of each column of x, given with every fit.

    The prior variance of theta_j is that of its group over scale_j^2: columns need no scaling.
    Rows that are no longer kept live on in a Gaussian, taken at the mode of that time.
    """

    def __init__(self, groups: Sequence[WeightGroup], offset: float) -> None:
        self._groups = groups
        self._offset = offset
        self._of = np.repeat(np.arange(len(groups)), [group.size for group in groups])
        self._variances = np.array([group.start for group in groups])
        width = len(self._of)
        self.mode = np.zeros(width)
        self.covariance: NDArray[np.float32] = np.diag(self._variances[self._of]).astype("<f4")
        self._past_precision = np.zeros((0, 0))
        self._past_pull = np.zeros(0)

    @property
    def offset(self) -> float:
        return self._offset

    def logits(self, x: Array) -> Vector:
        return np.clip(self._offset + x @ self.mode, -MOST_LOGIT, MOST_LOGIT)

    def absorb(self, rows: LabelledRows) -> None:
        """Keep the likelihood of rows as it is near the mode: a quadratic."""
        width = len(self.mode)
        if not len(rows.y):
            return
        if not self._past_pull.size:
            self._past_precision, self._past_pull = np.zeros((width, width)), np.zeros(width)
        p = sigmoid(self.logits(rows.x))
        bend = rows.weight * np.maximum(p * (1 - p), 1e-6)
        gram = (rows.x.T * bend) @ rows.x
        self._past_precision += gram
        self._past_pull += gram @ self.mode - rows.x.T @ (rows.weight * (p - rows.y))

    def fit(self, rows: LabelledRows, scales: Vector, rounds: int = 0) -> None:
        """Solve for the mode; rounds: how often the groups' variances are chosen anew."""
        self._solve(rows, scales)
        for _ in range(rounds):
            self._choose_variances(scales)
            self._solve(rows, scales)

    def grow(self, slots: int) -> None:
        """Keep one model for all slots."""

    def arrays(self) -> Arrays:
        return {
            "variances": self._variances,
            "mode": self.mode,
            "covariance": self.covariance,
            "past_precision": self._past_precision,
            "past_pull": self._past_pull,
        }

    def restore(self, arrays: Arrays, slots: int) -> None:  # noqa: ARG002 - one model
        """Restore what `arrays` gave. Raises ValueError or KeyError for other arrays."""
        width, past = len(self.mode), len(arrays["past_pull"])
        if past not in (0, width):
            raise ValueError("a width does not fit")
        self._variances = shaped(arrays["variances"], self._variances.shape).copy()
        self.mode = shaped(arrays["mode"], (width,)).copy()
        self.covariance = shaped(arrays["covariance"], (width, width)).astype("<f4")
        self._past_precision = shaped(arrays["past_precision"], (past, past)).copy()
        self._past_pull = shaped(arrays["past_pull"], (past,)).copy()
        if min(*self._variances, *self.covariance.diagonal()) <= 0:
            raise ValueError("a variance is not positive")

    def _solve(self, rows: LabelledRows, scales: Vector) -> None:
        prior = scales * scales / self._variances[self._of]
        mode, loss = self.mode, self._loss(self.mode, rows, prior)
        for _ in range(MAX_STEPS):
            slope, bend = self._derivatives(mode, rows, prior)
            step: Vector = np.asarray(np.linalg.solve(bend, slope), dtype=np.float64)
            mode, loss, gain = self._moved(mode, loss, step, rows, prior)
            if gain < TOLERANCE:
                break
        self.mode = mode
        inverse = np.linalg.inv(self._derivatives(mode, rows, prior)[1])
        self.covariance = ((inverse + inverse.T) / 2).astype("<f4")

    def _moved(
        self, mode: Vector, loss: float, step: Vector, rows: LabelledRows, prior: Vector
    ) -> tuple[Vector, float, float]:
        """Halve Newton's step until it helps; return the new mode, its loss, and the gain."""
        for halving in range(_HALVINGS):
            tried = mode - step / 2**halving
            new = self._loss(tried, rows, prior)
            if new <= loss:
                return tried, new, loss - new
        return mode, loss, 0.0

    def _derivatives(self, mode: Vector, rows: LabelledRows, prior: Vector) -> tuple[Vector, Array]:
        p = sigmoid(self._offset + rows.x @ mode)
        slope = rows.x.T @ (rows.weight * (p - rows.y)) + prior * mode
        bend = (rows.x.T * (rows.weight * p * (1 - p))) @ rows.x
        bend.ravel()[:: len(prior) + 1] += prior
        if self._past_pull.size:
            slope += self._past_precision @ mode - self._past_pull
            bend += self._past_precision
        return slope, bend

    def _loss(self, mode: Vector, rows: LabelledRows, prior: Vector) -> float:
        z = self._offset + rows.x @ mode
        loss = rows.weight @ (np.logaddexp(0, z) - rows.y * z) + 0.5 * prior @ (mode * mode)
        if self._past_pull.size:
            loss += 0.5 * mode @ self._past_precision @ mode - self._past_pull @ mode
        return float(loss)

    def _choose_variances(self, scales: Vector) -> None:
        """Maximise the expectation: E[theta^2] of each group, with its made-up weights."""
        squares = scales * scales * (self.mode * self.mode + self.covariance.diagonal())
        sums = np.bincount(self._of, weights=squares, minlength=len(self._groups))
        for index, group in enumerate(self._groups):
            if np.isfinite(group.strength):
                total = sums[index] + group.strength * group.start
                self._variances[index] = total / (group.size + group.strength)
        np.clip(self._variances, _LEAST_VARIANCE, _MOST_VARIANCE, out=self._variances)


def sigmoid(z: Array) -> Array:
    """Return 1 / (1 + exp(-z)), without overflow.

    >>> sigmoid(np.array([-1000.0, 0.0, 1000.0])).tolist()
    [0.0, 0.5, 1.0]
    """
    half: Array = 0.5 + 0.5 * np.tanh(0.5 * z)
    return half


def moderated(z: Array, variance: Array) -> Array:
    """Return the mean of sigma over N(z, variance), nearly (MacKay 1992)."""
    return sigmoid(z / np.sqrt(1 + np.pi / 8 * variance))
