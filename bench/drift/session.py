"""One session of changing replays: load, embed, run, write down."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bench.drift.figures import Followed
from bench.drift.jobs import Feedback, Job, Material, run_all
from bench.drift.plots import draw as draw_plots
from bench.drift.report import curves_csv, markdown, runs_csv
from bench.drift.scenarios import known_scenarios
from bench.drift.summary import AT_ONCE, BLIND, WATCHING, rows
from bench.routing.embedded import default_cache, embeddings
from bench.routing.errors import BenchError, DataAbsent
from bench.routing.maps import fitted_rows
from bench.routing.streams import Stream, StreamSpec, draw, known_streams, load, shortened
from bench.routing.world import Variant
from router.domain.errors import RouterError

STREAMS: Final = {
    "paretobandit_k4": "paretobandit_k4",
    "paretobandit_k4-4arms": "paretobandit_k4-4arms",
    "routellm_pair": "routellm_pair-3000",
    "gsm_answers-5arms": "gsm_answers-5arms",
}
"""Names of the streams here, and which of the known ones each is."""
FEEDBACKS: Final = {
    made.name: made
    for made in (
        Feedback(AT_ONCE),
        Feedback("200 late", delay=200),
        Feedback("on 10 %", share=0.1),
    )
}
REQUESTS, SEEDS, QUICK_SEEDS = 1_400, 10, 2
QUICK: Final = ("paretobandit_k4",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The command's options; empty and None stand for their defaults."""

    names: Sequence[str]
    path: Path | None
    arms: str
    where: Sequence[str]
    scenarios: Sequence[str]
    feedbacks: Sequence[str]
    cost_weight: float
    seeds: int | None
    requests: int | None
    quick: bool
    blind: bool | None
    jobs: int | None
    out: Path


def run(asked: Asked) -> None:
    """Raises BenchError."""
    streams = _load(asked)
    if not streams:
        return
    todo = _jobs(asked, list(streams))
    done = _run(streams, todo, asked.jobs or len(os.sched_getaffinity(0)))
    seeds = 1 + max(job.seed for job in todo)
    said = f"Weight of cost {asked.cost_weight:g}; {seeds} seeds; arms of a step compete at once."
    _write(done, said, asked.out)


def _load(asked: Asked) -> dict[str, Stream]:
    """What is not there is skipped, unless it was asked for by its file's name."""
    streams = {}
    for spec in _specs(asked):
        try:
            streams[spec.name] = load(shortened(spec, asked.requests or REQUESTS))
        except DataAbsent as absent:
            if asked.path is not None:
                raise BenchError(f"there is no file {spec.path}; check --file") from None
            click.echo(f"skipped {spec.name}: {absent}", err=True)
    return streams


def _specs(asked: Asked) -> list[StreamSpec]:
    if asked.path is not None:
        arms = tuple(name.strip() for name in asked.arms.split(",") if name.strip())
        return [StreamSpec(asked.path.stem, asked.path, arms, tuple(asked.where))]
    if asked.arms or asked.where:
        raise BenchError("--arms and --where go with --file")
    names, known = asked.names or (QUICK if asked.quick else tuple(STREAMS)), known_streams()
    return [replace(known[STREAMS[name]], name=name) for name in names]


def _jobs(asked: Asked, streams: Sequence[str]) -> list[Job]:
    """Seed by seed, so that what one seed needs is made once."""
    known = known_scenarios()
    feedbacks = asked.feedbacks or (tuple(FEEDBACKS)[:1] if asked.quick else tuple(FEEDBACKS))
    compared = [Variant(WATCHING, "adaptive")]
    if asked.blind or (asked.blind is None and not asked.quick):
        compared.append(Variant(BLIND, "adaptive", detect_changes=False))
    return [
        Job(stream, known[name], FEEDBACKS[feedback], variant, asked.cost_weight, seed)
        for stream in streams
        for seed in range(asked.seeds or (QUICK_SEEDS if asked.quick else SEEDS))
        for name in asked.scenarios or known
        for feedback in feedbacks
        for variant in compared
    ]


def _run(streams: Mapping[str, Stream], todo: Sequence[Job], processes: int) -> dict[Job, Followed]:
    """In the order of `todo`, whichever ends first, scenario by scenario."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        seeds = 1 + max(job.seed for job in todo)
        vectors = {name: _embedded(s, seeds, progress) for name, s in streams.items()}
        task = progress.add_task("replaying", total=len(todo))
        found = {}
        for job, result in run_all(Material(streams, vectors), todo, processes):
            found[job.key] = result
            progress.advance(task)
    scenarios = list(known_scenarios())
    ordered = sorted(
        todo, key=lambda j: (list(streams).index(j.stream), scenarios.index(j.scenario.name))
    )
    return {job: found[job.key] for job in ordered}


def _embedded(stream: Stream, seeds: int, progress: Progress) -> NDArray[np.float32]:
    """(n, 384), rows that no seed uses are 0."""
    drawn = [draw(stream, seed) for seed in range(seeds)]
    used = [part for d in drawn for part in (d.rows, fitted_rows(d, shipped=False))]
    needed = np.unique(np.concatenate(used))
    try:
        found = embeddings([stream.data.prompts[i] for i in needed], default_cache(), progress)
    except RouterError as error:
        raise BenchError(f"{error}; fetch the model with scripts/fetch_model") from None
    vectors = np.zeros((len(stream.data), found.shape[1]), dtype=np.float32)
    vectors[needed] = found
    return vectors


def _write(done: Mapping[Job, Followed], said: str, out: Path) -> None:
    made = rows(done)
    text = markdown(made, said)
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "drift.md").write_text(text, encoding="utf-8")
        (out / "runs.csv").write_text(runs_csv(done), encoding="utf-8")
        (out / "curves.csv").write_text(curves_csv(made), encoding="utf-8")
    except OSError:
        raise BenchError(f"{out} cannot be written; choose another --out") from None
    for name in dict.fromkeys(row.stream for row in made):
        draw_plots([row for row in made if row.stream == name], out / f"{name}.png")
    click.echo(text)
    click.echo(f"written to {out}: drift.md, runs.csv, curves.csv, a PNG per stream", err=True)
