"""From full information to a policy: every plan's outcome on every prompt, learned in turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bandit.types import Context, Outcome, Policy
from router.domain.catalog import Plan
from router.domain.logged_context import action_of
from router.tools.calibrate.analysis.results import Result


@dataclass(frozen=True, slots=True)
class Row:
    """One prompt. plans, arms: results by name; absent where not enough is known."""

    context: Context
    plans: Mapping[str, Result]
    arms: Mapping[str, Result]


def outcomes_of(row: Row, plans: Mapping[str, Plan]) -> list[Outcome]:
    """In the order of `plans`. Nothing was drawn: the propensity is 1."""
    return [
        Outcome(
            action=action_of(plans[name]),
            context=row.context,
            quality=result.quality,
            cost_usd=result.cost_usd,
            latency_ms=result.latency_ms,
            failed=result.failed,
        )
        for name, result in row.plans.items()
    ]


def trained(
    fresh: Callable[[], Policy],
    rows: Sequence[Row],
    plans: Mapping[str, Plan],
    rng: np.random.Generator,
) -> Policy:
    """A fresh policy that has seen every row once, in random order."""
    policy = fresh()
    for index in rng.permutation(len(rows)).tolist():
        policy.learn(outcomes_of(rows[index], plans))
    return policy
