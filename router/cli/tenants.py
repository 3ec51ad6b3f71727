"""`adaptive-router tenant ...`: who may call, and how much they may spend."""

from __future__ import annotations

import math
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from router.cli.store import with_storage
from router.config import load_config
from router.domain.errors import InvalidRequest
from router.domain.tenancy import NAME, NAME_FIX, LimitsChange, TenantOperations
from router.domain.tenants import Tenant, TenantLimits, TenantUsage
from router.tools.options import CONFIG, JSON, tell

if TYPE_CHECKING:  # brings numpy, for which `--help` need not wait
    from router.adapters.storage import Storage

T = TypeVar("T")
HINTS: Final = {"limits.arms": "--arm", "limits.observe": "--observe", "expires": "--expires-at"}


def _name(_: click.Context, __: click.Parameter, value: str) -> str:
    if not NAME.fullmatch(value):
        raise click.BadParameter(NAME_FIX)
    return value


def _finite(_: click.Context, __: click.Parameter, value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):
        raise click.BadParameter("write a finite number; 0 means unlimited")
    return value


TENANT = click.argument("name", callback=_name)


def limit_options(command: Callable[..., None]) -> Callable[..., None]:
    amount = click.FloatRange(min=0)
    count = click.IntRange(min=0)
    for option in (
        click.option("--requests-per-minute", type=count, help="0: unlimited"),
        click.option("--tokens-per-minute", type=count, help="0: unlimited"),
        click.option("--daily-usd", type=amount, callback=_finite, help="0: unlimited"),
        click.option("--monthly-usd", type=amount, callback=_finite, help="0: unlimited"),
        click.option("--arm", "arms", multiple=True, help="allow only this arm; repeatable"),
        click.option("--every-arm", is_flag=True, help="allow every arm again"),
        click.option("--observe", help='serve by this arm, only watch; "off" or "" (the config)'),
        click.option(
            "--degraded",
            type=click.Choice(["yes", "no", ""]),
            help='serve while Redis is away; "": yes without a budget',
        ),
        click.option(
            "--evidence",
            type=click.Choice(["yes", "no", ""]),
            help="ask other arms the same for evidence",
        ),
    ):
        command = option(command)
    return command


def change_of(given: dict[str, Any]) -> LimitsChange:
    every_arm, arms = given.pop("every_arm"), tuple(given.pop("arms"))
    return LimitsChange(arms=() if every_arm else arms or None, **given)


def with_tenants(
    config_path: Path, use: Callable[[TenantOperations], Awaitable[T]], *, begun: bool = True
) -> T:
    """Use the store of a config. begun: as in `with_storage`."""
    config = load_config(config_path, os.environ)

    async def run(storage: Storage) -> T:
        from router.app.tenant_administration import TenantAdministration  # noqa: PLC0415 - brings numpy

        return await use(TenantAdministration(config, storage))

    with _options_named():
        return with_storage(config, run, begun=begun)


@contextmanager
def _options_named() -> Iterator[None]:
    """Tell of a wrong option as click does."""
    try:
        yield
    except InvalidRequest as error:
        first = error.violations[0]
        hint = HINTS.get(first.field, first.field)
        raise click.BadParameter(first.description, param_hint=hint) from None


@click.group()
def tenant() -> None:
    """Who may call, and how much they may spend."""


@tenant.command()
@TENANT
@CONFIG
@limit_options
def limit(name: str, config_path: Path, **given: Any) -> None:
    """Change limits; those not named stay."""
    change = change_of(given)
    with_tenants(config_path, lambda tenants: tenants.update(name, change))


@tenant.command()
@TENANT
@CONFIG
@JSON
def show(name: str, config_path: Path, *, as_json: bool) -> None:
    """Print the limits of a tenant."""
    found = with_tenants(config_path, lambda tenants: tenants.show(name))
    if as_json:
        tell(_document(found))
        return
    for column, text in _row(found.limits).items():
        click.echo(f"{column}: {text}")


@tenant.command("list")
@CONFIG
@JSON
def list_tenants(config_path: Path, *, as_json: bool) -> None:
    """Print every tenant and its limits, revoked ones included."""
    found = with_tenants(config_path, lambda tenants: tenants.tenants())
    if as_json:
        tell({"tenants": [_document(each) for each in found]})
        return
    heads = ["name", *(field.name.replace("_", " ") for field in fields(TenantLimits))]
    print_table(heads, [[each.name, *_row(each.limits).values()] for each in found])


def print_table(heads: list[str], rows: list[list[str]]) -> None:
    """Print a table that cuts nothing off."""
    from rich.console import Console  # noqa: PLC0415 - the other commands print plain lines
    from rich.table import Column, Table  # noqa: PLC0415 - the same

    table = Table(*(Column(head, overflow="fold") for head in heads))
    for row in rows:
        table.add_row(*row)
    Console().print(table)


@tenant.command()
@TENANT
@CONFIG
@click.option("--json", "as_json", is_flag=True, help="one JSON object, numbers unrounded")
def usage(name: str, config_path: Path, *, as_json: bool) -> None:
    """Print what a tenant has spent, what is reserved, and what is left of its limits.

    Days and months are those of UTC. Orphans are reservations whose router died.
    """
    found, used = with_tenants(config_path, lambda tenants: tenants.usage(name))
    told = _used(found.limits, used)
    if as_json:
        tell({"name": name, **told})
        return
    for column, value in told.items():
        click.echo(f"{column}: {_shown(value)}")


@tenant.command()
@TENANT
@CONFIG
@JSON
@click.option("--yes", is_flag=True, help="do not ask")
def delete(name: str, config_path: Path, *, as_json: bool, yes: bool) -> None:
    """Remove a tenant: its keys, its limits and quotas, its cached answers.

    Another tenant of the name begins with an untouched budget. Prints what remains, and why.
    """
    if not yes:
        _, used = with_tenants(config_path, lambda tenants: tenants.usage(name))
        spent = f"{used.monthly_usd:.6f} USD spent this month"
        click.confirm(f"Delete the tenant {name} ({spent})?", abort=True, err=True)
    done = with_tenants(config_path, lambda tenants: tenants.delete(name))
    if as_json:
        remains = [{"what": each.what, "why": each.why} for each in done.remains]
        gone = {"keys": done.keys, "cached_answers": done.cached_answers}
        tell({"name": name, **gone, "under_way": done.under_way, "remains": remains})
        return
    click.echo(f"{name} deleted: {done.keys} keys, {done.cached_answers} cached answers")
    for each in done.remains:
        click.echo(f"remains: {each.what}: {each.why}")


@tenant.command()
@TENANT
@CONFIG
def release(name: str, config_path: Path) -> None:
    """Settle what is reserved by routers that died.

    Running routers do so within about a minute. Each is charged one typical answer. What a living
    router reserved, or a Decide whose outcome can still be reported, stays.
    """
    orphans = with_tenants(config_path, lambda tenants: tenants.release(name))
    reserved_usd = sum(orphan.reserved_usd for orphan in orphans)
    charged_usd = sum(orphan.charged_usd for orphan in orphans)
    click.echo(
        f"{len(orphans)} settled: {reserved_usd:.6f} USD were reserved, {charged_usd:.6f} charged"
    )


def _document(found: Tenant) -> dict[str, Any]:
    """None: unlimited, every arm, or as the config says."""
    limits = found.limits
    told = {f.name: getattr(limits, f.name) or None for f in fields(TenantLimits)}
    return {"name": found.name, **told, "arms": list(limits.arms) or None}


def _used(limits: TenantLimits, used: TenantUsage) -> dict[str, float | None]:
    """None: unlimited."""
    left = used.left
    return {
        "spent_daily_usd": used.daily_usd,
        "spent_monthly_usd": used.monthly_usd,
        "reserved_usd": used.reserved_usd,
        "daily_usd": limits.daily_usd or None,
        "daily_usd_left": left.daily_usd,
        "monthly_usd": limits.monthly_usd or None,
        "monthly_usd_left": left.monthly_usd,
        "requests_daily": used.requests_daily,
        "requests_monthly": used.requests_monthly,
        "requests_per_minute": limits.requests_per_minute or None,
        "requests_left": left.requests,
        "tokens_per_minute": limits.tokens_per_minute or None,
        "tokens_left": left.tokens,
        "reservations": used.reservations,
        "orphans": used.orphans,
        "orphaned_usd": used.orphaned_usd,
    }


def _shown(value: float | None) -> str:
    if value is None:
        return "unlimited"
    return f"{value:.6f}" if isinstance(value, float) else str(value)


def _row(limits: TenantLimits) -> dict[str, str]:
    texts = {f.name: str(getattr(limits, f.name) or "unlimited") for f in fields(TenantLimits)}
    shown = {"arms": ", ".join(limits.arms) or "all", "observe": limits.observe or "as configured"}
    shown["degraded"] = limits.degraded or "yes without a budget"
    shown["evidence"] = limits.evidence or "yes"
    return texts | shown
