"""`adaptive-router learner`: learn only, or prove what was learned."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import click

from router.config import load_config
from router.tools.options import CONFIG, FILE, config_option

FOLDER = click.Path(file_okay=False, path_type=Path)


@click.group(invoke_without_command=True)
@config_option(required=False)
@click.pass_context
def learner(context: click.Context, config_path: Path | None) -> None:
    """Learn only: for deployments in which routers do not."""
    if context.invoked_subcommand is not None:
        return
    if config_path is None:
        raise click.UsageError("Missing option '--config'.")
    config = load_config(config_path, os.environ)
    from router.app.learner import run_learner  # noqa: PLC0415 - other commands need not wait for its imports
    from router.app.reloading import ConfigSource  # noqa: PLC0415 - the same

    run_learner(config, ConfigSource(config_path))


@learner.command()
@CONFIG
@click.option("--log", "archive", type=FOLDER, help="an archive, instead of what the store holds")
@click.option("--verify", is_flag=True, help="hold it against the newest snapshot, byte for byte")
@click.option("--out", type=FILE, help="write the snapshot here")
def replay(config_path: Path, archive: Path | None, out: Path | None, *, verify: bool) -> None:
    """Learn the whole log again from nothing."""
    config = load_config(config_path, os.environ)
    from router.runtime.files import write_file  # noqa: PLC0415 - the same
    from router.tools.train.run import replayed  # noqa: PLC0415 - `--help` waits for no driver

    done = asyncio.run(replayed(config, os.environ, archive, verify=verify))
    same = ": the newest snapshot is the same, byte for byte" if verify else ""
    click.echo(f"{done.events} events learned, up to {done.position}{same}")
    if out is not None:
        write_file(out, done.payload)
