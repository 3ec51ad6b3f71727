"""A policy asked a few stored questions before it serves: a checksum only says who wrote it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from bandit.errors import AbsurdSnapshot
from bandit.models.running_means import MOST_RATIO
from bandit.settings import ContextShape
from bandit.types import Action, Context, Decision, Policy, Weights

MOST_COST: Final = MOST_RATIO * (1 + 1e-9)
"""Of an expected cost, as a multiple of the prior one: a mean of what is learned at most."""
_PRICE: Final = 1.0
_SUM: Final = 1e-6


def probes(shape: ContextShape, version: str) -> list[Context]:
    """A blank context, and one in the middle of each cluster."""
    middles = [np.zeros(shape.clusters), *np.eye(shape.clusters)]
    axes, features = np.zeros(shape.axes), np.zeros(shape.features)
    return [Context(middle, axes, features, version) for middle in middles]


def check_answers(
    policy: Policy, names: Sequence[str], asked: Sequence[Context], weights: Weights
) -> None:
    """names: of actions, asked about at equal prior costs. Raises AbsurdSnapshot."""
    eligible = [Action(name, _PRICE) for name in names]
    for context in asked:
        try:
            decision = policy.decide(context, eligible, weights)
        except (ValueError, ArithmeticError, np.linalg.LinAlgError):
            raise _absurd("can't decide") from None
        _check(decision)


def _check(decision: Decision) -> None:
    shares = list(decision.probabilities.values())
    if not all(0 < share <= 1 for share in shares) or abs(math.fsum(shares) - 1) > _SUM:
        raise _absurd("gives probabilities that are none")
    for estimate in decision.estimates.values():
        if not 0 <= estimate.quality <= 1 or not 0 <= estimate.failure <= 1:
            raise _absurd("expects a quality or failure outside [0, 1]")
        if not 0 <= estimate.cost_usd <= MOST_COST * _PRICE:
            raise _absurd(f"expects a cost below 0 or above {MOST_RATIO:g} times the prior one")
        if not 0 <= estimate.latency_ms < math.inf:
            raise _absurd("expects no latency that could be")


def _absurd(what: str) -> AbsurdSnapshot:
    return AbsurdSnapshot(f"the snapshot {what}; go back to an older one")
