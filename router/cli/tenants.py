"""`adaptive-router tenant ...`: who may call, and how much they may spend."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

import click

from router.config import load_config
from router.core.ports import TenantDirectory
from router.core.tenants import Tenant, TenantLimits, hash_key

T = TypeVar("T")
KEY_BYTES = 32
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def _name(_: click.Context, __: click.Parameter, value: str) -> str:
    if not NAME.fullmatch(value):
        raise click.BadParameter("use lower-case letters, digits, '.', '_', '-' (64 at most)")
    return value


CONFIG = click.option("--config", "config_path", required=True, type=click.Path(path_type=Path))
TENANT = click.argument("name", callback=_name)


def _limits(command: Callable[..., None]) -> Callable[..., None]:
    amount = click.FloatRange(min=0)
    count = click.IntRange(min=0)
    for option in (
        click.option("--requests-per-minute", type=count, help="0: unlimited"),
        click.option("--tokens-per-minute", type=count, help="0: unlimited"),
        click.option("--daily-usd", type=amount, help="0: unlimited"),
        click.option("--monthly-usd", type=amount, help="0: unlimited"),
        click.option("--arm", "arms", multiple=True, help="allow this arm only; repeatable"),
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
    key = _new_key()
    limits = _merged(TenantLimits(), given)
    _with_directory(config_path, lambda d: d.create(Tenant(name, limits), hash_key(key)))
    click.echo(key)


@tenant.command()
@TENANT
@CONFIG
def rotate(name: str, config_path: Path) -> None:
    """Print a new key; the old ones stop."""
    key = _new_key()
    _with_directory(config_path, lambda d: d.rotate(name, hash_key(key)))
    click.echo(key)


@tenant.command()
@TENANT
@CONFIG
def revoke(name: str, config_path: Path) -> None:
    """Stop all keys of a tenant."""
    _with_directory(config_path, lambda d: d.revoke(name))


@tenant.command()
@TENANT
@CONFIG
@_limits
def limit(name: str, config_path: Path, **given: Any) -> None:
    """Change limits; those not named stay."""

    async def change(directory: TenantDirectory) -> None:
        found = await directory.show(name)
        await directory.limit(name, _merged(found.limits, given))

    _with_directory(config_path, change)


@tenant.command()
@TENANT
@CONFIG
def show(name: str, config_path: Path) -> None:
    """Print the limits of a tenant."""
    found = _with_directory(config_path, lambda d: d.show(name))
    for field in fields(TenantLimits):
        value = getattr(found.limits, field.name)
        text = ", ".join(value) or "all" if field.name == "arms" else value or "unlimited"
        click.echo(f"{field.name}: {text}")


def _merged(limits: TenantLimits, given: dict[str, Any]) -> TenantLimits:
    named = {key: value for key, value in given.items() if value not in (None, ())}
    return replace(limits, **named)


def _new_key() -> str:
    return f"ar_{secrets.token_urlsafe(KEY_BYTES)}"


def _with_directory(path: Path, use: Callable[[TenantDirectory], Awaitable[T]]) -> T:
    config = load_config(path, os.environ)
    from router import app  # noqa: PLC0415 - `--help` need not wait for its imports

    async def run() -> T:
        async with app.opened_storage(config, os.environ) as storage:
            return await use(storage.tenants)

    return asyncio.run(run())
