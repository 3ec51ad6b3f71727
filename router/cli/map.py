"""`adaptive-router map`: what was learned, as one file to look at; and clusters fitted anew."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from router.config import load_config

FILE = click.Path(dir_okay=False, path_type=Path)


@click.group("map", invoke_without_command=True)
@click.option("--config", "config_path", type=FILE, help="YAML file")
@click.option("--out", type=FILE, help="the HTML file to write")
@click.option("--snapshot", type=FILE, help="of `calibrate --out`, instead of the store's")
@click.option(
    "--most",
    default=20_000,
    show_default=True,
    type=click.IntRange(0, 1_000_000),
    help="decisions read, at most",
)
@click.pass_context
def map_command(context: click.Context, /, config_path: Path | None, **given: Any) -> None:
    """Write the map of prompts: which plan is best for which kind, why, and how sure that is."""
    if context.invoked_subcommand is not None:
        return
    for name, value in (("--config", config_path), ("--out", given["out"])):
        if value is None:
            raise click.UsageError(f"Missing option '{name}'.")
    assert config_path is not None  # noqa: S101 - asked for just before
    config = load_config(config_path, os.environ)
    from router.app import mapping  # noqa: PLC0415 - `--help` need not wait for its imports

    atlas = mapping.write_map(config, mapping.Wanted(**given), os.environ)
    click.echo(
        f"{given['out']}: {len(atlas.regions)} regions, {atlas.requests} requests, "
        f"{atlas.head.learned} outcomes learned"
    )
    for note in atlas.notes:
        click.echo(f"note: {note}")
