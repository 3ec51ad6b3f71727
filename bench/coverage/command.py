"""`scripts/bench coverage`: replays, evaluations, and a table of how often they hold the truth."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.progress import Progress

from bench import pool
from bench.coverage.measure import Evaluator, Found
from bench.routing.errors import BenchError, DataAbsent
from bench.routing.jobs import Job, Material, Terms
from bench.routing.session import embedded
from bench.routing.streams import Stream, draw, known_streams, load, shortened
from bench.routing.world import Variant
from bench.tables import line

STREAMS = ("paretobandit_k4", "routellm_pair-3000")
SEEDS, QUICK_SEEDS, REQUESTS = 100, 5, 1_000
COST_WEIGHT = 0.1
LEVEL = 0.95
FLOOR = 0.05
SERVED = (
    Variant("adaptive", "adaptive", vw=True),
    Variant(f"adaptive, floor {FLOOR}", "adaptive", vw=True, options={"exploration_floor": FLOOR}),
)
"""As it comes, and told to leave every plan enough for a log that tells of all."""
NOTE = (
    "Every seed: the default policy, as it comes or with a higher `exploration_floor`, serves a "
    "stream of recorded outcomes, from a cold start, and `evaluate` estimates others from its log "
    "alone. *Given*: share of the seeds in which the log told enough for an interval; *covers*: "
    "share of these whose 95 % interval holds what that policy would have earned by the recording."
)
HEADER = (
    *("stream", "served by", "policy", "of"),
    *("given", "covers", "half width", "error", "left by weight"),
)


@click.command("coverage")
@click.option("--stream", "names", multiple=True, type=click.Choice(STREAMS), help="[both]")
@click.option("--seeds", type=click.IntRange(1, 1_000), help="[100, quick: 5]")
@click.option("--requests", type=click.IntRange(100), default=REQUESTS, show_default=True)
@click.option("--quick", is_flag=True, help="five seeds")
@click.option("--jobs", type=click.IntRange(1, 256), help="processes [one per core]")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("bench-results/coverage.md"),
    show_default=True,
)
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
    streams = dict(_loaded(names or STREAMS, requests))
    if not streams:
        return
    count = seeds or (QUICK_SEEDS if quick else SEEDS)
    found = _run(streams, count, jobs or len(os.sched_getaffinity(0)))
    text = markdown(found, count)
    click.echo(text)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
    except OSError:
        raise BenchError(f"{out} cannot be written; choose another --out") from None


def _loaded(names: Sequence[str], requests: int) -> Iterator[tuple[str, Stream]]:
    for name in names:
        try:
            stream = load(shortened(known_streams()[name], requests))
            draw(stream, 0)
        except DataAbsent as absent:
            click.echo(f"skipped {name}: {absent}", err=True)
        else:
            yield name, stream


def _run(streams: Mapping[str, Stream], seeds: int, processes: int) -> list[Found]:
    terms = Terms()
    todo = [
        Job(name, COST_WEIGHT, i, served, seed)
        for name in streams
        for i, served in enumerate(SERVED)
        for seed in range(seeds)
    ]
    with Progress(console=Console(stderr=True)) as progress:
        vectors = {name: embedded(s, terms, seeds, progress) for name, s in streams.items()}
        task = progress.add_task("evaluating", total=len(todo))
        found: list[Found] = []
        make = partial(Evaluator, Material(streams, vectors, terms))
        for _, made in pool.run_all(make, todo, processes):
            found += made
            progress.advance(task)
    return found


def markdown(found: Sequence[Found], seeds: int) -> str:
    keys = sorted({one.key for one in found})
    lines = ["# Coverage", "", f"{seeds} seeds. {NOTE}", "", line(HEADER)]
    lines.append(line(["---"] * len(HEADER)))
    for key in keys:
        group = [one for one in found if one.key == key]
        lines.append(line([*key, *_cells(group)]))
    return "\n".join([*lines, ""])


def _cells(group: Sequence[Found]) -> list[str]:
    """Marked where fewer intervals cover than their level promises."""
    given = [one for one in group if one.covered is not None]
    covers, half = "", ""
    if given:
        share = float(np.mean([bool(one.covered) for one in given]))
        covers = f"{share:.1%}" if share >= LEVEL else f"**{share:.1%}**"
        half = f"{np.mean([(one.high or 0) - (one.low or 0) for one in given]) / 2:.4f}"
    error = np.mean([one.estimate - one.truth for one in group])
    left = np.mean([one.effective for one in group])
    return [f"{len(given) / len(group):.0%}", covers, half, f"{error:+.4f}", f"{left:.0f}"]
