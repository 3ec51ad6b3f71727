"""What the policy costs at the quality of an arm, with how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from bandit.frontier import LEVEL
from bandit.types import Vector
from router.tools.calibrate.analysis.cross_validation import Tried
from router.tools.calibrate.analysis.frontier import (
    COST,
    QUALITY,
    Matrix,
    Way,
    at_quality,
    best_of,
    dearest_of,
    resampled,
)

SLACK: Final = 0.01
"""Quality that counts as equal: exploration alone keeps a policy a little below its best plan."""


def equal_quality(tried: Sequence[Tried], arms: Sequence[Way], rng: np.random.Generator) -> str:
    """In words, for the best and for the dearest arm. The weight is chosen anew in every draw."""
    ways = {way.name: way for way in (best_of(arms), dearest_of(arms))}
    return "; ".join(_told(tried, way, rng) for way in ways.values())


def _told(tried: Sequence[Tried], way: Way, rng: np.random.Generator) -> str:
    columns = [*(t.numbers for t in tried), way.numbers]
    means = np.stack([numbers.mean(axis=0) for numbers in columns])
    if means[-1, COST] <= 0:
        return f"always {way.name} costs nothing"
    share = _share(means)
    if share == np.inf:
        return f"no weight tried comes within {SLACK} of the quality of always {way.name}"
    drawn: Vector = np.array([_share(one) for one in resampled(columns, rng)])
    # "lower" and "higher": a draw that never gets there is infinite, and must not be averaged.
    low = np.quantile(drawn, (1 - LEVEL) / 2, method="lower")
    high = np.quantile(drawn, (1 + LEVEL) / 2, method="higher")
    most = f"{high:.0%}" if np.isfinite(high) else "not reached"
    return (
        f"the quality of always {way.name}, less {SLACK}, costs {share:.0%} [{low:.0%}, {most}] "
        "of its price"
    )


def _share(means: Matrix) -> float:
    """means: of each weight tried, then of the arm, (n, 3). Infinite where none gets there."""
    points = [(row[COST], row[QUALITY]) for row in means[:-1]]
    needed_usd = at_quality(points, means[-1, QUALITY] - SLACK)
    if needed_usd is None or means[-1, COST] <= 0:
        return np.inf
    return float(needed_usd / means[-1, COST])
