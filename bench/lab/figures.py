"""Worth of one run against the best single arm and the best random mix, in hindsight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit.frontier import hull_quality
from bandit.types import Vector
from bench.lab.recorded import Rows
from bench.lab.streams import Stream

BLOCKS: Final = 50


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Outcomes on n rows: of every arm, (n, k), or of the arm that was chosen, (n,)."""

    quality: NDArray[np.float64]
    cost_usd: NDArray[np.float64]
    reward: NDArray[np.float64]

    def part(self, rows: slice) -> Outcomes:
        return Outcomes(self.quality[rows], self.cost_usd[rows], self.reward[rows])

    def of(self, chosen: NDArray[np.integer]) -> Outcomes:
        """Returns the outcomes of the chosen arms, (n,)."""
        rows = np.arange(len(chosen))
        return Outcomes(
            self.quality[rows, chosen], self.cost_usd[rows, chosen], self.reward[rows, chosen]
        )


def outcomes(stream: Stream, rows: Rows, cost_weight: float) -> Outcomes:
    """Reward = quality - cost_weight * cost / unit."""
    quality, cost_usd = stream.data.quality[rows], stream.data.cost_usd[rows]
    return Outcomes(quality, cost_usd, quality - cost_weight * cost_usd / stream.unit_usd)


@dataclass(frozen=True, slots=True)
class Score:
    """Means over the whole stream or its second half.

    gain: reward minus that of the arm that is best on these very rows. above_hull: quality minus
    that of the best random mix of single arms at the same mean cost.
    """

    quality: float
    cost_usd: float
    reward: float
    gain: float
    above_hull: float


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of one run.

    shares: of requests, by plan or arm. measures: further ones by name, None where there is none.
    arms: each alone. oracle: the best arm of every row. advantage: mean reward minus the best
    single arm's, in pieces of the stream in order. us: as of `ReplayRun`.
    """

    requests: int
    whole: Score
    half: Score
    shares: Mapping[str, float]
    measures: Mapping[str, float | None]
    arms: tuple[Score, ...]
    oracle: Score
    advantage: Vector
    us: tuple[float, ...]


def score(known: Outcomes, served: Outcomes) -> Score:
    """Compare what was served with the outcomes of every arm on the same rows."""
    quality, cost_usd, reward = (
        float(values.mean()) for values in (served.quality, served.cost_usd, served.reward)
    )
    means_usd, qualities = known.cost_usd.mean(axis=0), known.quality.mean(axis=0)
    return Score(
        quality=quality,
        cost_usd=cost_usd,
        reward=reward,
        gain=reward - float(known.reward.mean(axis=0).max()),
        above_hull=quality - float(hull_quality(means_usd, qualities, cost_usd)),
    )


def figures(
    known: Outcomes,
    served: Outcomes,
    shares: Mapping[str, float],
    us: Sequence[float],
    measures: Mapping[str, float | None],
) -> Figures:
    n, k = known.reward.shape
    half, best = second_half(n), int(known.reward.mean(axis=0).argmax())
    pieces = np.array_split(served.reward - known.reward[:, best], min(BLOCKS, n))
    return Figures(
        requests=n,
        whole=score(known, served),
        half=score(known.part(half), served.part(half)),
        shares=shares,
        measures=measures,
        arms=tuple(score(known, known.of(np.full(n, arm))) for arm in range(k)),
        oracle=score(known, known.of(known.reward.argmax(axis=1))),
        advantage=np.array([piece.mean() for piece in pieces]),
        us=tuple(us),
    )


def second_half(n: int) -> slice:
    return slice(n // 2, None)
