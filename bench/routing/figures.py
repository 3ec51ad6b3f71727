"""What one run is worth: against the best fixed arm and the best random mix, in hindsight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit.frontier import apgr, cpt, hull_quality
from bandit.types import Vector
from bench.routing.replay import Ran
from bench.routing.streams import Stream

TWO: Final = 2
BLOCKS: Final = 50


@dataclass(frozen=True, slots=True)
class Part:
    """Of the whole stream or of its second half.

    gain: mean reward minus that of the arm that is best on these very rows. above_hull: mean
    quality minus the best random mix of fixed arms at the same mean cost.
    """

    quality: float
    cost_usd: float
    reward: float
    gain: float
    above_hull: float


@dataclass(frozen=True, slots=True)
class Recovered:
    """Of two arms, on the second half, what they were held worth as router score."""

    apgr: float
    cpt50: float
    cpt80: float


@dataclass(frozen=True, slots=True)
class Figures:
    """shares: of calls, (k,). arms: each alone, (k,). oracle: the best arm of every row.

    advantage: mean reward minus the best fixed arm's, in `BLOCKS` pieces of the stream in order.
    us: mean microseconds of a decision, of the call through the cascade, of learning its outcome.
    """

    requests: int
    whole: Part
    half: Part
    shares: Vector
    recovered: Recovered | None
    arms: tuple[Part, ...]
    oracle: Part
    advantage: Vector
    us: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Of every arm on the rows of one stream, (n, k)."""

    quality: NDArray[np.float64]
    cost_usd: NDArray[np.float64]
    reward: NDArray[np.float64]

    def part(self, rows: slice) -> Outcomes:
        return Outcomes(self.quality[rows], self.cost_usd[rows], self.reward[rows])

    def of(self, chosen: NDArray[np.integer]) -> tuple[Vector, Vector, Vector]:
        """(quality, cost, reward) of the chosen arms, each (n,)."""
        rows = np.arange(len(chosen))
        return self.quality[rows, chosen], self.cost_usd[rows, chosen], self.reward[rows, chosen]

    def oracle(self) -> NDArray[np.intp]:
        """The best arm of every row, (n,)."""
        best: NDArray[np.intp] = self.reward.argmax(axis=1)
        return best


def outcomes(stream: Stream, rows: NDArray[np.intp], cost_weight: float) -> Outcomes:
    """Reward = quality - cost_weight * cost / unit."""
    quality, cost_usd = stream.data.quality[rows], stream.data.cost_usd[rows]
    return Outcomes(quality, cost_usd, quality - cost_weight * cost_usd / stream.unit_usd)


def part(known: Outcomes, chosen: NDArray[np.integer]) -> Part:
    quality, cost_usd, reward = (float(values.mean()) for values in known.of(chosen))
    means_usd, qualities = known.cost_usd.mean(axis=0), known.quality.mean(axis=0)
    return Part(
        quality=quality,
        cost_usd=cost_usd,
        reward=reward,
        gain=reward - float(known.reward.mean(axis=0).max()),
        above_hull=quality - float(hull_quality(means_usd, qualities, cost_usd)),
    )


def figures(known: Outcomes, ran: Ran) -> Figures:
    n, k = known.reward.shape
    half = slice(n // 2, None)
    return Figures(
        requests=n,
        whole=part(known, ran.chosen),
        half=part(known.part(half), ran.chosen[half]),
        shares=np.bincount(ran.chosen, minlength=k) / n,
        recovered=_recovered(known.part(half), ran.worth[half]) if k == TWO else None,
        arms=tuple(part(known, np.full(n, arm)) for arm in range(k)),
        oracle=part(known, known.oracle()),
        advantage=_advantage(known, ran.chosen),
        us=ran.us,
    )


def _advantage(known: Outcomes, chosen: NDArray[np.integer]) -> Vector:
    """Fewer pieces where there are fewer rows."""
    best = int(known.reward.mean(axis=0).argmax())
    each = known.of(chosen)[2] - known.reward[:, best]
    blocks = min(BLOCKS, len(each))
    return np.array([piece.mean() for piece in np.array_split(each, blocks)])


def _recovered(known: Outcomes, worth: NDArray[np.float32]) -> Recovered | None:
    """None where both arms are equally good: there is no gap to recover."""
    strong = int(known.quality.mean(axis=0).argmax())
    score = worth[:, strong] - worth[:, 1 - strong]
    better, worse = known.quality[:, strong], known.quality[:, 1 - strong]
    if better.sum() == worse.sum():
        return None
    return Recovered(
        apgr=apgr(score, worse, better),
        cpt50=cpt(score, worse, better, 0.5),
        cpt80=cpt(score, worse, better, 0.8),
    )
