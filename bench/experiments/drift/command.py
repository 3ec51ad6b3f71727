"""`scripts/bench drift`: options, replays, tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import click

from bench.experiments.drift.changes import known_scenarios
from bench.experiments.drift.replays import Adaptation, DriftJob, DriftReplays, Feedback
from bench.experiments.drift.report import (
    AT_ONCE,
    BLIND,
    WATCHING,
    curves_csv,
    draw_plots,
    markdown,
    runs_csv,
    summarize,
)
from bench.lab import options
from bench.lab.jobs import replay_all
from bench.lab.report import write
from bench.lab.setup import Variant
from bench.lab.streams import SHORT_STREAMS, Stream, load_available, named_streams, shortened

FEEDBACKS: Final = {
    kind.name: kind
    for kind in (
        Feedback(AT_ONCE),
        Feedback("200 late", delay=200),
        Feedback("on 10 %", share=0.1),
    )
}
REQUESTS, SEEDS, QUICK_SEEDS = 1_400, 10, 2
QUICK: Final = ("paretobandit_k4",)


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftOptions(options.ExperimentOptions):
    scenarios: Sequence[str]
    feedbacks: Sequence[str]
    cost_weight: float
    blind: bool | None


@click.command("drift")
@click.option(
    "--stream", "names", multiple=True, type=click.Choice(tuple(SHORT_STREAMS)), help="[all]"
)
@options.FILE
@options.ARMS
@options.WHERE
@click.option(
    "--scenario",
    "scenarios",
    multiple=True,
    type=click.Choice(tuple(known_scenarios())),
    help="[all]",
)
@click.option(
    "--feedback", "feedbacks", multiple=True, type=click.Choice(tuple(FEEDBACKS)), help="[all]"
)
@click.option("--lambda", "cost_weight", type=click.FloatRange(0, 10), default=0.1)
@options.seeds("[10, quick: 2]")
@click.option("--requests", type=click.IntRange(400), help="at most, per stream [1400]")
@click.option("--quick", is_flag=True, help="one stream, feedback at once, two seeds")
@click.option("--blind/--no-blind", default=None, help="replay without watching too [yes]")
@options.JOBS
@options.out("bench-results/drift")
def drift(**given: Any) -> None:
    """How soon the default policy follows a change, and what watching for one costs.

    Without options: every stream, scenario and kind of feedback, 10 seeds; an hour or two on two
    cores.
    """
    asked = DriftOptions(**given)
    streams = _load(asked)
    if not streams:
        return
    todo = _jobs(asked, list(streams))
    done = _run(streams, todo, asked.processes)
    seeds = 1 + max(job.seed for job in todo)
    said = f"Weight of cost {asked.cost_weight:g}; {seeds} seeds; arms of a step compete at once."
    _write(done, said, asked)


def _load(asked: DriftOptions) -> dict[str, Stream]:
    requests = asked.requests or REQUESTS
    if spec := asked.file_spec():
        return load_available([shortened(spec, requests)])
    names = asked.names or (QUICK if asked.quick else tuple(SHORT_STREAMS))
    return load_available(named_streams(names, requests))


def _jobs(asked: DriftOptions, streams: Sequence[str]) -> list[DriftJob]:
    """Seed by seed, so that what one seed needs is made once."""
    known = known_scenarios()
    feedbacks = asked.feedbacks or (tuple(FEEDBACKS)[:1] if asked.quick else tuple(FEEDBACKS))
    compared = [Variant(WATCHING, "adaptive")]
    if asked.blind or (asked.blind is None and not asked.quick):
        compared.append(Variant(BLIND, "adaptive", detect_changes=False))
    return [
        DriftJob(stream, asked.cost_weight, i, variant, seed, known[name], FEEDBACKS[feedback])
        for stream in streams
        for seed in range(asked.seed_count(SEEDS, QUICK_SEEDS))
        for name in asked.scenarios or known
        for feedback in feedbacks
        for i, variant in enumerate(compared)
    ]


def _run(
    streams: Mapping[str, Stream], todo: Sequence[DriftJob], processes: int
) -> dict[DriftJob, Adaptation]:
    """Returns the results stream by stream, scenario by scenario."""
    found = replay_all(DriftReplays, todo, processes, streams)
    names, scenarios = list(streams), list(known_scenarios())
    ordered = sorted(todo, key=lambda j: (names.index(j.stream), scenarios.index(j.scenario.name)))
    return {job: found[job] for job in ordered}


def _write(done: Mapping[DriftJob, Adaptation], said: str, asked: DriftOptions) -> None:
    found, out = summarize(done), asked.out
    text, curves = markdown(found, said), curves_csv(found)
    write(out, {"drift.md": text, "runs.csv": runs_csv(done), "curves.csv": curves})
    for name in dict.fromkeys(row.stream for row in found):
        draw_plots([row for row in found if row.stream == name], out / f"{name}.png")
    click.echo(text)
    click.echo(f"written to {out}: drift.md, runs.csv, curves.csv, a PNG per stream", err=True)
