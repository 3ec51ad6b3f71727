"""The commands. Heavy modules are imported by the command that needs them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from router.cli.learner import learner
from router.cli.policy import policy
from router.cli.tenants import tenant
from router.config import doubts_of, load_config
from router.domain.errors import RouterError
from router.tools.archive.command import explain, log
from router.tools.calibrate.command import calibrate
from router.tools.evaluate.command import evaluate
from router.tools.map.command import map_command
from router.tools.train.command import train

CONFIG = click.option(
    "--config", "config_path", required=True, type=click.Path(path_type=Path), help="YAML file"
)


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


@main.command("check-config")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--probe", is_flag=True, help="ask the Redis server as well whether it is fit")
def check_config(file: Path, *, probe: bool) -> None:
    """Name file, line, key and fix of every mistake at once."""
    config = load_config(file, os.environ)
    from router.config.values import (  # noqa: PLC0415 - only when it is well-formed
        catalog_of,
        cut_off_by_drain,
    )

    _check_proxy(config.providers.proxy)
    for arm in catalog_of(config).arms.values():
        click.echo(f"arm {arm.name}: {', '.join(f'{d.name} ({d.model})' for d in arm.deployments)}")
    for plan in catalog_of(config).plans.values():
        rungs = " -> ".join(plan.rungs)
        if plan.is_judged:
            rungs += f", gate {plan.gate}" + (f" asks {plan.second}" if plan.second else "")
        click.echo(f"plan {plan.name}: {rungs} (typically ${plan.prior_cost_usd:.6f})")
    for name, section in config.challengers.items():
        click.echo(f"challenger {name}: {', '.join(sorted(section.model_fields_set))}")
    if warning := cut_off_by_drain(config):
        click.echo(f"warning: {warning}")
    for doubt in doubts_of(config, file, os.environ):
        click.echo(f"warning: {doubt}")
    click.echo(f"{file}: well-formed")
    if probe:
        from router.app.store_probe import probe_store  # noqa: PLC0415 - brings the driver

        found = probe_store(config, os.environ)
        click.echo(f"store: {found.summary}")
        for one in found.findings:
            click.echo(f"store {'error' if one.grave else 'warning'}: {one.text}", err=one.grave)
        sys.exit(int(any(one.grave for one in found.findings)))


def _check_proxy(setting: str) -> None:
    """Raises ConfigInvalid for a proxy, of the config or the environment, that ends `serve`."""
    from router.adapters.providers import ProxyRules  # noqa: PLC0415 - brings the HTTP client

    ProxyRules.read(setting, os.environ)


@main.command("fetch-model")
@click.argument("directory", required=False, type=click.Path(file_okay=False, path_type=Path))
def fetch_model_command(directory: Path | None) -> None:
    """Fetch and verify the embedding model, by default into the user's cache directory."""
    from router.adapters.embedding.fetch import fetch_model  # noqa: PLC0415 - brings its drivers

    click.echo(str(fetch_model(target=directory)))


for command in (calibrate, evaluate, explain, learner, log, map_command, policy, tenant, train):
    main.add_command(command)
