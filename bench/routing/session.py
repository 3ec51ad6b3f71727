"""One session of replays: load, embed, run, write down."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import yaml
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bandit import POLICY_NAMES
from bench.routing.embedded import default_cache, embeddings
from bench.routing.errors import BenchError, DataAbsent
from bench.routing.figures import Figures
from bench.routing.jobs import Job, Material, Terms, run_all
from bench.routing.maps import fitted_rows, origin
from bench.routing.plots import draw as draw_plots
from bench.routing.report import markdown, runs_csv
from bench.routing.streams import Stream, StreamSpec, draw, known_streams, load, shortened
from bench.routing.summary import tables
from bench.routing.world import config_of, utterances_of, variants_of
from router.domain.errors import RouterError

QUICK_STREAMS = ("paretobandit_k4", "routellm_pair-3000")
QUICK_REQUESTS, QUICK_SEEDS, SEEDS = 600, 2, 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The command's options; empty and None stand for their defaults."""

    names: Sequence[str]
    path: Path | None
    arms: str
    prompt_column: str
    where: Sequence[str]
    policies: Sequence[str]
    cost_weights: Sequence[float]
    seeds: int | None
    requests: int | None
    quick: bool
    vw: str
    options: Sequence[str]
    calibrate: int
    delay: int
    feedback_share: float
    factors: Sequence[str]
    cost_unit_usd: float | None
    shipped_map: bool
    jobs: int | None
    out: Path


def run(asked: Asked) -> None:
    """Raises BenchError."""
    streams = _load(asked)
    if not streams:
        return
    factors = _factors(asked.factors, streams)
    terms = Terms(asked.calibrate, asked.delay, asked.feedback_share, factors, asked.shipped_map)
    options = _options(asked.options)
    names = asked.policies or POLICY_NAMES
    compared = {
        stream: [
            v for n in names for v in variants_of(n, asked.vw, options, streams[stream].data.arms)
        ]
        for stream in streams
    }
    seeds = asked.seeds or (QUICK_SEEDS if asked.quick else SEEDS)
    todo = [
        Job(stream, weight, i, variant, seed)
        for stream in streams
        for seed in range(seeds)
        for weight in asked.cost_weights
        for i, variant in enumerate(compared[stream])
    ]
    processes, said = asked.jobs or len(os.sched_getaffinity(0)), _said(terms, options)
    text = ""
    done: dict[Job, Figures] = {}
    for found in _run(streams, terms, seeds, todo, processes):
        done |= found
        ended = {job.stream: streams[job.stream] for job in done}
        so_far = f" So far: {len(ended)} of {len(streams)} streams." * (len(ended) < len(streams))
        text = _write(done, ended, terms, said + so_far, asked.out)
    click.echo(text)
    click.echo(f"written to {asked.out}: routing.md, runs.csv, a PNG per stream", err=True)


def _load(asked: Asked) -> dict[str, Stream]:
    """What is not there is skipped, unless it was asked for by its file's name."""
    requests = asked.requests or (QUICK_REQUESTS if asked.quick else None)
    streams = {}
    for spec in _specs(asked):
        try:
            stream = load(shortened(spec, requests), asked.cost_unit_usd)
            draw(stream, 0, asked.calibrate)
            streams[spec.name] = stream
        except DataAbsent as absent:
            if asked.path is not None:
                raise BenchError(f"there is no file {spec.path}; check --file") from None
            click.echo(f"skipped {spec.name}: {absent}", err=True)
        except BenchError as short:
            if asked.path is not None:
                raise
            click.echo(f"skipped {spec.name}: {short}", err=True)
    return streams


def _specs(asked: Asked) -> list[StreamSpec]:
    if asked.path is not None:
        arms = tuple(name.strip() for name in asked.arms.split(",") if name.strip())
        where, column = tuple(asked.where), asked.prompt_column
        return [StreamSpec(asked.path.stem, asked.path, arms, where, prompt_column=column)]
    if asked.arms or asked.where:
        raise BenchError("--arms and --where go with --file")
    known = known_streams()
    return [known[name] for name in asked.names or (QUICK_STREAMS if asked.quick else known)]


def _factors(given: Sequence[str], streams: Mapping[str, Stream]) -> dict[str, float]:
    there = {arm for stream in streams.values() for arm in stream.data.arms}
    factors = {}
    for pair in given:
        arm, _, text = pair.partition("=")
        try:
            factors[arm] = float(text)
        except ValueError:
            raise BenchError(f"--prior-factor {pair!r} is not ARM=FACTOR, as in x=3") from None
        if arm not in there:
            raise BenchError(f"--prior-factor names no arm {arm!r}; choose: {', '.join(there)}")
        if not 0 < factors[arm] < float("inf"):
            raise BenchError("a --prior-factor is a finite number > 0")
    return factors


def _options(given: Sequence[str]) -> dict[str, Any]:
    found = {}
    for pair in given:
        key, equals, text = pair.partition("=")
        if not equals:
            raise BenchError(f"--set {pair!r} is not KEY=VALUE, as in initial_pulls=8")
        found[key] = yaml.safe_load(text)
    return found


def _run(
    streams: Mapping[str, Stream], terms: Terms, seeds: int, todo: Sequence[Job], processes: int
) -> Iterator[dict[Job, Figures]]:
    """Stream by stream, in the order of `todo`, whichever job ends first."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    progress = Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True))
    with progress:
        vectors = {
            name: embedded(stream, terms, seeds, progress) for name, stream in streams.items()
        }
        utterances = _utterances(streams, todo, progress)
        task = progress.add_task("replaying", total=len(todo))
        for name, stream in streams.items():
            wanted, found = [job for job in todo if job.stream == name], {}
            material = Material({name: stream}, {name: vectors[name]}, terms, utterances)
            for job, result in run_all(material, wanted, processes):
                found[job.key] = result
                progress.advance(task)
            yield {job: found[job.key] for job in wanted}


def embedded(stream: Stream, terms: Terms, seeds: int, progress: Progress) -> NDArray[np.float32]:
    """(n, 384), rows that no seed uses are 0."""
    drawn = [draw(stream, seed, terms.calibrate) for seed in range(seeds)]
    used = [(d.rows, d.aside[: terms.calibrate]) for d in drawn]
    fitted = [fitted_rows(d, shipped=terms.shipped_map) for d in drawn]
    rows = np.unique(np.concatenate([*(row for pair in used for row in pair), *fitted]))
    found = _embeddings([stream.data.prompts[i] for i in rows], progress)
    vectors = np.zeros((len(stream.data), found.shape[1]), dtype=np.float32)
    vectors[rows] = found
    return vectors


def _utterances(
    streams: Mapping[str, Stream], todo: Sequence[Job], progress: Progress
) -> dict[str, NDArray[np.float32]]:
    configs = (config_of(streams[job.stream], job.variant, job.cost_weight) for job in todo)
    texts = list(dict.fromkeys(text for config in configs for text in utterances_of(config)))
    return dict(zip(texts, _embeddings(texts, progress), strict=True)) if texts else {}


def _embeddings(texts: Sequence[str], progress: Progress) -> NDArray[np.float32]:
    try:
        return embeddings(texts, default_cache(), progress)
    except RouterError as error:
        raise BenchError(f"{error}; fetch the model with scripts/fetch_model") from None


def _write(
    done: Mapping[Job, Figures],
    streams: Mapping[str, Stream],
    terms: Terms,
    said: str,
    out: Path,
) -> str:
    """Everything `done`, and the pictures of the last of `streams`. Returns the tables."""
    origins = {
        name: origin(draw(stream, 0, terms.calibrate), shipped=terms.shipped_map)
        for name, stream in streams.items()
    }
    arms = {name: stream.data.arms for name, stream in streams.items()}
    units_usd = {name: stream.unit_usd for name, stream in streams.items()}
    made, last = tables(done, arms), list(streams)[-1]
    text = markdown(made, units_usd, origins, said)
    try:
        out.mkdir(parents=True, exist_ok=True)
        draw_plots([t for t in made if t.stream == last], out / f"{last}.png")
        (out / "routing.md").write_text(text, encoding="utf-8")
        (out / "runs.csv").write_text(runs_csv(done, arms), encoding="utf-8")
    except OSError:
        raise BenchError(f"{out} cannot be written; choose another --out") from None
    return text


def _said(terms: Terms, options: Mapping[str, Any]) -> str:
    """What differs from the plain replay."""
    parts = ["the shipped context map"] if terms.shipped_map else []
    parts += [f"{terms.calibrate} calibrated prompts"] if terms.calibrate else []
    parts += [f"outcomes learned {terms.delay} requests late"] if terms.delay else []
    if terms.feedback_share < 1:
        parts.append(f"feedback on {terms.feedback_share:.0%} of requests")
    parts += [f"price prior of {arm} times {f:g}" for arm, f in terms.prior_factors.items()]
    parts += [f"policy.{key} = {value}" for key, value in options.items()]
    return f"Terms: {'; '.join(parts)}." if parts else ""
