"""Cost against quality on the user's own prompts: arms, their mixes, plans, the policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit.frontier import DRAWS, LEVEL, Interval, hull, hull_quality
from bandit.types import Units, Vector, Weights
from bandit.utility import burden
from router.tools.calibrate.analysis.results import Result

Matrix = NDArray[np.float64]
QUALITY: Final = 0
COST: Final = 1
REWARD: Final = 2


@dataclass(frozen=True, slots=True)
class Utility:
    weights: Weights
    units: Units

    def reward(self, result: Result) -> float:
        """Of a result with a quality."""
        taken = burden(
            self.weights, self.units, result.cost_usd, result.latency_ms, float(result.failed)
        )
        return self.weights.quality * (result.quality or 0.0) - taken


@dataclass(frozen=True, slots=True)
class Way:
    """One way to answer every prompt. numbers: quality, cost in USD and reward, (n, 3)."""

    name: str
    kind: str
    numbers: Matrix


@dataclass(frozen=True, slots=True)
class Line:
    """What a way comes to, with intervals over the prompts.

    over_best: quality minus that of the best arm, prompt by prompt.
    dearer: its cost as a share of the best arm's, less one; None where that costs nothing.
    saved: what it costs less than the cheapest mix of arms of its own quality, as a share.
    """

    name: str
    kind: str
    quality: Interval
    cost_usd: Interval
    reward: Interval
    over_best: Interval
    dearer: float | None
    saved: Interval


def numbers_of(results: Sequence[Result], utility: Utility) -> Matrix:
    """(n, 3): quality, cost in USD, reward."""
    rows = [[r.quality or 0.0, r.cost_usd, utility.reward(r)] for r in results]
    return np.array(rows, dtype=float).reshape(-1, 3)


def best_of(arms: Sequence[Way]) -> Way:
    """The arm of the highest mean quality; the cheaper one of equals."""
    return max(arms, key=lambda way: (way.numbers[:, QUALITY].mean(), -way.numbers[:, COST].mean()))


def dearest_of(arms: Sequence[Way]) -> Way:
    return max(arms, key=lambda way: float(way.numbers[:, COST].mean()))


def lines(arms: Sequence[Way], others: Sequence[Way], rng: np.random.Generator) -> list[Line]:
    """A line per way; prompts are resampled jointly, so that all ways see the same draws.

    arms: what the mixes are made of, at least one. Every way has the same n >= 1 prompts.
    """
    ways, best = [*arms, *others], best_of(arms)
    drawn = resampled([way.numbers for way in ways], rng)
    means = np.stack([way.numbers.mean(axis=0) for way in ways])
    whole = np.concatenate([means[None], drawn])
    mixes = [_mix_cost(w[: len(arms), COST], w[: len(arms), QUALITY], w[:, QUALITY]) for w in whole]
    against = np.array(mixes)
    saved = 1 - np.divide(whole[:, :, COST], against, where=against > 0, out=np.ones_like(against))
    at = ways.index(best)
    return [
        Line(
            name=way.name,
            kind=way.kind,
            quality=_interval(whole[:, i, QUALITY]),
            cost_usd=_interval(whole[:, i, COST]),
            reward=_interval(whole[:, i, REWARD]),
            over_best=_interval(whole[:, i, QUALITY] - whole[:, at, QUALITY]),
            dearer=_ratio(means[i, COST], means[at, COST]),
            saved=_interval(saved[:, i]),
        )
        for i, way in enumerate(ways)
    ]


def over_hull(arms: Sequence[Way], way: Way, rng: np.random.Generator) -> Interval:
    """Quality minus that of the best random mix of arms at the same mean cost."""
    drawn = resampled([w.numbers for w in (*arms, way)], rng)
    means = np.stack([w.numbers.mean(axis=0) for w in (*arms, way)])
    gaps = [
        w[-1, QUALITY] - float(hull_quality(w[:-1, COST], w[:-1, QUALITY], w[-1, COST]))
        for w in np.concatenate([means[None], drawn])
    ]
    return _interval(np.array(gaps))


def hull_names(arms: Sequence[Way]) -> list[str]:
    """Arms on the hull, from the cheapest to the best."""
    means = np.stack([way.numbers.mean(axis=0) for way in arms])
    return [arms[i].name for i in hull(means[:, COST], means[:, QUALITY])]


def at_quality(points: Sequence[tuple[float, float]], quality: float) -> float | None:
    """Least mean cost at which the points (cost, quality), mixed, reach a quality; None: never."""
    costs, qualities = np.array(points).T
    if qualities.max() < quality:
        return None
    return float(_mix_cost(costs, qualities, np.array([quality]))[0])


def _mix_cost(costs: Vector, qualities: Vector, wanted: Vector) -> Vector:
    """Mean cost of the cheapest mix of a quality; beyond the ends, of the nearer end."""
    corners = hull(costs, qualities)
    cost: Vector = np.interp(wanted, qualities[corners], costs[corners])
    return cost


def resampled(columns: Sequence[Matrix], rng: np.random.Generator) -> NDArray[np.float64]:
    """Bootstrap means, (draws, ways, 3): the same prompts for every way of a draw."""
    stacked = np.stack(columns, axis=1)
    n, ways, width = stacked.shape
    counts = rng.multinomial(n, np.full(n, 1 / n), size=DRAWS)
    flat = counts @ stacked.reshape(n, ways * width) / n
    return np.asarray(flat.reshape(DRAWS, ways, width), dtype=float)


def _interval(values: Vector) -> Interval:
    """values: the estimate, then its bootstrap draws."""
    low, high = np.quantile(values[1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(values[0]), float(low), float(high))


def _ratio(cost: float, base: float) -> float | None:
    return float(cost / base - 1) if base > 0 else None


def ways_of(kind: str, rows: Mapping[str, Sequence[Result]], utility: Utility) -> list[Way]:
    return [Way(name, kind, numbers_of(results, utility)) for name, results in rows.items()]
