"""`scripts/bench routing`: what may be asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bandit import POLICY_NAMES
from bench.routing.session import Asked, run
from bench.routing.streams import known_streams


@click.command("routing")
@click.option(
    "--stream", "names", multiple=True, type=click.Choice(tuple(known_streams())), help="[all]"
)
@click.option("--file", "path", type=click.Path(path_type=Path), help="another recorded set")
@click.option("--arms", default="", help="of --file: names of its q_ and c_ columns, by comma")
@click.option("--prompt-column", default="prompt", show_default=True, help="of --file")
@click.option("--where", multiple=True, help="of --file: column==value or column!=value")
@click.option("--policy", "policies", multiple=True, type=click.Choice(POLICY_NAMES), help="[all]")
@click.option(
    "--lambda",
    "cost_weights",
    multiple=True,
    type=click.FloatRange(0, 10),
    default=(0.1, 0.3),
    show_default=True,
    help="weight of one unit of cost against one unit of quality",
)
@click.option("--seeds", type=click.IntRange(1, 1_000), help="[20, quick: 2]")
@click.option("--requests", type=click.IntRange(10), help="at most, per stream")
@click.option("--quick", is_flag=True, help="two streams, 600 requests, two seeds")
@click.option("--vw", type=click.Choice(["on", "off", "both"]), default="both", show_default=True)
@click.option("--set", "options", multiple=True, help="KEY=VALUE of the config's policy section")
@click.option("--calibrate", default=0, type=click.IntRange(0), help="prompts learned beforehand")
@click.option("--delay", default=0, type=click.IntRange(0), help="requests until one is learned")
@click.option("--feedback-share", default=1.0, type=click.FloatRange(0, 1), help="of requests")
@click.option("--prior-factor", "factors", multiple=True, help="ARM=FACTOR: a wrong price prior")
@click.option(
    "--cost-unit-usd",
    type=click.FloatRange(0, min_open=True),
    help="[mean cost of the dearest arm]",
)
@click.option(
    "--shipped-map", is_flag=True, help="the package's context map, not one fitted to the source"
)
@click.option("--jobs", type=click.IntRange(1, 256), help="processes [one per core]")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("bench-results/routing"),
    show_default=True,
)
def routing(**asked: Any) -> None:
    """Policies on recorded outcomes: quality, cost and regret, against fixed arms and their mixes.

    Without options: every known stream and policy, 20 seeds; some hours on two cores. What a stream
    came to is written down before the next begins.
    """
    run(Asked(**asked))
