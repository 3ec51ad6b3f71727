"""Doubly robust values of a policy from another one's log, decision by decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit.errors import BadInput
from bandit.frontier import LEVEL, Interval
from bandit.offpolicy.confidence import confidence_sequence
from bandit.types import Vector

Array = NDArray[np.float64]

LEAST_EFFECTIVE: Final = 30.0
"""Least effective number of decisions for an interval to be given."""
SUM_SLACK: Final = 1e-6
FOLDS: Final = 5
RIDGE: Final = 10.0
PRIOR_COUNT: Final = 10.0
"""Surprises of an action that weigh as much as the size that all actions tell."""


@dataclass(frozen=True, slots=True)
class LoggedDecisions:
    """Decisions in the order they were made, n of them, k actions in all.

    taken: (n,) column of the action. probabilities: (n, k) with which each might have been taken,
    0 for one that was not eligible. reward: (n,) utility of the action taken.
    """

    taken: NDArray[np.intp]
    probabilities: Array
    reward: Vector

    def __len__(self) -> int:
        return len(self.taken)

    @property
    def propensity(self) -> Vector:
        """Return the probabilities of the actions taken, (n,)."""
        picked: Vector = self.probabilities[np.arange(len(self)), self.taken]
        return picked


@dataclass(frozen=True, slots=True)
class Estimated:
    """An estimate. values: (n,) whose mean it is. effective: see `effective_size`.

    interval: None where too few decisions are left for one to be honest.
    """

    values: Vector
    effective: float
    interval: Interval | None


def importance_weights(logged: LoggedDecisions, wanted: Array) -> Vector:
    """Return p_wanted / p_logged of the action taken, (n,). wanted: (n, k) of the other policy.

    Raises:
        BadInput: shapes that differ, non-finite numbers, an action taken with probability 0,
            shares that do not sum to 1 or lie on an action that was not eligible.

    """
    _check(logged, wanted)
    return _weights(logged, wanted)


def effective_size(logged: LoggedDecisions, wanted: Array) -> float:
    """Return decisions / expected squared weight, mean_t sum_a p_wanted(a)^2 / p_logged(a).

    Kong's (1992) effective sample size with its expectation in place of the sample: every
    probability is logged, so weights that a sample happened to miss count as well.
    """
    _check(logged, wanted)
    return len(logged) / float(_squared_weights(logged, wanted).sum(axis=1).mean())


def doubly_robust(
    logged: LoggedDecisions,
    wanted: Array,
    expected: Array,
    against: Array | None = None,
    level: float = LEVEL,
) -> Estimated:
    """Estimate a policy's value, sum_a p(a) m(a) + w (r - m(taken)) (Dudik et al. 2011).

    wanted: (n, k) probabilities of the policy. expected: (n, k) rewards m of a model that has not
    seen the decision itself. Right when either the propensities or the model are. against: (n, k)
    of another policy; then of the difference of both, decision by decision.

    Raises:
        BadInput: as in `importance_weights`, or a non-finite reward.

    """
    policies = [wanted] if against is None else [wanted, against]
    effective = min(effective_size(logged, policy) for policy in policies)
    if expected.shape != wanted.shape or len(logged.reward) != len(logged):
        raise BadInput("give one reward per decision and one expected reward per action")
    if not (np.isfinite(expected).all() and np.isfinite(logged.reward).all()):
        raise BadInput("a reward is not finite; leave such decisions out")
    shares = wanted if against is None else wanted - against
    surprise = logged.reward - expected[np.arange(len(logged)), logged.taken]
    values: Vector = (shares * expected).sum(axis=1) + _weights(logged, shares) * surprise
    if effective < LEAST_EFFECTIVE:
        return Estimated(values, effective, None)
    least = _variance(logged, shares, surprise)
    return Estimated(values, effective, confidence_sequence(values, level, least_variance=least))


def cross_fitted(logged: LoggedDecisions, contexts: Array, folds: int = FOLDS) -> Array:
    """Expect rewards, (n, k), by ridge regression per action, each fold by the others.

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


def _variance(logged: LoggedDecisions, shares: Array, surprise: Vector) -> float:
    """Return the variance by the weights alone: mean_t sum_a p_w(a)^2/p_l(a) s_a^2.

    A sample without its rarest and heaviest weights looks quieter than it is; this does not.
    """
    actions = shares.shape[1]
    squares = np.bincount(logged.taken, surprise**2, actions)
    counts = np.bincount(logged.taken, minlength=actions)
    pooled = float((surprise**2).mean())
    sizes = (squares + PRIOR_COUNT * pooled) / (counts + PRIOR_COUNT)
    return float((_squared_weights(logged, shares) @ sizes).mean())


def _weights(logged: LoggedDecisions, shares: Array) -> Vector:
    taken: Vector = shares[np.arange(len(logged)), logged.taken]
    return taken / logged.propensity


def _squared_weights(logged: LoggedDecisions, shares: Array) -> Array:
    """Return p_wanted^2 / p_logged, (n, k); 0 where neither policy goes."""
    safe = np.where(logged.probabilities > 0, logged.probabilities, 1.0)
    squared: Array = shares**2 / safe
    return squared


def _check(logged: LoggedDecisions, wanted: Array) -> None:
    given = logged.probabilities
    if given.ndim != 2 or given.shape != wanted.shape or len(logged.taken) != len(given):  # noqa: PLR2004 - rows and columns
        raise BadInput("give one logged and one wanted share per decision and action")
    if not len(given):
        raise BadInput("there is no decision to learn from")
    if not (np.isfinite(given).all() and np.isfinite(wanted).all()):
        raise BadInput("a probability is not finite; leave such decisions out")
    if (given < 0).any() or (logged.propensity <= 0).any():
        raise BadInput("an action was taken with probability 0; leave such decisions out")
    if (wanted < 0).any() or (np.abs(wanted.sum(axis=1) - 1) > SUM_SLACK).any():
        raise BadInput("the shares of a decision are not negative and sum to 1")
    if (wanted[given == 0] > 0).any():
        raise BadInput("a share lies on an action that was not eligible; mask first")


def _ridge(x: Array, y: Array, at: Array) -> Array:
    """Regress; the intercept is pulled to 0 less than the rest, for two outcomes say something."""
    penalty = np.full(x.shape[1], RIDGE)
    penalty[0] = 1.0
    solved: Array = at @ np.linalg.solve(x.T @ x + np.diag(penalty), x.T @ y)
    return solved
