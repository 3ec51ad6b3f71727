"""`scripts/bench drift`: what may be asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bench.drift.scenarios import known_scenarios
from bench.drift.session import FEEDBACKS, STREAMS, Asked, run


@click.command("drift")
@click.option("--stream", "names", multiple=True, type=click.Choice(tuple(STREAMS)), help="[all]")
@click.option("--file", "path", type=click.Path(path_type=Path), help="another recorded set")
@click.option("--arms", default="", help="of --file: names of its q_ and c_ columns, by comma")
@click.option("--where", multiple=True, help="of --file: column==value or column!=value")
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
@click.option("--seeds", type=click.IntRange(1, 1_000), help="[10, quick: 2]")
@click.option("--requests", type=click.IntRange(400), help="at most, per stream [1400]")
@click.option("--quick", is_flag=True, help="one stream, feedback at once, two seeds")
@click.option("--blind/--no-blind", default=None, help="replay without watching too [yes]")
@click.option("--jobs", type=click.IntRange(1, 256), help="processes [one per core]")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("bench-results/drift"),
    show_default=True,
)
def drift(**asked: Any) -> None:
    """How soon the default policy follows a change, and what watching for one costs.

    Without options: every stream, scenario and kind of feedback, 10 seeds; an hour or two on two
    cores.
    """
    run(Asked(**asked))
