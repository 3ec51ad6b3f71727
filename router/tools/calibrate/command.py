"""`adaptive-router calibrate PROMPTS.jsonl`: what routing brings, before anything is served."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from typing import Any

import click

from router.config import load_config
from router.tools.options import CONFIG, FILE, JSON, tell

STOPPED = 130


def _finite(_: click.Context, __: click.Parameter, value: float) -> float:
    if not math.isfinite(value):
        raise click.BadParameter("write a finite number of US dollars")
    return value


def _finite_width(_: click.Context, __: click.Parameter, value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):
        raise click.BadParameter("write a finite reward, such as 0.01")
    return value


def _url(_: click.Context, __: click.Parameter, value: str) -> str:
    if value and not value.startswith(("http://", "https://")):
        raise click.BadParameter("write a URL that starts with http:// or https://")
    return value


@click.command()
@click.argument("prompts", type=FILE)
@CONFIG
@click.option(
    "--budget-usd",
    required=True,
    type=click.FloatRange(min=0, min_open=True),
    callback=_finite,
    help="never passed, earlier runs on the same journal included",
)
@click.option(
    "--prompts",
    "count",
    type=click.IntRange(1),
    help="how many to ask, balanced over clusters; default: the whole file",
)
@click.option(
    "--interval",
    type=click.FloatRange(min=0, min_open=True, max=1),
    callback=_finite_width,
    help="ask as many as make the 95 % interval of the gain in reward +- this wide",
)
@click.option("--journal", type=FILE, help="default: PROMPTS.calibration")
@click.option("--concurrency", default=8, show_default=True, type=click.IntRange(1, 256))
@click.option(
    "--match",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "exact", "contains", "number"]),
    help="how an answer is compared with its reference",
)
@click.option("--verifier", default="", callback=_url, metavar="URL", help="scores by HTTP POST")
@click.option("--judge", default="", metavar="ARM", help="scores by asking this arm")
@click.option("--max-output-tokens", type=click.IntRange(1, 1_000_000), help="of an answer")
@click.option(
    "--ask-again", is_flag=True, help="also calls in doubt or timed out: may be paid twice"
)
@click.option("--replace", is_flag=True, help="put the new snapshot in an existing one's place")
@click.option("--out", type=FILE, help="write the snapshot here instead of publishing it")
@click.option("--report", type=FILE, help="write what is printed here as well, as Markdown")
@JSON
def calibrate(config_path: Path, *, as_json: bool, **given: Any) -> None:
    """Ask every arm every prompt once, score the answers, learn from them, and say what it brings.

    PROMPTS: JSON lines with `prompt` or `messages`, and optionally `reference` and `id`.
    """
    config = load_config(config_path, os.environ)
    if given["count"] is not None and given["interval"] is not None:
        raise click.UsageError("choose either --prompts or --interval")
    if given["verifier"] and given["judge"]:
        raise click.UsageError("choose either --verifier or --judge")
    if given["judge"] and given["judge"] not in config.arms:
        raise click.BadParameter(f"name one of {', '.join(config.arms)}", param_hint="--judge")
    from rich.console import Console  # noqa: PLC0415 - `--help` need not wait for its imports

    from router.tools.calibrate import run as calibration  # noqa: PLC0415 - the same
    from router.tools.calibrate.run import Stopped  # noqa: PLC0415 - the same

    prompts: Path = given["prompts"]
    given["journal"] = given["journal"] or prompts.with_name(f"{prompts.name}.calibration")
    told_to = sys.stderr if as_json else sys.stdout
    width = None if told_to.isatty() else calibration.PLAIN_WIDTH
    console = Console(stderr=as_json, width=width)
    try:
        found = calibration.run_calibration(
            config, calibration.CalibrateOptions(**given), os.environ, console
        )
    except Stopped as stopped:
        click.echo(stopped.message, err=True)
        sys.exit(STOPPED)
    if as_json:
        tell(found)
