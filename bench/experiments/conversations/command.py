"""`scripts/bench conversations`: options, runs, tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import click

from bench.experiments.conversations.cells import Cell, cell_of
from bench.experiments.conversations.products import PARTS, PRODUCTS, compared
from bench.experiments.conversations.report import markdown
from bench.experiments.conversations.runs import Run, run_all
from bench.experiments.conversations.terms import TERMS, Terms, rates_of
from bench.lab import options
from bench.lab.recorded import BenchError
from bench.lab.report import write
from bench.lab.streams import Stream, StreamSpec, known_streams, load_available

STREAMS = {"routellm_pair": "routellm_pair-3000", "paretobandit_k4": "paretobandit_k4"}
NAMES = tuple(product.name for product in PRODUCTS + PARTS)
SEEDS, TURNS, QUICK_SEEDS, QUICK_TURNS = 10, 6_000, 2, 900


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationOptions(options.ExperimentOptions):
    prices: Sequence[str]
    presets: Sequence[str]
    task_column: str
    cached: Sequence[float]
    write: float | None
    life_s: float | None
    mean_turns: float | None
    growth: int | None
    attached: int | None
    turns: int | None
    parts: bool
    only: Sequence[str]
    question: str

    def all_terms(self) -> list[Terms]:
        """Returns terms by preset and cached rate."""
        return [self._told(one) for name in self.presets for one in self._read(TERMS[name])]

    def _read(self, terms: Terms) -> list[Terms]:
        if self.cached:
            return [replace(terms, read=read) for read in self.cached]
        return [replace(terms, read=read) for read in ((0.1, 0.5) if terms.attached else (0.1,))]

    def _told(self, terms: Terms) -> Terms:
        told: dict[str, Any] = {
            "asked_earlier": self.question == "earlier" or None,
            "write": self.write,
            "life_s": self.life_s,
            "turns": self.mean_turns,
            "growth": self.growth,
            "attached": self.attached,
        }
        return replace(terms, **{k: v for k, v in told.items() if v is not None})


@click.command("conversations")
@click.option("--stream", "names", multiple=True, type=click.Choice(tuple(STREAMS)), help="[all]")
@options.FILE
@options.ARMS
@options.PROMPT_COLUMN
@options.WHERE
@click.option(
    "--price",
    "prices",
    multiple=True,
    help="ARM=IN,OUT[,CACHED[,WRITE]], USD per million tokens; known for the arms of public sets",
)
@click.option(
    "--terms",
    "presets",
    multiple=True,
    type=click.Choice(tuple(TERMS)),
    default=tuple(TERMS),
    show_default=True,
)
@click.option("--task-column", default="task", show_default=True, help="one per conversation")
@click.option(
    "--cached",
    multiple=True,
    type=click.FloatRange(0, 1),
    help="of the input price [chat: .1 and .5, agents: .1]",
)
@click.option(
    "--write", type=click.FloatRange(0, 4), help="of the input price [chat: 1, agents: 1.25]"
)
@click.option("--ttl", "life_s", type=click.FloatRange(0), help="seconds a cache lives [300]")
@click.option("--mean-turns", type=click.FloatRange(1), help="[chat: 6, agents: 30]")
@click.option("--growth", type=click.IntRange(0), help="tokens a turn [chat: 1500, agents: 1200]")
@click.option(
    "--attachments",
    "attached",
    type=click.IntRange(0),
    help="half of the conversations bring up to so many tokens [chat: 8000, agents: 0]",
)
@options.cost_weights(
    0.1, 0.3, note="weight of one unit of cost, the mean cost per turn of the dearest fixed arm"
)
@options.seeds("[10, quick: 2]")
@click.option("--turns", type=click.IntRange(20), help="per run [6000, quick: 900]")
@click.option("--quick", is_flag=True, help="two seeds of 900 turns")
@click.option(
    "--question",
    type=click.Choice(["last", "earlier"]),
    default="last",
    show_default=True,
    help="message in which it stands; earlier: the last one is 'Yes, please.'",
)
@options.vw("both")
@click.option("--parts", is_flag=True, help="also without each part, and valuing fewer turns")
@click.option("--only", multiple=True, type=click.Choice(NAMES), help="leave out the rest")
@options.JOBS
@options.out("bench-results/conversations")
def conversations(**given: Any) -> None:
    """Conversations with a provider's prompt cache: reward less that of the best fixed arm.

    Recorded rows are strung into conversations of one task each. Reward is quality less λ · cost /
    unit; the bar is the arm that is best on the second half with its own cache warm.
    """
    asked = ConversationOptions(**given, requests=None)
    cells = [
        cell_of(
            stream, rates_of(stream.data.arms, _prices(asked, stream)), terms, asked.task_column
        )
        for stream in _load(asked).values()
        for terms in asked.all_terms()
    ]
    if not cells:
        return
    turns = asked.turns or (QUICK_TURNS if asked.quick else TURNS)
    seeds = asked.seed_count(SEEDS, QUICK_SEEDS)
    todo = [
        Run(i, weight, seed)
        for i in range(len(cells))
        for seed in range(seeds)
        for weight in asked.cost_weights
    ]
    products = compared(asked.vw, parts=asked.parts, only=asked.only)
    done = run_all(cells, todo, turns, products, asked.processes)
    text = markdown(cells, done, turns, seeds)
    write(asked.out, {"conversations.md": text})
    click.echo(text)
    click.echo(f"written to {asked.out}: conversations.md", err=True)


def _cell(asked: ConversationOptions, stream: Stream, terms: Terms) -> Cell:
    rates = rates_of(stream.data.arms, _prices(asked, stream))
    return cell_of(stream, rates, terms, asked.task_column)


def _prices(asked: ConversationOptions, stream: Stream) -> list[str]:
    """Returns the prices given for arms of this stream; raises BenchError for an unknown arm."""
    here = [price for price in asked.prices if price.partition("=")[0] in stream.data.arms]
    if asked.path and len(here) < len(asked.prices):
        raise BenchError(f"--price names no arm of {stream.spec.name}")
    return here


def _load(asked: ConversationOptions) -> dict[str, Stream]:
    if spec := asked.file_spec():
        return load_available([spec])
    known = known_streams()
    specs: list[StreamSpec] = [
        replace(known[STREAMS[name]], name=name, requests=None)
        for name in asked.names or tuple(STREAMS)
    ]
    return load_available(specs)
