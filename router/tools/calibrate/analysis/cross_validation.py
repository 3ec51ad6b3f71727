"""Cross-validation of the policy at several cost weights, and its cost at equal quality."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit.frontier import LEVEL
from bandit.types import Policy, Vector, Weights
from router.domain.catalog import Plan
from router.domain.eligibility import offered
from router.domain.logged_context import action_of
from router.tools.calibrate.analysis.frontier import (
    COST,
    QUALITY,
    Matrix,
    Strategy,
    Utility,
    at_quality,
    best_of,
    dearest_of,
    mean_of,
    numbers_of,
    resampled,
)
from router.tools.calibrate.analysis.results import PromptResults, trained

FOLDS: Final = 5
LEAST_ROWS: Final = 2 * FOLDS
COST_WEIGHTS: Final = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
"""Tried besides the configured one; the policy learns the same for all of them."""


@dataclass(frozen=True, slots=True)
class CostWeightResult:
    """The policy at one cost weight. shares: by plan, sum to 1.

    numbers, weights: as of `Strategy`.
    """

    cost_weight: float
    numbers: Matrix
    shares: Mapping[str, float]
    weights: Vector | None = None

    @property
    def means(self) -> Vector:
        return mean_of(self.numbers, self.weights)


def cross_validated(
    fresh: Callable[[], Policy],
    rows: Sequence[PromptResults],
    plans: Mapping[str, Plan],
    utility: Utility,
    rng: np.random.Generator,
    *,
    prompt_weights: Vector | None = None,
) -> list[CostWeightResult]:
    """Value the policy at the configured cost weight, then at the others of `COST_WEIGHTS`.

    Plans are weighted by the policy's probabilities, exploration included. rows: at least
    `LEAST_ROWS` prompts with a quality of every plan. prompt_weights: as of `Strategy`.
    """
    others = [w for w in COST_WEIGHTS if w != utility.weights.cost]
    weights = [utility.weights, *(replace(utility.weights, cost=w) for w in others)]
    fold = rng.permutation(len(rows)) % FOLDS
    probabilities = np.zeros((len(weights), len(rows), len(plans)))
    for number in range(FOLDS):
        seen = [row for row, f in zip(rows, fold, strict=True) if f != number]
        policy = trained(fresh, seen, plans, rng)
        for i in np.flatnonzero(fold == number).tolist():
            probabilities[:, i] = _probabilities(policy, rows[i], plans, weights)
    results = [_numbers(rows, plans, Utility(w, utility.units)) for w in weights]
    return [
        CostWeightResult(
            w.cost,
            np.einsum("np,npk->nk", o, r),
            dict(zip(plans, mean_of(o, prompt_weights).tolist(), strict=True)),
            prompt_weights,
        )
        for w, o, r in zip(weights, probabilities, results, strict=True)
    ]


def _probabilities(
    policy: Policy, row: PromptResults, plans: Mapping[str, Plan], weights: Sequence[Weights]
) -> NDArray[np.float64]:
    """Returns probabilities, (weights, plans)."""
    actions = [action_of(plan, row.prices) for plan in offered(list(plans.values()))]
    chosen = [policy.decide(row.context, actions, w).probabilities for w in weights]
    return np.array([[probabilities.get(name, 0.0) for name in plans] for probabilities in chosen])


def _numbers(
    rows: Sequence[PromptResults], plans: Mapping[str, Plan], utility: Utility
) -> NDArray[np.float64]:
    """Returns (n, plans, 3)."""
    return np.stack(
        [numbers_of([row.plans[name] for row in rows], utility) for name in plans], axis=1
    )


SLACK: Final = 0.01
"""Quality that counts as equal: exploration alone keeps a policy a little below its best plan."""


def equal_quality_cost(
    tried: Sequence[CostWeightResult], arms: Sequence[Strategy], rng: np.random.Generator
) -> str:
    """Returns sentences on the best and the dearest arm; every draw chooses its own weight."""
    named = {arm.name: arm for arm in (best_of(arms), dearest_of(arms))}
    return "; ".join(_sentence(tried, arm, rng) for arm in named.values())


def _sentence(tried: Sequence[CostWeightResult], arm: Strategy, rng: np.random.Generator) -> str:
    columns = [*(t.numbers for t in tried), arm.numbers]
    means = np.stack([mean_of(numbers, arm.weights) for numbers in columns])
    if means[-1, COST] <= 0:
        return f"always {arm.name} costs nothing"
    share = _cost_share(means)
    if share == np.inf:
        return f"no weight tried comes within {SLACK} of the quality of always {arm.name}"
    drawn: Vector = np.array([_cost_share(one) for one in resampled(columns, rng, arm.weights)])
    # "lower" and "higher": a draw that never gets there is infinite, and must not be averaged.
    low = np.quantile(drawn, (1 - LEVEL) / 2, method="lower")
    high = np.quantile(drawn, (1 + LEVEL) / 2, method="higher")
    most = f"{high:.0%}" if np.isfinite(high) else "not reached"
    return (
        f"the quality of always {arm.name}, less {SLACK}, costs {share:.0%} [{low:.0%}, {most}] "
        "of its price"
    )


def _cost_share(means: Matrix) -> float:
    """Returns the policy's cost over the arm's; infinite if no weight reaches its quality.

    means: of each weight tried, then of the arm, (n, 3).
    """
    points = [(row[COST], row[QUALITY]) for row in means[:-1]]
    needed_usd = at_quality(points, means[-1, QUALITY] - SLACK)
    if needed_usd is None or means[-1, COST] <= 0:
        return np.inf
    return float(needed_usd / means[-1, COST])
