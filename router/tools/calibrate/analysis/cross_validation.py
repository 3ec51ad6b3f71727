"""The policy judged on prompts it was not trained on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit.types import Policy, Weights
from router.domain.catalog import Plan
from router.domain.eligibility import offered
from router.domain.logged_context import action_of
from router.tools.calibrate.analysis.frontier import Matrix, Utility, numbers_of
from router.tools.calibrate.analysis.training import Row, trained

FOLDS: Final = 5
LEAST_ROWS: Final = 2 * FOLDS
COST_WEIGHTS: Final = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
"""At which the policy is tried besides the configured one; it learns the same for all of them."""


@dataclass(frozen=True, slots=True)
class Tried:
    """The policy at one cost weight. numbers: as of a `Way`; shares: by plan, sum to 1."""

    cost_weight: float
    numbers: Matrix
    shares: Mapping[str, float]


def cross_validated(
    fresh: Callable[[], Policy],
    rows: Sequence[Row],
    plans: Mapping[str, Plan],
    utility: Utility,
    rng: np.random.Generator,
) -> list[Tried]:
    """At the configured cost weight first, then at the others of `COST_WEIGHTS`.

    rows: every plan's result is there and has a quality; at least `LEAST_ROWS`. What a policy
    would do is weighted by the probabilities it would do it with, exploration included.
    """
    others = [w for w in COST_WEIGHTS if w != utility.weights.cost]
    weights = [utility.weights, *(replace(utility.weights, cost=w) for w in others)]
    fold = rng.permutation(len(rows)) % FOLDS
    odds = np.zeros((len(weights), len(rows), len(plans)))
    for number in range(FOLDS):
        seen = [row for row, f in zip(rows, fold, strict=True) if f != number]
        policy = trained(fresh, seen, plans, rng)
        for i in np.flatnonzero(fold == number).tolist():
            odds[:, i] = _odds(policy, rows[i], plans, weights)
    results = [_numbers(rows, plans, Utility(w, utility.units)) for w in weights]
    return [
        Tried(w.cost, np.einsum("np,npk->nk", o, r), _shares(o, plans))
        for w, o, r in zip(weights, odds, results, strict=True)
    ]


def _odds(
    policy: Policy, row: Row, plans: Mapping[str, Plan], weights: Sequence[Weights]
) -> NDArray[np.float64]:
    """(weights, plans)."""
    actions = [action_of(plan) for plan in offered(list(plans.values()))]
    chosen = [policy.decide(row.context, actions, w).probabilities for w in weights]
    return np.array([[odds.get(name, 0.0) for name in plans] for odds in chosen])


def _numbers(
    rows: Sequence[Row], plans: Mapping[str, Plan], utility: Utility
) -> NDArray[np.float64]:
    """(n, plans, 3)."""
    return np.stack(
        [numbers_of([row.plans[name] for row in rows], utility) for name in plans], axis=1
    )


def _shares(odds: NDArray[np.float64], plans: Mapping[str, Plan]) -> dict[str, float]:
    return dict(zip(plans, odds.mean(axis=0).tolist(), strict=True))
