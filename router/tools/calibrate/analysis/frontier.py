"""Cost against quality on the user's own prompts: arms, their mixes, plans, the policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit.choice import burden
from bandit.frontier import DRAWS, LEVEL, Interval, hull, hull_quality
from bandit.types import Units, Vector, Weights
from router.learning.plan_results import CallResult

Matrix = NDArray[np.float64]
QUALITY: Final = 0
COST: Final = 1
REWARD: Final = 2


@dataclass(frozen=True, slots=True)
class Utility:
    weights: Weights
    units: Units

    def reward(self, result: CallResult) -> float:
        """Returns the utility of a result that has a quality."""
        taken = burden(
            self.weights, self.units, result.cost_usd, result.latency_ms, float(result.failed)
        )
        return self.weights.quality * (result.quality or 0.0) - taken


@dataclass(frozen=True, slots=True)
class Strategy:
    """One way to answer every prompt. numbers: quality, cost in USD and reward, (n, 3).

    weights: of the prompts, (n,), with sum 1; None for equal ones.
    """

    name: str
    kind: str
    numbers: Matrix
    weights: Vector | None = None

    @property
    def means(self) -> Vector:
        return mean_of(self.numbers, self.weights)


@dataclass(frozen=True, slots=True)
class FrontierRow:
    """The values of a strategy, with intervals over the prompts.

    over_best: quality minus that of the best arm, prompt by prompt.
    dearer: its cost over the best arm's, minus one; None if that is free.
    saved: share of the cost saved against the cheapest mix of arms of its own quality.
    """

    name: str
    kind: str
    quality: Interval
    cost_usd: Interval
    reward: Interval
    over_best: Interval
    dearer: float | None
    saved: Interval


def mean_of(values: Matrix, weights: Vector | None) -> Vector:
    """Returns the mean over the first axis; weights: as of `Strategy`."""
    mean: Vector = np.average(values, axis=0, weights=weights)
    return mean


def numbers_of(results: Sequence[CallResult], utility: Utility) -> Matrix:
    """Returns (n, 3): quality, cost in USD, reward."""
    rows = [[r.quality or 0.0, r.cost_usd, utility.reward(r)] for r in results]
    return np.array(rows, dtype=float).reshape(-1, 3)


def best_of(arms: Sequence[Strategy]) -> Strategy:
    """Returns the arm of the highest mean quality; the cheaper one of equals."""
    return max(
        arms,
        key=lambda strategy: (strategy.means[QUALITY], -strategy.means[COST]),
    )


def dearest_of(arms: Sequence[Strategy]) -> Strategy:
    return max(arms, key=lambda strategy: float(strategy.means[COST]))


def frontier_rows(
    arms: Sequence[Strategy], others: Sequence[Strategy], rng: np.random.Generator
) -> list[FrontierRow]:
    """Returns a row per strategy, all on the same n >= 1 prompts and the same bootstrap draws.

    arms: at least one; mixes are made of them. others: further strategies.
    """
    strategies, best = [*arms, *others], best_of(arms)
    drawn = resampled([strategy.numbers for strategy in strategies], rng, best.weights)
    means = np.stack([strategy.means for strategy in strategies])
    whole = np.concatenate([means[None], drawn])
    mixes = [_mix_cost(w[: len(arms), COST], w[: len(arms), QUALITY], w[:, QUALITY]) for w in whole]
    against = np.array(mixes)
    saved = 1 - np.divide(whole[:, :, COST], against, where=against > 0, out=np.ones_like(against))
    at = strategies.index(best)
    return [
        FrontierRow(
            name=strategy.name,
            kind=strategy.kind,
            quality=_interval(whole[:, i, QUALITY]),
            cost_usd=_interval(whole[:, i, COST]),
            reward=_interval(whole[:, i, REWARD]),
            over_best=_interval(whole[:, i, QUALITY] - whole[:, at, QUALITY]),
            dearer=_ratio(means[i, COST], means[at, COST]),
            saved=_interval(saved[:, i]),
        )
        for i, strategy in enumerate(strategies)
    ]


def over_hull(arms: Sequence[Strategy], strategy: Strategy, rng: np.random.Generator) -> Interval:
    """Returns quality minus that of the best random mix of arms at the same mean cost."""
    drawn = resampled([w.numbers for w in (*arms, strategy)], rng, strategy.weights)
    means = np.stack([w.means for w in (*arms, strategy)])
    gaps = [
        w[-1, QUALITY] - float(hull_quality(w[:-1, COST], w[:-1, QUALITY], w[-1, COST]))
        for w in np.concatenate([means[None], drawn])
    ]
    return _interval(np.array(gaps))


def hull_names(arms: Sequence[Strategy]) -> list[str]:
    """Returns the arms on the hull, from the cheapest to the best."""
    means = np.stack([strategy.means for strategy in arms])
    return [arms[i].name for i in hull(means[:, COST], means[:, QUALITY])]


def at_quality(points: Sequence[tuple[float, float]], quality: float) -> float | None:
    """Returns the least mean cost at which a mix of (cost, quality) reaches a quality, or None."""
    costs, qualities = np.array(points).T
    if qualities.max() < quality:
        return None
    return float(_mix_cost(costs, qualities, np.array([quality]))[0])


def _mix_cost(costs: Vector, qualities: Vector, wanted: Vector) -> Vector:
    """Returns the mean cost of the cheapest mix of a quality; beyond an end, that of the end."""
    corners = hull(costs, qualities)
    cost: Vector = np.interp(wanted, qualities[corners], costs[corners])
    return cost


def resampled(
    columns: Sequence[Matrix], rng: np.random.Generator, weights: Vector | None = None
) -> NDArray[np.float64]:
    """Returns bootstrap means, (draws, strategies, 3); a draw has the same prompts for all.

    weights: as of `Strategy`; a draw takes prompts by chance alone and weighs those it has.
    """
    stacked = np.stack(columns, axis=1)
    n, strategies, width = stacked.shape
    counts = rng.multinomial(n, np.full(n, 1 / n), size=DRAWS)
    shares = counts if weights is None else counts * weights
    shares = shares / shares.sum(axis=1, keepdims=True)
    flat = shares @ stacked.reshape(n, strategies * width)
    return np.asarray(flat.reshape(DRAWS, strategies, width), dtype=float)


def _interval(values: Vector) -> Interval:
    """values: the estimate, then its bootstrap draws."""
    low, high = np.quantile(values[1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(values[0]), float(low), float(high))


def _ratio(cost: float, base: float) -> float | None:
    return float(cost / base - 1) if base > 0 else None


def strategies_of(
    kind: str,
    rows: Mapping[str, Sequence[CallResult]],
    utility: Utility,
    weights: Vector | None = None,
) -> list[Strategy]:
    return [
        Strategy(name, kind, numbers_of(results, utility), weights)
        for name, results in rows.items()
    ]
