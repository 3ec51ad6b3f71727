"""`scripts/bench robustness`: share of prompts that keep their arm in other words."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Final

import click
import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from bench.experiments.robustness.prompt_variants import ASKING, VARIANTS, varied
from bench.lab import options
from bench.lab.embeddings import embed_stream, embed_texts
from bench.lab.jobs import Embeddings, Job, Material, ReplayFactory, run_stream
from bench.lab.provider import chat_of
from bench.lab.replay import ANY_COST, ANY_WEIGHTS, Replay
from bench.lab.report import csv_text, document, table, write
from bench.lab.setup import Variant
from bench.lab.streams import SHORT_STREAMS, Split, Stream, draw, load_available, named_streams

REQUESTS, PROMPTS, QUICK_PROMPTS = 1_400, 300, 100
KEPT_MARK, MOVED_MARK = 0.9, 0.05
ADAPTIVE: Final = Variant("adaptive", "adaptive")
NOTE: Final = (
    "Share of prompts whose best arm by expected utility stays that of the prompt as it was, after "
    f"the default policy was taught by the stream. Marks: {KEPT_MARK:.0%} or more; of prompts that "
    f"end in a sentence that asks for a model fewer than {MOVED_MARK:.0%} may move. *Largest*: "
    "share of the arm that most prompts get; where it is all of them, nothing can move."
)
Texts = Mapping[str, tuple[Sequence[str], Embeddings]]
"""Texts and their embeddings by variant, the plain ones under ""."""


@dataclass(frozen=True, slots=True)
class KeptArms:
    """same: share of prompts whose best arm stays. largest: share of the arm most prompts get."""

    stream: str
    cost_weight: float
    prompts: int
    largest: float
    same: Mapping[str, float]


@click.command("robustness")
@click.option(
    "--stream", "names", multiple=True, type=click.Choice(tuple(SHORT_STREAMS)), help="[all]"
)
@options.cost_weights(0.1, 0.3)
@click.option("--seeds", type=click.IntRange(1, 100), default=2, show_default=True)
@click.option("--prompts", type=click.IntRange(10), help="varied per seed [300, quick: 100]")
@click.option("--quick", is_flag=True, help="one stream, one weight, one seed")
@options.out("bench-results/robustness")
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
    names = names or (("routellm_pair",) if quick else tuple(SHORT_STREAMS))
    streams = load_available(named_streams(names, REQUESTS)).values()
    weights = cost_weights[:1] if quick else cost_weights
    found = [
        kept
        for stream in streams
        for seed in range(1 if quick else seeds)
        for kept in _measured(stream, seed, count, weights)
    ]
    if found:
        text = markdown(found)
        write(out, {"robustness.md": text, "robustness.csv": _csv(found)})
        click.echo(text)


def _measured(
    stream: Stream, seed: int, count: int, weights: Sequence[float]
) -> Iterator[KeptArms]:
    name, split = stream.spec.name, draw(stream, seed)
    with Progress(disable=True) as progress:
        given = {n: (t, embed_texts(t, progress)) for n, t in texts_of(stream, split, count, seed)}
        vectors = embed_stream(stream, [seed], progress)
    replays = ReplayFactory(Material({name: stream}, {name: vectors}))
    for weight in weights:
        job = Job(name, weight, 0, ADAPTIVE, seed)
        replay = replays.build(job, split)
        asyncio.run(run_stream(replay, split, seed))
        yield kept_arms(job, replay, given)


def texts_of(
    stream: Stream, split: Split, count: int, seed: int
) -> Iterator[tuple[str, list[str]]]:
    """Yield the last prompts of the stream as they are, under "", and by variant."""
    plain = [stream.data.prompts[row] for row in split.rows[-count:]]
    yield "", plain
    for name in VARIANTS:
        yield name, [varied(text, name, seed) for text in plain]


def kept_arms(job: Job, replay: Replay, given: Texts) -> KeptArms:
    """Compare the best arms of all variants, for a replay that has run."""
    best = {name: _best_arms(replay, *texts) for name, texts in given.items()}
    plain = best[""]
    return KeptArms(
        stream=job.stream,
        cost_weight=job.cost_weight,
        prompts=len(plain),
        largest=float(np.unique(plain, return_counts=True)[1].max() / len(plain)),
        same={name: float((found == plain).mean()) for name, found in best.items() if name},
    )


def _best_arms(replay: Replay, texts: Sequence[str], vectors: Embeddings) -> NDArray[np.str_]:
    """Returns the arm of the largest expected utility for each text, (n,)."""
    decider, plans = replay.decider, tuple(replay.catalog.plans.values())
    found = []
    for text, vector in zip(texts, vectors, strict=True):
        context = decider.context(chat_of(text, 0), vector)
        choice = decider.choose(context, plans, ANY_WEIGHTS, ANY_COST)
        assert choice is not None  # noqa: S101 - there is no cost limit to exceed
        found.append(max(choice.expected, key=itemgetter(3))[0])
    return np.array(found)


def markdown(found: Sequence[KeptArms]) -> str:
    """Returns the means over the seeds."""
    keys = list(dict.fromkeys((kept.stream, kept.cost_weight) for kept in found))
    header = ["stream", "λ", "prompts", "largest", *VARIANTS]
    rows = [_cells([k for k in found if (k.stream, k.cost_weight) == key]) for key in keys]
    return document("Robustness", NOTE, "", [table(header, rows)])


def _cells(group: Sequence[KeptArms]) -> list[str]:
    first, largest = group[0], np.mean([kept.largest for kept in group])
    same = {name: float(np.mean([kept.same[name] for kept in group])) for name in VARIANTS}
    size = str(sum(kept.prompts for kept in group))
    shares = [_marked(name, share) for name, share in same.items()]
    return [first.stream, f"{first.cost_weight:g}", size, f"{largest:.0%}", *shares]


def _marked(name: str, share: float) -> str:
    kept = share > 1 - MOVED_MARK if name == ASKING else share >= KEPT_MARK
    return f"{share:.1%}" if kept else f"**{share:.1%}**"


def _csv(found: Sequence[KeptArms]) -> str:
    return csv_text(
        ("stream", "cost_weight", "prompts", "largest", "variant", "same"),
        (
            (kept.stream, kept.cost_weight, kept.prompts, kept.largest, name, share)
            for kept in found
            for name, share in kept.same.items()
        ),
    )
