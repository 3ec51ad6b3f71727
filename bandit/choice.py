"""From preferences to an honest choice: probabilities, floors, the draw."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit.errors import BadAction, NoEligibleAction
from bandit.types import Action, Decision, Estimate, Vector

COLD_SHARE: Final = 0.6
"""Of the cold-start action while there is no evidence; more than half also after the floor."""

SETTLED: Final = 20
"""Judged outcomes per action of all together from which a young one is a newcomer."""
NEWCOMER_SHARE: Final = 0.05
"""Of a newcomer, before its estimate is trusted: what it may cost if it turns out to be bad."""

PATIENCE: Final = 4
"""Unjudged calls, per judged one that is wanted, before exploring fades: silence is no evidence."""


def check_actions(eligible: Sequence[Action]) -> None:
    """Raises NoEligibleAction or BadAction unless the names differ and the prices are > 0."""
    if not eligible:
        raise NoEligibleAction("no action is eligible; relax the request's limits")
    if len({action.name for action in eligible}) < len(eligible):
        raise BadAction("two eligible actions have the same name; give each its own")
    for action in eligible:
        check_price(action)


def check_price(action: Action) -> None:
    if not 0 < action.prior_cost_usd < math.inf:
        raise BadAction(
            f"action {action.name!r} needs a finite prior_cost_usd > 0; for a free model give "
            "what its running time is worth, or any small price"
        )


def count_best(utilities: NDArray[np.float64]) -> Vector:
    """Share of draws in which each action is best; utilities: (draws, k) -> (k,)."""
    draws, k = utilities.shape
    shares: Vector = np.bincount(utilities.argmax(axis=1), minlength=k) / draws
    return shares


def with_floor(probabilities: Vector, floor: float | Vector) -> Vector:
    """Mix in so much of each action that it has at least its floor, (k,) or one for all.

    A floor is at most half of 1 / k.

    >>> with_floor(np.array([1.0, 0.0]), 0.01).tolist()
    [0.99, 0.01]
    """
    k = len(probabilities)
    least = np.minimum(np.full(k, floor), 0.5 / k)
    mixed = least + (1 - least.sum()) * probabilities
    result: Vector = mixed / mixed.sum()
    return result


def cold_start(
    settled: Vector, judged: Vector, calls: Vector, wanted: int, preferred: int | None
) -> Vector:
    """Probabilities before every action has had `wanted` judged outcomes, all arguments (k,).

    settled: what the estimates would choose. judged, calls: outcomes with a quality, and all.
    preferred: index of the cold-start action, None for none.

    The young actions (judged < wanted) share a part; the rest goes to the preferred action until
    there is as much evidence as all need together, then to what the estimates say. Where much is
    known already, every young action has a small share only.
    """
    young = judged < wanted
    if not young.any():
        return settled
    trusted = judged.sum() >= wanted * len(judged)
    if preferred is None and not trusted:
        blind: Vector = young / young.sum()
        return blind
    patience = PATIENCE * wanted / max(calls[young].mean(), 1.0)
    settling = judged.sum() < SETTLED * len(judged)
    most = 1 - COLD_SHARE if settling else min(NEWCOMER_SHARE * young.sum(), 1 - COLD_SHARE)
    share = most * min(1.0, patience)
    rest = settled if trusted or preferred is None else np.eye(len(judged))[preferred]
    mixed: Vector = share * young / young.sum() + (1 - share) * rest
    return mixed


def decide(
    eligible: Sequence[Action],
    probabilities: Vector,
    greedy: int,
    estimates: Mapping[str, Estimate],
    rng: np.random.Generator,
) -> Decision:
    """Draw from `probabilities`, (k,), summing to 1."""
    cumulative = probabilities.cumsum()
    chosen = min(int(np.searchsorted(cumulative, rng.random(), side="right")), len(eligible) - 1)
    names = [action.name for action in eligible]
    shares = probabilities.tolist()
    return Decision(
        action=names[chosen],
        propensity=shares[chosen],
        probabilities=dict(zip(names, shares, strict=True)),
        explored=chosen != greedy,
        estimates=estimates,
    )
