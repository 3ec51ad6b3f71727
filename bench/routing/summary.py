"""Runs of all seeds drawn together: means, intervals, the worst seed, differences by pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bandit.frontier import Interval, bootstrap_mean
from bandit.types import Vector
from bench.routing.figures import Figures, Part, Recovered
from bench.routing.jobs import Job


@dataclass(frozen=True, slots=True)
class Row:
    """One policy on one stream at one cost weight.

    gain, gain_half, above_hull, above_hull_half: means over the seeds, with intervals. worst: the
    least gain of a seed. versus: reward minus the first policy's on the same seeds, None for that
    policy itself.
    """

    name: str
    gain: Interval
    gain_half: Interval
    above_hull: Interval
    above_hull_half: Interval
    worst: float
    versus: Interval | None
    shares: Vector
    recovered: Recovered | None
    point: Part
    advantage: Vector
    us: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Table:
    """Every policy on one stream at one cost weight. arms, oracle: means over the seeds."""

    stream: str
    cost_weight: float
    requests: int
    seeds: int
    arms: Mapping[str, Part]
    oracle: Part
    rows: Sequence[Row]


def tables(
    done: Mapping[Job, Figures], arms: Mapping[str, Sequence[str]], seed: int = 0
) -> list[Table]:
    """In the order in which streams and weights first occur. arms: names by stream."""
    keys = list(dict.fromkeys((job.stream, job.cost_weight) for job in done))
    return [_table(stream, weight, done, arms[stream], seed) for stream, weight in keys]


def _table(
    stream: str, weight: float, done: Mapping[Job, Figures], arms: Sequence[str], seed: int
) -> Table:
    groups: dict[int, dict[int, Figures]] = {}
    names: dict[int, str] = {}
    for job, found in done.items():
        if (job.stream, job.cost_weight) == (stream, weight):
            groups.setdefault(job.index, {})[job.seed] = found
            names[job.index] = job.variant.name
    runs = {i: [by[s] for s in sorted(by)] for i, by in sorted(groups.items())}
    first = next(iter(runs.values()))
    parts = [_mean([f.arms[i] for f in first]) for i in range(len(arms))]
    return Table(
        stream=stream,
        cost_weight=weight,
        requests=first[0].requests,
        seeds=len(first),
        arms=dict(zip(arms, parts, strict=True)),
        oracle=_mean([f.oracle for f in first]),
        rows=[_row(names[i], r, None if r is first else first, seed) for i, r in runs.items()],
    )


def _row(name: str, runs: Sequence[Figures], first: Sequence[Figures] | None, seed: int) -> Row:
    gains = [f.whole.gain for f in runs]
    recovered = [f.recovered for f in runs if f.recovered is not None]
    shares: Vector = np.mean([f.shares for f in runs], axis=0)
    advantage: Vector = np.mean([f.advantage for f in runs], axis=0)
    decide_us, call_us, learn_us = np.mean([f.us for f in runs], axis=0).tolist()
    versus = None
    if first is not None:
        pairs = zip(runs, first, strict=True)
        versus = _interval([a.whole.reward - b.whole.reward for a, b in pairs], seed)
    return Row(
        name=name,
        gain=_interval(gains, seed),
        gain_half=_interval([f.half.gain for f in runs], seed),
        above_hull=_interval([f.whole.above_hull for f in runs], seed),
        above_hull_half=_interval([f.half.above_hull for f in runs], seed),
        worst=min(gains),
        versus=versus,
        shares=shares,
        recovered=_recovered(recovered),
        point=_mean([f.whole for f in runs]),
        advantage=advantage,
        us=(decide_us, call_us, learn_us),
    )


def _interval(values: Sequence[float], seed: int) -> Interval:
    return bootstrap_mean(values, np.random.default_rng(seed))


def _mean(parts: Sequence[Part]) -> Part:
    columns = [(p.quality, p.cost_usd, p.reward, p.gain, p.above_hull) for p in parts]
    return Part(*np.mean(columns, axis=0).tolist())


def _recovered(found: Sequence[Recovered]) -> Recovered | None:
    if not found:
        return None
    return Recovered(*np.mean([(r.apgr, r.cpt50, r.cpt80) for r in found], axis=0).tolist())
