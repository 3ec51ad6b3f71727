"""`adaptive-router map`: what was learned, as one file to look at; and clusters fitted anew."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from router.config import load_config
from router.tools.options import CONFIG, FILE, config_option


@click.group("map", invoke_without_command=True)
@config_option(required=False)
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
    from router.tools.map import run as mapping  # noqa: PLC0415 - `--help` need not wait for its imports

    atlas = mapping.write_map(config, mapping.MapOptions(**given), os.environ)
    click.echo(
        f"{given['out']}: {len(atlas.regions)} regions, {atlas.requests} requests, "
        f"{atlas.head.learned} outcomes learned"
    )
    for note in atlas.notes:
        click.echo(f"note: {note}")


@map_command.command("refit")
@CONFIG
@click.option("--out", required=True, type=FILE, help="the context map to write (.npz)")
@click.option("--snapshot", type=FILE, help="write here what kept decisions teach under it")
@click.option("--publish", is_flag=True, help="put that in the stored snapshot's place instead")
@click.option(
    "--most",
    default=20_000,
    show_default=True,
    type=click.IntRange(0, 1_000_000),
    help="decisions read, at most",
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0, 2**32 - 1))
def refit(config_path: Path, **given: Any) -> None:
    """Fit clusters and projection to sampled prompts; `policy: {context_map: FILE}` uses them."""
    config = load_config(config_path, os.environ)
    if given["snapshot"] and given["publish"]:
        raise click.UsageError("choose either --snapshot or --publish")
    from router.tools.map import refit as refitting  # noqa: PLC0415 - `--help` need not wait for its imports

    done = refitting.run_refit(config, refitting.RefitOptions(**given), os.environ)
    earlier = ", ".join(bridge.source for bridge in done.made.bridges) or "none"
    click.echo(
        f"{given['out']}: version {done.made.map.version} from {done.samples} samples; "
        f"reads decisions of: {earlier}"
    )
    if done.message:
        click.echo(f"{done.outcomes} outcomes taught, {done.skipped} decisions passed over")
        click.echo(done.message)
    click.echo(f"to use it: policy: {{context_map: {given['out']}}}, in routers and learner alike")
