"""`scripts/bench robustness`: how many prompts keep their arm when said otherwise."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
from rich.progress import Progress

from bench.drift.session import STREAMS
from bench.robustness.measure import Kept, measure, texts_of
from bench.robustness.variants import ASKING, VARIANTS
from bench.routing.embedded import default_cache, embeddings
from bench.routing.errors import BenchError, DataAbsent
from bench.routing.maps import fitted_rows
from bench.routing.streams import Stream, draw, known_streams, load, shortened
from bench.tables import line
from router.domain.errors import RouterError

REQUESTS, PROMPTS, QUICK_PROMPTS = 1_400, 300, 100
KEPT_MARK, MOVED_MARK = 0.9, 0.05
NOTE = (
    "Share of prompts whose best arm by expected utility stays that of the prompt as it was, after "
    f"the default policy was taught by the stream. Marks: {KEPT_MARK:.0%} or more; of prompts that "
    f"end in a sentence that asks for a model fewer than {MOVED_MARK:.0%} may move. *Largest*: "
    "share of the arm that most prompts get; where it is all of them, nothing can move."
)


@click.command("robustness")
@click.option("--stream", "names", multiple=True, type=click.Choice(tuple(STREAMS)), help="[all]")
@click.option(
    "--lambda",
    "cost_weights",
    multiple=True,
    type=click.FloatRange(0, 10),
    default=(0.1, 0.3),
    show_default=True,
)
@click.option("--seeds", type=click.IntRange(1, 100), default=2, show_default=True)
@click.option("--prompts", type=click.IntRange(10), help="varied per seed [300, quick: 100]")
@click.option("--quick", is_flag=True, help="one stream, one weight, one seed")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("bench-results/robustness"),
    show_default=True,
)
def robustness(
    *,
    names: Sequence[str],
    cost_weights: Sequence[float],
    seeds: int,
    prompts: int | None,
    quick: bool,
    out: Path,
) -> None:
    """Paraphrase, case, whitespace and typo variants, and sentences that ask for a model."""
    count = prompts or (QUICK_PROMPTS if quick else PROMPTS)
    streams = _load(names or (("routellm_pair",) if quick else tuple(STREAMS)))
    weights = cost_weights[:1] if quick else cost_weights
    found = []
    with Progress(disable=True) as progress:
        for stream in streams:
            for seed in range(1 if quick else seeds):
                found += _measured(stream, seed, count, weights, progress)
    if found:
        _write(found, out)


def _load(names: Sequence[str]) -> list[Stream]:
    streams = []
    for name in names:
        spec = replace(known_streams()[STREAMS[name]], name=name)
        try:
            streams.append(load(shortened(spec, REQUESTS)))
        except DataAbsent as absent:
            click.echo(f"skipped {name}: {absent}", err=True)
    return streams


def _measured(
    stream: Stream, seed: int, count: int, weights: Sequence[float], progress: Progress
) -> list[Kept]:
    drawn = draw(stream, seed)
    texts = texts_of(stream, drawn, count, seed)
    rows = np.unique(np.concatenate([drawn.rows, fitted_rows(drawn, shipped=False)]))
    try:
        vectors = {name: embeddings(t, default_cache(), progress) for name, t in texts.items()}
        plain = embeddings([stream.data.prompts[i] for i in rows], default_cache(), progress)
    except RouterError as error:
        raise BenchError(f"{error}; fetch the model with scripts/fetch_model") from None
    full = np.zeros((len(stream.data), plain.shape[1]), dtype=np.float32)
    full[rows] = plain
    return [
        measure(stream, drawn, full, texts, vectors, cost_weight=weight, seed=seed)
        for weight in weights
    ]


def markdown(found: Sequence[Kept]) -> str:
    """Means over the seeds."""
    keys = list(dict.fromkeys((kept.stream, kept.cost_weight) for kept in found))
    header = ["stream", "λ", "prompts", "largest", *VARIANTS]
    lines = ["# Robustness", "", NOTE, "", line(header), line(["---"] * len(header))]
    for stream, weight in keys:
        group = [k for k in found if (k.stream, k.cost_weight) == (stream, weight)]
        same = {name: float(np.mean([k.same[name] for k in group])) for name in VARIANTS}
        cells = [stream, f"{weight:g}", str(sum(k.prompts for k in group))]
        cells.append(f"{np.mean([k.largest for k in group]):.0%}")
        lines.append(line(cells + [_share(name, share) for name, share in same.items()]))
    return "\n".join([*lines, ""])


def _share(name: str, share: float) -> str:
    kept = share > 1 - MOVED_MARK if name == ASKING else share >= KEPT_MARK
    return f"{share:.1%}" if kept else f"**{share:.1%}**"


def _write(found: Sequence[Kept], out: Path) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["stream", "cost_weight", "prompts", "largest", "variant", "same"])
    for kept in found:
        for name, share in kept.same.items():
            writer.writerow(
                [kept.stream, kept.cost_weight, kept.prompts, kept.largest, name, share]
            )
    text = markdown(found)
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "robustness.md").write_text(text, encoding="utf-8")
        (out / "robustness.csv").write_text(buffer.getvalue(), encoding="utf-8")
    except OSError:
        raise BenchError(f"{out} cannot be written; choose another --out") from None
    click.echo(text)
