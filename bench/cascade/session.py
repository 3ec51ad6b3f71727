"""One session of replays: load, embed, run, write down."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bench import pool
from bench.cascade.answers import Answers, answers_of, open_texts
from bench.cascade.compared import variants_of
from bench.cascade.figures import Figures
from bench.cascade.jobs import Job, Material, Terms, Worker
from bench.cascade.plans import PlanSpec, Wanted, by_price, check_arms, parsed, usual
from bench.cascade.plots import draw as draw_plots
from bench.cascade.report import markdown, runs_csv
from bench.cascade.summary import tables
from bench.cascade.world import Pledge
from bench.routing.embedded import default_cache, embeddings, key_of
from bench.routing.errors import BenchError, DataAbsent
from bench.routing.maps import fitted_rows
from bench.routing.streams import Stream, StreamSpec, draw, known_streams, load
from router.domain.errors import RouterError

STREAM = "gsm_answers-5arms"
REQUESTS, QUICK_REQUESTS = 1_000, 300
SEEDS, QUICK_SEEDS = 10, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The command's options; empty and None stand for their defaults."""

    path: Path | None
    arms: str
    answers: bool
    prompt_column: str
    where: Sequence[str]
    first: str
    second: str
    strong: str
    plans: Sequence[str]
    cost_weights: Sequence[float]
    seeds: int | None
    requests: int | None
    quick: bool
    vw: str
    calibrate: int
    audit_share: float
    max_bad: float | None
    confidence: float
    factors: Sequence[str]
    delay: int
    feedback_share: float
    cost_unit_usd: float | None
    only: Sequence[str]
    jobs: int | None
    out: Path


def run(asked: Asked) -> None:
    """Raises BenchError."""
    stream = _load(asked)
    if stream is None:
        return
    name = stream.spec.name
    answers = answers_of(stream.data, stream.spec.path.name) if asked.answers else {}
    terms = Terms(
        asked.calibrate,
        asked.audit_share,
        None if asked.max_bad is None else Pledge(asked.max_bad, asked.confidence),
        _factors(asked.factors, stream.data.arms),
        asked.delay,
        asked.feedback_share,
    )
    stream = _priced(stream, terms.cost_factors, asked.cost_unit_usd)
    seeds = asked.seeds or (QUICK_SEEDS if asked.quick else SEEDS)
    specs = [_specs(asked, stream, seed) for seed in range(seeds)]
    todo = [
        Job(name, weight, i, variant, seed)
        for seed in range(seeds)
        for weight in asked.cost_weights
        for i, variant in enumerate(variants_of(stream.data.arms, specs[seed], asked.vw))
        if not asked.only or any(part in variant.name for part in asked.only)
    ]
    if not todo:
        raise BenchError(f"no variant's name holds {' or '.join(asked.only)}; see a --quick run")
    done = _run(stream, answers, terms, todo, asked.jobs or len(os.sched_getaffinity(0)))
    _write(done, stream, _said(terms), asked.out)


def _load(asked: Asked) -> Stream | None:
    """None where the known set is not here and none was asked for by its file's name."""
    spec = _stream_spec(asked)
    requests = asked.requests or (QUICK_REQUESTS if asked.quick else REQUESTS)
    try:
        return load(replace(spec, requests=requests), asked.cost_unit_usd)
    except DataAbsent as absent:
        if asked.path is not None:
            raise BenchError(f"there is no file {spec.path}; check --file") from None
        click.echo(f"skipped {spec.name}: {absent}", err=True)
        return None


def _stream_spec(asked: Asked) -> StreamSpec:
    if asked.path is None:
        if asked.arms or asked.where:
            raise BenchError("--arms and --where go with --file")
        return known_streams()[STREAM]
    arms = tuple(name.strip() for name in asked.arms.split(",") if name.strip())
    if len(arms) == 1:
        raise BenchError("one arm leaves nobody to escalate to; name two or more in --arms")
    where, column = tuple(asked.where), asked.prompt_column
    return StreamSpec(asked.path.stem, asked.path, arms, where, prompt_column=column)


def _factors(given: Sequence[str], arms: Sequence[str]) -> dict[str, float]:
    factors = {}
    for pair in given:
        arm, _, text = pair.partition("=")
        try:
            factors[arm] = float(text)
        except ValueError:
            raise BenchError(f"--cost-factor {pair!r} is not ARM=FACTOR, as in x=3") from None
        check_arms([arm], arms, "--cost-factor")
        if not 0 < factors[arm] < float("inf"):
            raise BenchError("a --cost-factor is a finite number > 0")
    return factors


def _priced(stream: Stream, factors: Mapping[str, float], unit_usd: float | None) -> Stream:
    """With recorded costs times their factors; the unit goes with them unless it was told."""
    if not factors:
        return stream
    by = np.array([factors.get(arm, 1.0) for arm in stream.data.arms])
    data = replace(stream.data, cost_usd=stream.data.cost_usd * by)
    pool_usd = data.cost_usd[data.rows_where(stream.spec.where)].mean(axis=0)
    return replace(stream, data=data, unit_usd=unit_usd or float(pool_usd.max()))


def _specs(asked: Asked, stream: Stream, seed: int) -> list[PlanSpec]:
    """What was told with --plan, besides what is usual; the prices are those the seed has seen."""
    arms = stream.data.arms
    wanted = Wanted(asked.first, asked.second, asked.strong)
    check_arms([a for a in (wanted.first, wanted.second, wanted.strong) if a], arms, "a place")
    priced = draw(stream, seed, asked.calibrate).priced
    typical_usd = stream.data.cost_usd[priced].mean(axis=0).tolist()
    told = [parsed(text, arms) for text in asked.plans]
    made = usual(by_price(arms, typical_usd, wanted), read=asked.answers)
    names = [spec.name for spec in (*made, *told)]
    if len(set(names)) < len(names):
        raise BenchError(f"a plan's name is taken; choose others than {', '.join(names)}")
    if not asked.answers and any(spec.gate != "rules" for spec in told):
        raise BenchError("with --no-answers there is nothing a gate could read: use gate rules")
    return [*made, *told]


def _run(
    stream: Stream, answers: Answers, terms: Terms, todo: Sequence[Job], processes: int
) -> dict[Job, Figures]:
    """In the order of `todo`, whichever ends first."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    progress = Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True))
    name = stream.spec.name
    with progress:
        vectors = _prompt_vectors(stream, terms, {job.seed for job in todo}, progress)
        texts = _text_vectors(stream, answers, todo, progress)
        material = Material({name: stream}, {name: answers}, {name: vectors}, texts, terms)
        task = progress.add_task("replaying", total=len(todo))
        found = {}
        for job, result in pool.run_all(partial(Worker, material), todo, processes):
            found[job.key] = result
            progress.advance(task)
    return {job: found[job.key] for job in todo}


def _prompt_vectors(
    stream: Stream, terms: Terms, seeds: set[int], progress: Progress
) -> NDArray[np.float32]:
    """(n, 384), rows that no seed uses are 0."""
    drawn = [draw(stream, seed, terms.calibrate) for seed in sorted(seeds)]
    used = [d.rows for d in drawn] + [d.aside[: terms.calibrate] for d in drawn]
    rows = np.unique(np.concatenate([*used, *(fitted_rows(d, shipped=False) for d in drawn)]))
    found = _embedded([stream.data.prompts[i] for i in rows], progress)
    vectors = np.zeros((len(stream.data), found.shape[1]), dtype=np.float32)
    vectors[rows] = found
    return vectors


def _text_vectors(
    stream: Stream, answers: Answers, todo: Sequence[Job], progress: Progress
) -> dict[bytes, NDArray[np.float32]]:
    asking = {(s.first, s.second) for job in todo for s in job.variant.specs if s.second}
    texts = open_texts(stream.data, answers, sorted(asking))
    if not texts:
        return {}
    return dict(zip(map(key_of, texts), _embedded(texts, progress), strict=True))


def _embedded(texts: Sequence[str], progress: Progress) -> NDArray[np.float32]:
    try:
        return embeddings(texts, default_cache(), progress)
    except RouterError as error:
        raise BenchError(f"{error}; fetch the model with scripts/fetch_model") from None


def _write(done: Mapping[Job, Figures], stream: Stream, said: str, out: Path) -> None:
    name = stream.spec.name
    made = tables(done, {name: stream.data.arms})
    text = markdown(made, {name: stream.unit_usd}, said)
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "cascade.md").write_text(text, encoding="utf-8")
        (out / "runs.csv").write_text(runs_csv(done), encoding="utf-8")
    except OSError:
        raise BenchError(f"{out} cannot be written; choose another --out") from None
    draw_plots(made, out / f"{name}.png")
    click.echo(text)
    click.echo(f"written to {out}: cascade.md, runs.csv, {name}.png", err=True)


def _said(terms: Terms) -> str:
    """What differs from the plain replay."""
    parts = [f"{terms.calibrate} calibrated prompts"] if terms.calibrate else []
    parts += [f"{terms.audit_share:.0%} of accepted cheap answers audited"] * bool(
        terms.audit_share
    )
    if terms.pledge is not None:
        share, confidence = terms.pledge.max_bad, terms.pledge.confidence
        parts.append(f"at most {share:.1%} of accepted answers bad, confidence {confidence:g}")
    parts += [f"cost of {arm} times {factor:g}" for arm, factor in terms.cost_factors.items()]
    parts += [f"outcomes learned {terms.delay} requests late"] if terms.delay else []
    if terms.feedback_share < 1:
        parts.append(f"feedback on {terms.feedback_share:.0%} of requests")
    return f"Terms: {'; '.join(parts)}." if parts else ""
