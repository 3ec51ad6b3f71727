"""`adaptive-router tenant ...`: who may call, and how much they may spend."""

from __future__ import annotations

import json
import math
import os
import re
import secrets
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from router.cli.store import with_storage
from router.config import load_config
from router.domain.tenants import (
    NOT_OBSERVED,
    Orphan,
    Tenant,
    TenantLimits,
    TenantUsage,
    hash_key,
)

if TYPE_CHECKING:  # brings numpy, for which `--help` need not wait
    from router.adapters.storage import Storage
    from router.config import Config
    from router.ports.state import TenantDirectory

T = TypeVar("T")
KEY_BYTES = 32
MOST_RELEASED = 1_000
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def _name(_: click.Context, __: click.Parameter, value: str) -> str:
    if not NAME.fullmatch(value):
        raise click.BadParameter("use lower-case letters, digits, '.', '_', '-' (64 at most)")
    return value


def _finite(_: click.Context, __: click.Parameter, value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):
        raise click.BadParameter("write a finite number; 0 means unlimited")
    return value


CONFIG = click.option("--config", "config_path", required=True, type=click.Path(path_type=Path))
TENANT = click.argument("name", callback=_name)


def _limits(command: Callable[..., None]) -> Callable[..., None]:
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


@click.group()
def tenant() -> None:
    """Who may call, and how much they may spend."""


@tenant.command()
@TENANT
@CONFIG
@_limits
def create(name: str, config_path: Path, **given: Any) -> None:
    """Make a tenant and print its key: it is shown this once."""
    key, config = _new_key(), load_config(config_path, os.environ)
    limits = _merged(TenantLimits(), given, config)
    _with_directory(config, lambda d: d.create(Tenant(name, limits), hash_key(key)), begun=False)
    click.echo(key)


@tenant.command()
@TENANT
@CONFIG
def rotate(name: str, config_path: Path) -> None:
    """Print a new key; the old ones stop, on every router within five seconds."""
    key, config = _new_key(), load_config(config_path, os.environ)
    _with_directory(config, lambda d: d.rotate(name, hash_key(key)))
    click.echo(key)


@tenant.command()
@TENANT
@CONFIG
def revoke(name: str, config_path: Path) -> None:
    """Stop all keys of a tenant."""
    _with_directory(load_config(config_path, os.environ), lambda d: d.revoke(name))


@tenant.command()
@TENANT
@CONFIG
@_limits
def limit(name: str, config_path: Path, **given: Any) -> None:
    """Change limits; those not named stay."""
    config = load_config(config_path, os.environ)

    async def change(directory: TenantDirectory) -> None:
        found = await directory.show(name)
        await directory.limit(name, _merged(found.limits, given, config))

    _with_directory(config, change)


@tenant.command()
@TENANT
@CONFIG
def show(name: str, config_path: Path) -> None:
    """Print the limits of a tenant."""
    found = _with_directory(load_config(config_path, os.environ), lambda d: d.show(name))
    for column, text in _row(found.limits).items():
        click.echo(f"{column}: {text}")


@tenant.command("list")
@CONFIG
def list_tenants(config_path: Path) -> None:
    """Print every tenant and its limits, revoked ones included."""
    found = _with_directory(load_config(config_path, os.environ), lambda d: d.list())
    from rich.console import Console  # noqa: PLC0415 - the other commands print plain lines
    from rich.table import Column, Table  # noqa: PLC0415 - the same

    heads = ["name", *(field.name.replace("_", " ") for field in fields(TenantLimits))]
    table = Table(*(Column(head, overflow="fold") for head in heads))
    for each in found:
        table.add_row(each.name, *_row(each.limits).values())
    Console().print(table)


@tenant.command()
@TENANT
@CONFIG
@click.option("--json", "as_json", is_flag=True, help="one JSON object, numbers unrounded")
def usage(name: str, config_path: Path, *, as_json: bool) -> None:
    """Print what a tenant has spent, what is reserved, and what is left of its limits.

    Days and months are those of UTC. Orphans are reservations whose router died.
    """

    async def read(storage: Storage) -> tuple[Tenant, TenantUsage]:
        found = await storage.tenants.show(name)
        return found, await storage.quota.usage(found)

    found, used = with_storage(load_config(config_path, os.environ), read)
    told = _told(found.limits, used)
    if as_json:
        click.echo(json.dumps(told))
        return
    for column, value in told.items():
        click.echo(f"{column}: {_shown(value)}")


def _told(limits: TenantLimits, used: TenantUsage) -> dict[str, float | None]:
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


@tenant.command()
@TENANT
@CONFIG
def release(name: str, config_path: Path) -> None:
    """Settle what is reserved by routers that died.

    Running routers do so within about a minute. Each is charged one typical answer. What a living
    router reserved, or a Decide whose outcome can still be reported, stays.
    """

    async def settle(storage: Storage) -> Sequence[Orphan]:
        await storage.tenants.show(name)
        settled: list[Orphan] = []
        while found := await storage.quota.settle_orphans(MOST_RELEASED, tenant=name):
            settled += found
        return settled

    orphans = with_storage(load_config(config_path, os.environ), settle)
    reserved_usd = sum(orphan.reserved_usd for orphan in orphans)
    charged_usd = sum(orphan.charged_usd for orphan in orphans)
    click.echo(
        f"{len(orphans)} settled: {reserved_usd:.6f} USD were reserved, {charged_usd:.6f} charged"
    )


def _row(limits: TenantLimits) -> dict[str, str]:
    texts = {f.name: str(getattr(limits, f.name) or "unlimited") for f in fields(TenantLimits)}
    shown = {"arms": ", ".join(limits.arms) or "all", "observe": limits.observe or "as configured"}
    shown["degraded"] = limits.degraded or "yes without a budget"
    shown["evidence"] = limits.evidence or "yes"
    return texts | shown


def _merged(limits: TenantLimits, given: dict[str, Any], config: Config) -> TenantLimits:
    every_arm = given.pop("every_arm")
    _known(given["arms"], config, "--arm")
    if (given["observe"] or NOT_OBSERVED) != NOT_OBSERVED:
        _known([given["observe"]], config, "--observe")
    named = {key: value for key, value in given.items() if value not in (None, ())}
    if every_arm:
        named["arms"] = ()
    return replace(limits, **named)


def _known(arms: Iterable[str], config: Config, option: str) -> None:
    if unknown := set(arms) - set(config.arms):
        names = ", ".join(config.arms)
        raise click.BadParameter(f"{min(unknown)} is no arm: choose of {names}", param_hint=option)


def _new_key() -> str:
    return f"ar_{secrets.token_urlsafe(KEY_BYTES)}"


def _with_directory(
    config: Config, use: Callable[[TenantDirectory], Awaitable[T]], *, begun: bool = True
) -> T:
    return with_storage(config, lambda storage: use(storage.tenants), begun=begun)
