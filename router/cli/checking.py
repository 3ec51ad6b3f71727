"""`check-config`: mistakes of a config, doubts about it, and what a probe of it finds."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from router.config import doubts_of, load_config
from router.domain.errors import ConfigInvalid, RouterError

if TYPE_CHECKING:
    from router.config import Config

STORE: Final = "store"
DEPLOYMENTS: Final = "deployments"


@click.command("check-config")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--probe", is_flag=True, help="ask the Redis server whether it is fit, call each deployment"
)
@click.option("--only", type=click.Choice([STORE, DEPLOYMENTS]), help="probe this alone")
def check_config(file: Path, *, probe: bool, only: str | None) -> None:
    """Name file, line, key and fix of every mistake at once."""
    config = load_config(file, os.environ)
    _tell(config, file)
    if not (probe or only):
        return
    probes: dict[str, Callable[[Config], bool]] = {STORE: _store, DEPLOYMENTS: _deployments}
    fit = [asked(config) for what, asked in probes.items() if only in (None, what)]
    sys.exit(int(not all(fit)))


def _tell(config: Config, file: Path) -> None:
    from router.config.values import (  # noqa: PLC0415 - only when it is well-formed
        catalog_of,
        cut_off_by_drain,
    )

    _check_proxy(config.providers.proxy)
    _check_certificates(config, file)
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


def _check_proxy(setting: str) -> None:
    """Raises ConfigInvalid for a proxy, of the config or the environment, that ends `serve`."""
    from router.adapters.providers import ProxyRules  # noqa: PLC0415 - brings the HTTP client

    ProxyRules.read(setting, os.environ)


def _check_certificates(config: Config, file: Path) -> None:
    """Raises ConfigInvalid for files of `server.tls` that end `serve`."""
    if config.server.tls is None:
        return
    from router.config.certificates import read_identity  # noqa: PLC0415 - brings ssl
    from router.config.load import placed  # noqa: PLC0415 - the same

    try:
        read_identity(config.server.tls)
    except ConfigInvalid as error:
        raise placed(error, file) from None


def _store(config: Config) -> bool:
    from router.app.store_probe import probe_store  # noqa: PLC0415 - brings the driver

    try:
        found = probe_store(config, os.environ)
    except RouterError as error:
        click.echo(error.message, err=True)
        return False
    click.echo(f"store: {found.summary}")
    for one in found.findings:
        click.echo(f"store {'error' if one.grave else 'warning'}: {one.text}", err=one.grave)
    return not any(one.grave for one in found.findings)


def _deployments(config: Config) -> bool:
    from router.app.process import run_once  # noqa: PLC0415 - brings the event loop
    from router.app.provider_probe import probe_cost, probed  # noqa: PLC0415 - brings the client

    async def told() -> bool:
        fit = True
        async for report in probed(config, os.environ):
            click.echo(str(report), err=report.grave)
            fit = fit and not report.grave
        return fit

    click.echo(probe_cost(config))
    return run_once(told())
