"""`adaptive-router calibrate PROMPTS.jsonl`: what routing brings, before anything is served."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from typing import Any

import click

from router.config import load_config
from router.tools.options import CONFIG, FILE

STOPPED = 130


def _finite(_: click.Context, __: click.Parameter, value: float) -> float:
    if not math.isfinite(value):
        raise click.BadParameter("write a finite number of US dollars")
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
def calibrate(config_path: Path, **given: Any) -> None:
    """Ask every arm every prompt once, score the answers, learn from them, and say what it brings.

    PROMPTS: JSON lines with `prompt` or `messages`, and optionally `reference` and `id`.
    """
    config = load_config(config_path, os.environ)
    if given["verifier"] and given["judge"]:
        raise click.UsageError("choose either --verifier or --judge")
    if given["judge"] and given["judge"] not in config.arms:
        raise click.BadParameter(f"name one of {', '.join(config.arms)}", param_hint="--judge")
    from rich.console import Console  # noqa: PLC0415 - `--help` need not wait for its imports

    from router.tools.calibrate import run as calibration  # noqa: PLC0415 - the same
    from router.tools.calibrate.run import Stopped  # noqa: PLC0415 - the same

    prompts: Path = given["prompts"]
    given["journal"] = given["journal"] or prompts.with_name(f"{prompts.name}.calibration")
    console = Console(width=None if sys.stdout.isatty() else calibration.PLAIN_WIDTH)
    try:
        calibration.run_calibration(
            config, calibration.CalibrateOptions(**given), os.environ, console
        )
    except Stopped as stopped:
        click.echo(stopped.message, err=True)
        sys.exit(STOPPED)
