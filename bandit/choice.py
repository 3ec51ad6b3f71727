"""Honest choices from preferences: the utility, probabilities, floors, the draw."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from bandit.errors import BadAction, BadWeights, NoEligibleAction
from bandit.types import Action, Decision, Estimate, Units, Vector, Weights

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
    taken = weights.cost / units.cost_usd * cost_usd
    if weights.latency:
        taken = taken + weights.latency / units.latency_ms * latency_ms
    return taken + weights.failure * failure


def estimates_of(
    eligible: Sequence[Action], columns: Sequence[Sequence[float]]
) -> dict[str, Estimate]:
    """Return estimates by name; columns: quality, cost, latency, failure, utility, each (k,)."""
    rows = zip(*columns, strict=True)
    return {action.name: Estimate(*row) for action, row in zip(eligible, rows, strict=True)}


COLD_SHARE: Final = 0.6
"""Share of the cold-start action without evidence; more than half also after the floor."""

SETTLED: Final = 20
"""Judged outcomes per action of all together from which a young one is a newcomer."""
NEWCOMER_SHARE: Final = 0.05
"""Share of a newcomer before its estimate is trusted: the risk that it turns out to be bad."""

START: Final = 5.0
"""Judged outcomes of all actions, per one that caution asks of each, until it has no say."""

BOLD: Final = 1.5
BOLD_COUNT: Final = 30.0
"""Draws of an action never judged are BOLD times as wide as the settings say, and half way to their
later width after so many judged outcomes of its own. Narrow ones lock in on whichever action had
luck first."""
FEW: Final = 5
"""Among more actions than this the later width is smaller, by the root of how many times more: of
many, one wins by a lucky draw alone."""

AFFORDED: Final = 0.05
"""Utility that an action may be behind the best and still have its whole floor; one further behind
has less, so that no floor costs more than this times itself per request."""
LEAST_FLOOR: Final = 0.1
"""Least part of its floor that an eligible action has: importance weights stay bounded."""

PATIENCE: Final = 4
"""Unjudged calls, per judged one that is wanted, before exploring fades: silence is no evidence."""


def check_actions(eligible: Sequence[Action]) -> None:
    """Raise NoEligibleAction or BadAction unless the names differ and the prices are > 0."""
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
    if not 0 <= action.input_usd < action.prior_cost_usd:
        raise BadAction(f"action {action.name!r} needs an input_usd in [0, prior_cost_usd)")
    if action.ahead_usd is not None and not 0 <= action.ahead_usd < math.inf:
        raise BadAction(f"action {action.name!r} needs a finite ahead_usd >= 0, or none")


def draw_widths(judged: Sequence[float]) -> list[float]:
    """Return the width of each action's draws, in usual widths; judged: (k,) outcomes of each.

    >>> draw_widths([0.0, 30.0, 90.0])
    [1.5, 1.25, 1.125]
    """
    later = min(1.0, math.sqrt(FEW / len(judged)))
    return [later + (BOLD - later) / (1 + count / BOLD_COUNT) for count in judged]


def count_best(utilities: NDArray[np.float64]) -> Vector:
    """Return the share of draws in which each action is best; utilities: (draws, k) -> (k,)."""
    draws, k = utilities.shape
    if k == 2:  # noqa: PLR2004 - one comparison tells
        second = int(np.count_nonzero(utilities[:, 1] > utilities[:, 0]))
        return np.array([(draws - second) / draws, second / draws])
    shares: Vector = np.bincount(utilities.argmax(axis=1), minlength=k) / draws
    return shares


def held_back(utilities: NDArray[np.float64], best: int, least: Vector) -> NDArray[np.float64]:
    """Return the utilities, -inf of what is not above `best` by more than `least`; (k, draws).

    utilities: (k, draws). least: (k,).

    >>> held_back(np.array([[0.5], [0.51], [0.6]]), 0, np.array([0.0, 0.02, 0.02])).T.tolist()
    [[0.5, -inf, 0.6]]
    """
    bar = utilities[best] + least[:, None]
    bar[best] = -np.inf
    return np.where(utilities > bar, utilities, -np.inf)


def floors(floor: float, utility: Sequence[float]) -> list[float]:
    """Return each action's floor by how far it is expected behind the best; utility: (k,).

    >>> [round(share, 4) for share in floors(0.01, [0.8, 0.75, 0.7, -5.0])]
    [0.01, 0.01, 0.005, 0.001]
    """
    best = max(utility)
    return [floor * max(AFFORDED / max(best - one, AFFORDED), LEAST_FLOOR) for one in utility]


def with_floor(probabilities: Sequence[float], floors: Sequence[float]) -> list[float]:
    """Mix in so much of each action that it has at least its floor, (k,).

    A floor is at most half of 1 / k.

    >>> with_floor([1.0, 0.0], [0.01, 0.01])
    [0.99, 0.01]
    """
    most = 0.5 / len(probabilities)
    least = [min(floor, most) for floor in floors]
    rest = 1 - sum(least)
    mixed = [low + rest * share for low, share in zip(least, probabilities, strict=True)]
    total = sum(mixed)
    return [share / total for share in mixed]


def cold_start(
    settled: Vector, judged: Vector, calls: Vector, wanted: int, preferred: int | None
) -> Vector:
    """Return probabilities before every action has had `wanted` judged outcomes, (k,).

    settled: probabilities by the estimates. judged, calls: outcomes with a quality, and all.
    preferred: index of the cold-start action, None for none.

    The young actions (judged < wanted) share a part; the rest goes to the preferred action until
    there is as much evidence as all need together, then to what the estimates say. Newcomers have
    a small share each, and nothing of the rest.
    """
    young = judged < wanted
    if not young.any():
        return settled
    if newcomers(judged, wanted).any():
        return _mixed_in(settled, young, calls, wanted)
    trusted = judged.sum() >= wanted * len(judged)
    if preferred is None and not trusted:
        blind: Vector = young / young.sum()
        return blind
    share = (1 - COLD_SHARE) * _patience(calls[young], wanted)
    rest = settled if trusted or preferred is None else _all_for(preferred, len(judged))
    mixed: Vector = share * young / young.sum() + (1 - share) * rest
    return mixed


def _all_for(preferred: int, k: int) -> Vector:
    shares = np.zeros(k)
    shares[preferred] = 1.0
    return shares


def cautious(settled: Vector, judged: Vector, preferred: int, caution: float) -> Vector:
    """Return the settled probabilities as far as there are outcomes to believe them by.

    Another action gets its share, (k,), in full after `caution` judged outcomes of its own; the
    rest goes to the preferred one. Few outcomes mislead: luck with the first looks like merit.
    After `START` times as many outcomes of all a newcomer need not wait so long.
    """
    if judged.sum() >= START * caution:
        return settled
    believed: Vector = settled * np.minimum(judged / caution, 1.0)
    believed[preferred] += 1 - believed.sum()
    return believed


def newcomers(judged: Vector, wanted: int) -> NDArray[np.bool_]:
    """Mark actions with few judged outcomes where much is known of the others, (k,)."""
    young: NDArray[np.bool_] = judged < wanted
    if not young.any() or judged.sum() < SETTLED * len(judged) or young.all():
        return np.zeros(len(judged), dtype=np.bool_)
    return young


def _mixed_in(settled: Vector, young: NDArray[np.bool_], calls: Vector, wanted: int) -> Vector:
    rest = np.where(young, 0.0, settled)
    rest = rest / rest.sum() if rest.any() else ~young / (~young).sum()
    share = min(NEWCOMER_SHARE * float(young.sum()), 1 - COLD_SHARE)
    share *= _patience(calls[young], wanted)
    mixed: Vector = share * young / young.sum() + (1 - share) * rest
    return mixed


def _patience(calls: Vector, wanted: int) -> float:
    """Return a share that falls from 1 as calls stay unjudged."""
    return min(1.0, PATIENCE * wanted / max(float(calls.sum()) / len(calls), 1.0))


def decide(
    eligible: Sequence[Action],
    probabilities: Sequence[float],
    greedy: int,
    estimates: Mapping[str, Estimate],
    rng: np.random.Generator,
) -> Decision:
    """Draw from `probabilities`, (k,), summing to 1."""
    names, shares = [action.name for action in eligible], probabilities
    chosen = min(bisect_right(list(accumulate(shares)), rng.random()), len(shares) - 1)
    return Decision(
        action=names[chosen],
        propensity=shares[chosen],
        probabilities=dict(zip(names, shares, strict=True)),
        explored=chosen != greedy,
        estimates=estimates,
    )
