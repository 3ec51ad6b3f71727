"""`check-config`: mistakes of a config, doubts about it, and what a probe of it finds."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from router.config import doubts_of, load_config
from router.domain.errors import ConfigInvalid, RouterError
from router.tools.options import CONFIG_VARIABLE, JSON, tell

if TYPE_CHECKING:
    from router.config import Config

STORE: Final = "store"
DEPLOYMENTS: Final = "deployments"
Found = list[dict[str, Any]]


@click.command("check-config")
@click.argument("file", envvar=CONFIG_VARIABLE, type=click.Path(path_type=Path))
@click.option(
    "--probe", is_flag=True, help="ask the Redis server whether it is fit, call each deployment"
)
@click.option("--only", type=click.Choice([STORE, DEPLOYMENTS]), help="probe this alone")
@JSON
def check_config(file: Path, *, probe: bool, only: str | None, as_json: bool) -> None:
    """Name file, line, key and fix of every mistake at once.

    FILE: may be left out where ADAPTIVE_ROUTER_CONFIG names it.
    """
    config = _loaded(file, as_json=as_json)
    told = _document(config, file)
    if not as_json:
        _print(told)
    probes: dict[str, Callable[..., tuple[Found, bool]]] = {
        STORE: _store,
        DEPLOYMENTS: _deployments,
    }
    asked = {what: ask for what, ask in probes.items() if (probe or only) and only in (None, what)}
    found = {what: ask(config, quiet=as_json) for what, ask in asked.items()}
    if as_json:
        tell(told | {"probes": {what: findings for what, (findings, _) in found.items()}})
    sys.exit(int(not all(fit for _, fit in found.values())))


def _loaded(file: Path, *, as_json: bool) -> Config:
    try:
        config = load_config(file, os.environ)
        _check_proxy(config.providers.proxy)
        _check_certificates(config, file)
    except RouterError as error:
        if not as_json:
            raise
        tell({"file": str(file), "well_formed": False, "mistakes": _mistakes(error)})
        sys.exit(1)
    return config


def _mistakes(error: RouterError) -> Found:
    if not isinstance(error, ConfigInvalid):
        return [{"line": None, "key": None, "fix": error.message}]
    problems = error.problems
    return [{"line": p.line or None, "key": p.key or None, "fix": p.fix} for p in problems]


def _document(config: Config, file: Path) -> dict[str, Any]:
    from router.config.values import (  # noqa: PLC0415 - only when it is well-formed
        catalog_of,
        cut_off_by_drain,
    )

    catalog = catalog_of(config)
    warnings = [cut_off_by_drain(config), *map(str, doubts_of(config, file, os.environ))]
    return {
        "file": str(file),
        "well_formed": True,
        "arms": [
            {
                "name": arm.name,
                "deployments": [{"name": d.name, "model": d.model} for d in arm.deployments],
            }
            for arm in catalog.arms.values()
        ],
        "plans": [
            {
                "name": plan.name,
                "rungs": list(plan.rungs),
                "gate": plan.gate if plan.is_judged else None,
                "second": (plan.second if plan.is_judged else "") or None,
                "typical_usd": plan.prior_cost_usd,
            }
            for plan in catalog.plans.values()
        ],
        "challengers": [
            {"name": name, "differs_in": sorted(section.model_fields_set)}
            for name, section in config.challengers.items()
        ],
        "warnings": [warning for warning in warnings if warning],
    }


def _print(told: dict[str, Any]) -> None:
    for arm in told["arms"]:
        deployments = ", ".join(f"{d['name']} ({d['model']})" for d in arm["deployments"])
        click.echo(f"arm {arm['name']}: {deployments}")
    for plan in told["plans"]:
        rungs = " -> ".join(plan["rungs"])
        if plan["gate"]:
            rungs += f", gate {plan['gate']}" + (f" asks {plan['second']}" * bool(plan["second"]))
        click.echo(f"plan {plan['name']}: {rungs} (typically ${plan['typical_usd']:.6f})")
    for challenger in told["challengers"]:
        click.echo(f"challenger {challenger['name']}: {', '.join(challenger['differs_in'])}")
    for warning in told["warnings"]:
        click.echo(f"warning: {warning}")
    click.echo(f"{told['file']}: well-formed")


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


def _store(config: Config, *, quiet: bool) -> tuple[Found, bool]:
    from router.app.store_probe import probe_store  # noqa: PLC0415 - brings the driver

    try:
        found = probe_store(config, os.environ)
    except RouterError as error:
        if not quiet:
            click.echo(error.message, err=True)
        return [{"state": "error", "text": error.message}], False
    told: Found = [{"state": "ok", "text": found.summary}]
    for one in found.findings:
        told.append({"state": "error" if one.grave else "warning", "text": one.text})
    if not quiet:
        click.echo(f"store: {found.summary}")
        for one in found.findings:
            kind = "error" if one.grave else "warning"
            click.echo(f"store {kind}: {one.text}", err=one.grave)
    return told, not any(one.grave for one in found.findings)


def _deployments(config: Config, *, quiet: bool) -> tuple[Found, bool]:
    from router.app.process import run_once  # noqa: PLC0415 - brings the event loop
    from router.app.provider_probe import probe_cost, probed  # noqa: PLC0415 - brings the client

    async def asked() -> tuple[Found, bool]:
        told: Found = []
        fit = True
        async for report in probed(config, os.environ):
            if not quiet:
                click.echo(str(report), err=report.grave)
            state = "error" if report.grave else "warning" if report.warning else "ok"
            told.append({"deployment": report.deployment, "state": state, "text": report.text})
            fit = fit and not report.grave
        return told, fit

    if not quiet:
        click.echo(probe_cost(config))
    return run_once(asked())
