"""One number from quality, cost, latency and failure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from bandit.errors import BadWeights
from bandit.types import Action, Estimate, Units, Weights

Amount = TypeVar("Amount", float, NDArray[np.float64])


def check_weights(weights: Weights) -> None:
    """Raise BadWeights unless every weight is a finite number >= 0."""
    for value in (weights.quality, weights.cost, weights.latency, weights.failure):
        if not 0 <= value < math.inf:
            raise BadWeights("every utility weight must be a finite number >= 0")


def burden(
    weights: Weights, units: Units, cost_usd: Amount, latency_ms: Amount, failure: Amount
) -> Amount:
    """Return the weighted cost, latency and failure, in numbers or (k,) arrays."""
    cost = weights.cost / units.cost_usd * cost_usd
    latency = weights.latency / units.latency_ms * latency_ms
    return cost + latency + weights.failure * failure


def estimates_of(
    eligible: Sequence[Action], columns: Sequence[NDArray[np.float64]]
) -> dict[str, Estimate]:
    """Return estimates by name; columns: quality, cost, latency, failure, utility, each (k,)."""
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return {action.name: Estimate(*row) for action, row in zip(eligible, rows, strict=True)}
