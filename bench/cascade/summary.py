"""Runs of all seeds drawn together: means, intervals, the worst seed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bandit.frontier import Interval, bootstrap_mean
from bandit.types import Vector
from bench.cascade.figures import Figures
from bench.cascade.jobs import Job
from bench.routing.figures import Part


@dataclass(frozen=True, slots=True)
class Row:
    """One variant on one stream at one cost weight: means over the seeds, some with intervals.

    worst: the least gain of a seed. bad: over the seeds in which a plan served a cheap answer;
    worst_bad: of one of them; None where there is none.
    """

    name: str
    gain: Interval
    gain_half: Interval
    above_hull: Interval
    above_hull_half: Interval
    worst: float
    escalated: float
    asked: float
    kept: float
    bad: float | None
    worst_bad: float | None
    audited: float
    audit: float
    shares: Mapping[str, float]
    point: Part
    advantage: Vector
    us: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Table:
    """Every variant on one stream at one cost weight. arms: means over the seeds.

    plans: how they read.
    """

    stream: str
    cost_weight: float
    requests: int
    seeds: int
    arms: Mapping[str, Part]
    plans: Sequence[str]
    rows: Sequence[Row]


def tables(
    done: Mapping[Job, Figures], arms: Mapping[str, Sequence[str]], seed: int = 0
) -> list[Table]:
    """In the order in which streams and weights first occur. arms: names by stream."""
    keys = list(dict.fromkeys((job.stream, job.cost_weight) for job in done))
    return [_table(key, done, arms[key[0]], seed) for key in keys]


def _table(
    key: tuple[str, float], done: Mapping[Job, Figures], arms: Sequence[str], seed: int
) -> Table:
    here = {job: found for job, found in done.items() if (job.stream, job.cost_weight) == key}
    runs: dict[int, list[Figures]] = {}
    for job in sorted(here, key=lambda job: (job.index, job.seed)):
        runs.setdefault(job.index, []).append(here[job])
    names = {job.index: job.variant.name for job in here}
    first = next(iter(runs.values()))
    specs = (spec for job in here for spec in job.variant.specs)
    return Table(
        stream=key[0],
        cost_weight=key[1],
        requests=first[0].requests,
        seeds=len(first),
        arms={arm: _mean([f.arms[i] for f in first]) for i, arm in enumerate(arms)},
        plans=list(dict.fromkeys(str(spec) for spec in specs)),
        rows=[_row(names[i], found, seed) for i, found in runs.items()],
    )


def _row(name: str, runs: Sequence[Figures], seed: int) -> Row:
    bad = [f.bad for f in runs if f.bad is not None]
    plans = dict.fromkeys(plan for f in runs for plan in f.shares)
    decide_us, call_us, learn_us, gate_us = np.mean([f.us for f in runs], axis=0).tolist()
    advantage: Vector = np.mean([f.advantage for f in runs], axis=0)
    return Row(
        name=name,
        gain=_interval([f.whole.gain for f in runs], seed),
        gain_half=_interval([f.half.gain for f in runs], seed),
        above_hull=_interval([f.whole.above_hull for f in runs], seed),
        above_hull_half=_interval([f.half.above_hull for f in runs], seed),
        worst=min(f.whole.gain for f in runs),
        escalated=_average(f.escalated for f in runs),
        asked=_average(f.asked for f in runs),
        kept=_average(f.kept for f in runs),
        bad=_average(bad) if bad else None,
        worst_bad=max(bad) if bad else None,
        audited=_average(f.audited for f in runs),
        audit=_average(f.audit for f in runs),
        shares={plan: _average(f.shares.get(plan, 0.0) for f in runs) for plan in plans},
        point=_mean([f.whole for f in runs]),
        advantage=advantage,
        us=(decide_us, call_us, learn_us, gate_us),
    )


def _average(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def _interval(values: Sequence[float], seed: int) -> Interval:
    return bootstrap_mean(values, np.random.default_rng(seed))


def _mean(parts: Sequence[Part]) -> Part:
    columns = [(p.quality, p.cost_usd, p.reward, p.gain, p.above_hull) for p in parts]
    return Part(*np.mean(columns, axis=0).tolist())
