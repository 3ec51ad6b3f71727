"""`scripts/bench NAME`: speed of the service, and worth of its policies."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from bench.experiments.cascade.command import cascade
from bench.experiments.context import context
from bench.experiments.conversations.command import conversations
from bench.experiments.coverage import coverage
from bench.experiments.drift.command import drift
from bench.experiments.robustness.command import robustness
from bench.experiments.routing.command import routing
from bench.load import decide, doors, freshness, learner, neighbours, overhead, traces


@click.group()
def main() -> None:
    """Measure the router on this machine; figures of one run compare with one another only."""


@main.command("overhead")
@click.option(
    "--requests",
    type=click.IntRange(overhead.KNOWN_PROMPTS),
    default=2_000,
    show_default=True,
    help="per measurement",
)
def overhead_command(requests: int) -> None:
    """The router's own time per request, before a local upstream that answers at once."""
    asyncio.run(overhead.run(requests))


@main.command("doors")
@click.option("--requests", type=click.IntRange(doors.CALLERS), default=800, show_default=True)
@click.option(
    "--litellm",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Python of an environment that has litellm[proxy]: its proxy is measured beside",
)
def doors_command(requests: int, litellm: Path | None) -> None:
    """CPU of a request over gRPC and over HTTP, of the same upstream."""
    asyncio.run(doors.run(requests, litellm))


@main.command("decide")
@click.option("--events", default=2_000, show_default=True)
def decide_command(events: int) -> None:
    """Microseconds per decision and per learned outcome."""
    decide.run(events)


@main.command("freshness")
@click.option("--rounds", default=30, show_default=True)
def freshness_command(rounds: int) -> None:
    """Seconds from acknowledged feedback to weights in use on every one of three routers."""
    asyncio.run(freshness.run(rounds))


@main.command("learner")
@click.option("--decisions", default=10_000, show_default=True)
@click.option("--challengers", is_flag=True, help="two beside the champion")
def learner_command(decisions: int, *, challengers: bool) -> None:
    """Events a learner gets through in a second; what they and its snapshot take."""
    asyncio.run(learner.run(decisions, challenged=challengers))


@main.command("neighbours")
@click.option("--requests", type=click.IntRange(10), default=300, show_default=True)
def neighbours_command(requests: int) -> None:
    """A quiet tenant's latency beside one that takes all it can get."""
    asyncio.run(neighbours.run(requests))


@main.command("traces")
@click.option("--requests", type=click.IntRange(1), default=3_000, show_default=True)
@click.option("--share", default=0.1, show_default=True, help="of the requests, that is sampled")
def traces_command(requests: int, share: float) -> None:
    """CPU time a request with tracing on against off."""
    asyncio.run(traces.run(requests, share))


for experiment in (routing, cascade, drift, robustness, coverage, context, conversations):
    main.add_command(experiment)
main()
