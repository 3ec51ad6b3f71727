"""Expected rewards of every action, from decisions other than the one asked about."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit.offpolicy.estimates import Logged

Array = NDArray[np.float64]

FOLDS: Final = 5
RIDGE: Final = 10.0


def cross_fitted(logged: Logged, contexts: Array, folds: int = FOLDS) -> Array:
    """Rewards (n, k) by ridge regression per action, each fold by the others' decisions.

    contexts: (n, d). An action never taken outside the fold is expected to earn what all of them
    earn together (Chernozhukov et al., Econometrics Journal 2018, for why folds). The folds are
    every `folds`-th decision, so that each is spread over the whole log.
    """
    n, k = logged.probabilities.shape
    x = np.column_stack([np.ones(n), contexts])
    expected = np.zeros((n, k))
    fold = np.arange(n) % folds
    for held in range(min(folds, n)):
        learn, apply = fold != held, fold == held
        mean = float(logged.reward[learn].mean()) if learn.any() else 0.0
        for action in range(k):
            rows = learn & (logged.taken == action)
            expected[apply, action] = mean + _ridge(x[rows], logged.reward[rows] - mean, x[apply])
    return expected


def _ridge(x: Array, y: Array, at: Array) -> Array:
    """The intercept is pulled to 0 less than the rest: two outcomes of an action say something."""
    penalty = np.full(x.shape[1], RIDGE)
    penalty[0] = 1.0
    solved: Array = at @ np.linalg.solve(x.T @ x + np.diag(penalty), x.T @ y)
    return solved
