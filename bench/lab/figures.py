"""Worth of runs against the best single arm and the best random mix, per run and over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit.frontier import Interval, bootstrap_mean, hull_quality
from bandit.types import Vector
from bench.lab.jobs import Job
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
class RunScore:
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
    whole: RunScore
    half: RunScore
    shares: Mapping[str, float]
    measures: Mapping[str, float | None]
    arms: tuple[RunScore, ...]
    oracle: RunScore
    advantage: Vector
    us: tuple[float, ...]


def score(known: Outcomes, served: Outcomes) -> RunScore:
    """Compare what was served with the outcomes of every arm on the same rows."""
    quality, cost_usd, reward = (
        float(values.mean()) for values in (served.quality, served.cost_usd, served.reward)
    )
    means_usd, qualities = known.cost_usd.mean(axis=0), known.quality.mean(axis=0)
    return RunScore(
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


@dataclass(frozen=True, slots=True)
class VariantSummary:
    """One variant on one stream at one cost weight: means over the seeds, some with intervals.

    worst: the least gain of a seed. versus: reward minus the first variant's, seed by seed; None
    for the first. measures: values of the seeds that have one, by name.
    """

    name: str
    gain: Interval
    gain_half: Interval
    above_hull: Interval
    above_hull_half: Interval
    worst: float
    versus: Interval | None
    shares: Mapping[str, float]
    measures: Mapping[str, Sequence[float]]
    score: RunScore
    advantage: Vector
    us: Sequence[float]

    def mean(self, measure: str) -> float:
        return float(np.mean(self.measures[measure]))


@dataclass(frozen=True, slots=True)
class StreamComparison:
    """Every variant on one stream at one cost weight; arms and oracle are means over the seeds."""

    stream: str
    cost_weight: float
    requests: int
    seeds: int
    arms: Mapping[str, RunScore]
    oracle: RunScore
    rows: Sequence[VariantSummary]


def compare(
    done: Mapping[Job, Figures], arms: Mapping[str, Sequence[str]]
) -> list[StreamComparison]:
    """Returns a comparison per stream and weight, in the order of `done`; arms: by stream."""
    keys = list(dict.fromkeys((job.stream, job.cost_weight) for job in done))
    return [_compared(key, done, arms[key[0]]) for key in keys]


def _compared(
    key: tuple[str, float], done: Mapping[Job, Figures], arms: Sequence[str]
) -> StreamComparison:
    here = {job: found for job, found in done.items() if (job.stream, job.cost_weight) == key}
    runs: dict[int, list[Figures]] = {}
    for job in sorted(here, key=lambda job: (job.index, job.seed)):
        runs.setdefault(job.index, []).append(here[job])
    names = {job.index: job.variant.name for job in here}
    first = next(iter(runs.values()))
    return StreamComparison(
        *key,
        requests=first[0].requests,
        seeds=len(first),
        arms={arm: _mean_score([f.arms[i] for f in first]) for i, arm in enumerate(arms)},
        oracle=_mean_score([f.oracle for f in first]),
        rows=[_summary(names[i], found, first) for i, found in runs.items()],
    )


def _summary(name: str, runs: Sequence[Figures], first: Sequence[Figures]) -> VariantSummary:
    gains = [f.whole.gain for f in runs]
    pairs = zip(runs, first, strict=False)  # prices of a seed may leave a variant out
    versus = None if runs is first else [a.whole.reward - b.whole.reward for a, b in pairs]
    plans = dict.fromkeys(plan for f in runs for plan in f.shares)
    advantage: Vector = np.mean([f.advantage for f in runs], axis=0)
    return VariantSummary(
        name=name,
        gain=interval(gains),
        gain_half=interval([f.half.gain for f in runs]),
        above_hull=interval([f.whole.above_hull for f in runs]),
        above_hull_half=interval([f.half.above_hull for f in runs]),
        worst=min(gains),
        versus=None if versus is None else interval(versus),
        shares={p: float(np.mean([f.shares.get(p, 0.0) for f in runs])) for p in plans},
        measures={
            m: [v for f in runs if (v := f.measures[m]) is not None] for m in runs[0].measures
        },
        score=_mean_score([f.whole for f in runs]),
        advantage=advantage,
        us=np.mean([f.us for f in runs], axis=0).tolist(),
    )


def interval(values: Sequence[float]) -> Interval:
    """Returns the mean over the seeds with its bootstrap interval, drawn alike every time."""
    return bootstrap_mean(values, np.random.default_rng(0))


def _mean_score(scores: Sequence[RunScore]) -> RunScore:
    return RunScore(*np.mean([astuple(one) for one in scores], axis=0).tolist())
