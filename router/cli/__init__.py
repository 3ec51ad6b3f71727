"""The commands. Heavy modules are imported by the command that needs them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from router.cli.cache import cache
from router.cli.checking import check_config
from router.cli.learner import learner
from router.cli.policy import policy
from router.cli.tenant_keys import COMMANDS as KEY_COMMANDS
from router.cli.tenants import tenant
from router.config import load_config
from router.domain.errors import RouterError
from router.tools.archive.command import explain, log
from router.tools.calibrate.command import calibrate
from router.tools.doctor.command import doctor
from router.tools.evaluate.command import evaluate
from router.tools.map.command import map_command
from router.tools.options import CONFIG
from router.tools.train.command import train


class Commands(click.Group):
    """A group whose errors are one clean line each, never a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except RouterError as error:
            click.echo(error.message, err=True)
            sys.exit(1)


@click.group(cls=Commands)
@click.version_option(package_name="adaptive-router")
def main() -> None:
    """Decide, for every chat request, which language model should answer; and learn from it."""


@main.command()
@CONFIG
def serve(config_path: Path) -> None:
    """Serve the API until SIGTERM; then drain."""
    config = load_config(config_path, os.environ)
    from router.app.reloading import ConfigSource  # noqa: PLC0415 - other commands need not wait for its imports
    from router.app.server import run_router  # noqa: PLC0415 - the same

    run_router(config, ConfigSource(config_path))


@main.command("fetch-model")
@click.argument("directory", required=False, type=click.Path(file_okay=False, path_type=Path))
def fetch_model_command(directory: Path | None) -> None:
    """Fetch and verify the embedding model, by default into the user's cache directory."""
    from router.adapters.embedding.fetch import fetch_model  # noqa: PLC0415 - brings its drivers

    click.echo(str(fetch_model(target=directory)))


for of_keys in KEY_COMMANDS:
    tenant.add_command(of_keys)
for command in (
    cache,
    calibrate,
    check_config,
    doctor,
    evaluate,
    explain,
    learner,
    log,
    map_command,
    policy,
    tenant,
    train,
):
    main.add_command(command)
