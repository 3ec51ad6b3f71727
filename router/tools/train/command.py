"""`adaptive-router train`: what another log taught, before the first request."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import click

from router.config import load_config
from router.tools.options import CONFIG, FILE

FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command()
@CONFIG
@click.option("--from", "archive", required=True, type=FOLDER, help="written by `log export`")
@click.option(
    "--prior-strength",
    type=click.FloatRange(min=1, max=1e9),
    help="outcomes that each plan's past counts for at most",
)
@click.option("--replace", is_flag=True, help="put the new snapshot in an existing one's place")
@click.option("--out", type=FILE, help="write the snapshot here instead of publishing it")
def train(
    config_path: Path,
    archive: Path,
    prior_strength: float | None,
    out: Path | None,
    *,
    replace: bool,
) -> None:
    """Learn an archive from nothing and publish what it taught."""
    config = load_config(config_path, os.environ)
    from router.tools.train.run import TrainOptions, trained  # noqa: PLC0415 - `--help` waits for no driver

    done = asyncio.run(
        trained(config, os.environ, TrainOptions(archive, prior_strength, replace, out))
    )
    click.echo(f"{done.events} events learned")
    click.echo(done.message)
