"""`scripts/bench coverage`: how often intervals of `evaluate` hold the recorded truth."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
import numpy as np
from numpy.typing import NDArray

from bandit.types import Units
from bench.lab import options
from bench.lab.figures import outcomes
from bench.lab.jobs import Job, ReplayFactory, replay_all, run_stream
from bench.lab.provider import StrictObserver
from bench.lab.report import document, table, write
from bench.lab.setup import Variant
from bench.lab.streams import Split, Stream, draw, known_streams, load_available, shortened
from router.learning.rewards import RewardSettings
from router.learning.training import Trainer
from router.tools.evaluate.candidates import (
    Candidate,
    FixedCandidate,
    LearningCandidate,
    LoggedCandidate,
)
from router.tools.evaluate.evaluation import Comparison, EvaluationSettings, compare

STREAMS: Final = ("paretobandit_k4", "routellm_pair-3000")
SEEDS, QUICK_SEEDS, REQUESTS = 100, 5, 1_000
COST_WEIGHT: Final = 0.1
LEVEL: Final = 0.95
FLOOR: Final = 0.05
SERVED: Final = (
    Variant("adaptive", "adaptive", vw=True),
    Variant(f"adaptive, floor {FLOOR}", "adaptive", vw=True, options={"exploration_floor": FLOOR}),
)
"""The default policy, and one that leaves every plan enough for a log that tells of all."""
LEARNING: Final = ("linucb", "random-mix")
NOTE: Final = (
    "Every seed: the default policy, as it comes or with a higher `exploration_floor`, serves a "
    "stream of recorded outcomes, from a cold start, and `evaluate` estimates others from its log "
    "alone. *Given*: share of the seeds in which the log told enough for an interval; *covers*: "
    "share of these whose 95 % interval holds what that policy would have earned by the recording."
)
HEADER: Final = (
    *("stream", "served by", "policy", "of"),
    *("given", "covers", "half width", "error", "left by weight"),
)


@dataclass(frozen=True, slots=True)
class CoverageResult:
    """Estimate and truth of a candidate's value, or of its gain over the policy that served.

    key: stream, who served, candidate, "value" or "gain". interval: low and high bound, if any.
    """

    key: tuple[str, str, str, str]
    truth: float
    estimate: float
    effective: float
    interval: tuple[float, float] | None = None


@click.command("coverage")
@click.option("--stream", "names", multiple=True, type=click.Choice(STREAMS), help="[both]")
@options.seeds("[100, quick: 5]")
@click.option("--requests", type=click.IntRange(100), default=REQUESTS, show_default=True)
@click.option("--quick", is_flag=True, help="five seeds")
@options.JOBS
@options.out("bench-results/coverage.md", file=True)
def coverage(
    *,
    names: Sequence[str],
    seeds: int | None,
    requests: int,
    quick: bool,
    jobs: int | None,
    out: Path,
) -> None:
    """How often an interval of `evaluate` holds the truth, on recorded outcomes."""
    known = known_streams()
    streams = load_available([shortened(known[name], requests) for name in names or STREAMS])
    if not streams:
        return
    count = seeds or (QUICK_SEEDS if quick else SEEDS)
    text = markdown(_run(streams, count, jobs or len(os.sched_getaffinity(0))), count)
    click.echo(text)
    write(out.parent, {out.name: text})


def _run(streams: Mapping[str, Stream], seeds: int, processes: int) -> list[CoverageResult]:
    todo = [
        Job(name, COST_WEIGHT, i, served, seed)
        for name in streams
        for i, served in enumerate(SERVED)
        for seed in range(seeds)
    ]
    done = replay_all(CoverageReplays, todo, processes, streams)
    return [one for found in done.values() for one in found]


class CoverageReplays(ReplayFactory):
    """Replays a stream with the default policy, then evaluates others on its log."""

    def run(self, job: Job) -> list[CoverageResult]:
        stream = self.material.streams[job.stream]
        split = draw(stream, job.seed)
        served = self.build(job, split)
        asyncio.run(run_stream(served, split, job.seed))
        settings = EvaluationSettings(served.catalog.plans, Units(stream.unit_usd))
        rewards = outcomes(stream, split.rows, job.cost_weight).reward
        order = [stream.data.arms.index(name) for name in sorted(stream.data.arms)]
        found = []
        for name, candidate in self._candidates(job, split, stream.data.arms).items():
            compared = compare(served.log, candidate, LoggedCandidate(), settings)
            found += _results((job.stream, job.variant.name, name), compared, rewards[:, order])
        return found

    def _candidates(self, job: Job, split: Split, arms: Sequence[str]) -> dict[str, Candidate]:
        learning = {name: self._learning(job, split, name) for name in LEARNING}
        return {**{f"fixed:{arm}": FixedCandidate(arm) for arm in arms}, **learning}

    def _learning(self, job: Job, split: Split, name: str) -> Candidate:
        other = Job(job.stream, job.cost_weight, 0, Variant(name, name), job.seed)
        made = self.build(other, split)
        trainer = Trainer(made.catalog.plans, RewardSettings(), StrictObserver())
        return LearningCandidate(made.decider.policy, trainer)


def _results(
    of: tuple[str, str, str], compared: Comparison, rewards: NDArray[np.float64]
) -> list[CoverageResult]:
    """rewards: (n, k) of every arm, columns by name."""
    truth = (compared.wanted * rewards).sum(axis=1)
    logged = compared.logged
    assert np.allclose(logged.reward, rewards[np.arange(len(logged)), logged.taken])  # noqa: S101
    served = (logged.probabilities * rewards).sum(axis=1)
    pairs = (("value", truth, compared.value), ("gain", truth - served, compared.gain))
    return [
        CoverageResult(
            key=(*of, what),
            truth=float(true.mean()),
            estimate=float(estimated.values.mean()),
            effective=estimated.effective,
            interval=(known.low, known.high) if (known := estimated.interval) else None,
        )
        for what, true, estimated in pairs
    ]


def markdown(found: Sequence[CoverageResult], seeds: int) -> str:
    groups = {key: [one for one in found if one.key == key] for key in {one.key for one in found}}
    rows = [[*key, *_cells(groups[key])] for key in sorted(groups)]
    return document("Coverage", f"{seeds} seeds. {NOTE}", "", [table(HEADER, rows)])


def _cells(group: Sequence[CoverageResult]) -> list[str]:
    """Mark where fewer intervals cover than their level promises."""
    given = [(one.truth, *one.interval) for one in group if one.interval]
    covers, half = "", ""
    if given:
        share = float(np.mean([low <= truth <= high for truth, low, high in given]))
        covers = f"{share:.1%}" if share >= LEVEL else f"**{share:.1%}**"
        half = f"{np.mean([high - low for _, low, high in given]) / 2:.4f}"
    error = np.mean([one.estimate - one.truth for one in group])
    left = np.mean([one.effective for one in group])
    return [f"{len(given) / len(group):.0%}", covers, half, f"{error:+.4f}", f"{left:.0f}"]
