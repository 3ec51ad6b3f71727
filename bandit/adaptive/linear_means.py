"""Expected values of several heads at once, where each is linear in the same numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandit.adaptive.outcome_head import OutcomeHead
from bandit.context.view import ContextView
from bandit.models.posterior import Posterior

Matrix = NDArray[np.float64]
Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class _Stack:
    """Coefficients of some rows of all heads, (heads * k, numbers in x), and what they are of."""

    posteriors: Sequence[Posterior]
    rows: bytes
    weights: Matrix


class LinearMeans:
    """Means of heads that read a view's x: one product for all is quicker than one for each.

    The coefficients of the actions last asked about are kept until a head is solved anew.
    """

    def __init__(self, heads: Sequence[OutcomeHead]) -> None:
        self._heads = heads
        self._regressions = [head.regression for head in heads]
        self._offset, self._low, self._high = np.array(
            [(head.spec.regression.offset, head.spec.low, head.spec.high) for head in heads]
        ).T[:, :, None]
        self._stack: _Stack | None = None

    def means(self, view: ContextView, rows: Rows) -> Matrix:
        """Return `OutcomeHead.mean` of each head, with what its advisor says; (heads, k)."""
        stack, heads = self._stacked(rows), self._heads
        if stack is None or any(each.hears(view.application) for each in self._regressions):
            return np.array([head.mean(view, rows, head.advice(view, rows)) for head in heads])
        y: Matrix = stack.weights @ self._regressions[0].fitted(view.x)
        y = y.reshape(len(heads), -1)
        y += self._offset
        np.maximum(y, self._low, out=y)
        np.minimum(y, self._high, out=y)
        return y

    def _stacked(self, rows: Rows) -> _Stack | None:
        """Return None where the heads know x of different lengths, or more than x tells."""
        held, asked = self._stack, rows.tobytes()
        posteriors = [regression.posterior for regression in self._regressions]
        # A list compares by identity first, and a posterior equals itself alone.
        if held is not None and held.posteriors == posteriors and held.rows == asked:
            return held
        weights = [one.weights[rows, :-1] for one in posteriors]
        same = all(each.shape == weights[0].shape for each in weights)
        if not same or not all(head.is_linear for head in self._heads):
            return None
        self._stack = _Stack(posteriors, asked, np.concatenate(weights))
        return self._stack
