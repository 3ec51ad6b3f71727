"""Runs of all seeds together: means, intervals, the worst seed, differences seed by seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass

import numpy as np

from bandit.frontier import Interval, bootstrap_mean
from bandit.types import Vector
from bench.lab.figures import Figures, Score
from bench.lab.jobs import Job


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
    score: Score
    advantage: Vector
    us: Sequence[float]

    def mean(self, measure: str) -> float:
        return float(np.mean(self.measures[measure]))


@dataclass(frozen=True, slots=True)
class Comparison:
    """Every variant on one stream at one cost weight; arms and oracle are means over the seeds."""

    stream: str
    cost_weight: float
    requests: int
    seeds: int
    arms: Mapping[str, Score]
    oracle: Score
    rows: Sequence[VariantSummary]


def compare(done: Mapping[Job, Figures], arms: Mapping[str, Sequence[str]]) -> list[Comparison]:
    """Returns a comparison per stream and weight, in the order of `done`; arms: by stream."""
    keys = list(dict.fromkeys((job.stream, job.cost_weight) for job in done))
    return [_compared(key, done, arms[key[0]]) for key in keys]


def _compared(
    key: tuple[str, float], done: Mapping[Job, Figures], arms: Sequence[str]
) -> Comparison:
    here = {job: found for job, found in done.items() if (job.stream, job.cost_weight) == key}
    runs: dict[int, list[Figures]] = {}
    for job in sorted(here, key=lambda job: (job.index, job.seed)):
        runs.setdefault(job.index, []).append(here[job])
    names = {job.index: job.variant.name for job in here}
    first = next(iter(runs.values()))
    return Comparison(
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


def _mean_score(scores: Sequence[Score]) -> Score:
    return Score(*np.mean([astuple(one) for one in scores], axis=0).tolist())
