"""`adaptive-router tenant create|rotate|revoke` and `tenant key ...`: the keys of tenants."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from router.cli.tenants import TENANT, change_of, limit_options, print_table, with_tenants
from router.domain import MS_PER_S
from router.domain.tenancy import KEY_ID, KEY_ID_FIX, ApiKey, Expiry, NewKey
from router.tools.options import CONFIG, JSON, moment, tell

DURATION: Final = re.compile(r"([1-9][0-9]{0,6})([smhdw])")
UNITS_S: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
FORMATS: Final = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"]


def _seconds(_: click.Context, __: click.Parameter, value: str | None) -> float | None:
    if value is None:
        return None
    found = DURATION.fullmatch(value)
    if found is None:
        raise click.BadParameter("write a number and s, m, h, d or w, such as 90d")
    return float(found[1]) * UNITS_S[found[2]]


def _expires(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option(
            "--expires-at",
            type=click.DateTime(FORMATS),
            help="the key stops then (UTC)",
        ),
        click.option("--expires-in", callback=_seconds, help="the key stops after it: 90d, 12h"),
    ):
        command = option(command)
    return command


def _expiry(expires_in: float | None, expires_at: datetime | None) -> Expiry:
    if expires_in is not None and expires_at is not None:
        raise click.UsageError("give one of --expires-in and --expires-at")
    if expires_at is None:
        return Expiry(in_s=expires_in)
    return Expiry(at_ms=round(expires_at.replace(tzinfo=UTC).timestamp() * MS_PER_S))


def _key_id(_: click.Context, __: click.Parameter, value: str) -> str:
    if not KEY_ID.fullmatch(value):
        raise click.BadParameter(KEY_ID_FIX)
    return value


@click.command()
@TENANT
@CONFIG
@limit_options
@_expires
@JSON
def create(
    name: str,
    config_path: Path,
    expires_in: float | None,
    expires_at: datetime | None,
    *,
    as_json: bool,
    **given: Any,
) -> None:
    """Make a tenant and print its key: it is shown this once."""
    change, expiry = change_of(given), _expiry(expires_in, expires_at)
    made = with_tenants(config_path, lambda t: t.create(name, change, expiry), begun=False)
    _tell_key(name, made[1], as_json=as_json)


@click.command()
@TENANT
@CONFIG
@_expires
@JSON
def rotate(
    name: str,
    config_path: Path,
    expires_in: float | None,
    expires_at: datetime | None,
    *,
    as_json: bool,
) -> None:
    """Print a new key; all others stop, on every router within five seconds."""
    expiry = _expiry(expires_in, expires_at)
    made = with_tenants(config_path, lambda tenants: tenants.rotate(name, expiry))
    _tell_key(name, made, as_json=as_json)


@click.command()
@TENANT
@CONFIG
def revoke(name: str, config_path: Path) -> None:
    """Stop all keys of a tenant."""
    with_tenants(config_path, lambda tenants: tenants.revoke(name))


@click.group()
def key() -> None:
    """The keys of one tenant, which work beside each other."""


@key.command("create")
@TENANT
@CONFIG
@_expires
@JSON
def create_key(
    name: str,
    config_path: Path,
    expires_in: float | None,
    expires_at: datetime | None,
    *,
    as_json: bool,
) -> None:
    """Print a further key; the others work on."""
    expiry = _expiry(expires_in, expires_at)
    made = with_tenants(config_path, lambda tenants: tenants.add_key(name, expiry))
    _tell_key(name, made, as_json=as_json)


@key.command("list")
@TENANT
@CONFIG
@JSON
def list_keys(name: str, config_path: Path, *, as_json: bool) -> None:
    """Print the keys of a tenant by the beginning of their hash, never the keys themselves."""
    found = with_tenants(config_path, lambda tenants: tenants.keys(name))
    if as_json:
        tell({"name": name, "keys": [_document(each) for each in found]})
        return
    print_table(["id", "last four", "created", "expires"], [_row(each) for each in found])


@key.command("revoke")
@TENANT
@click.argument("key_id", callback=_key_id)
@CONFIG
def revoke_key(name: str, key_id: str, config_path: Path) -> None:
    """Stop one key, on every router within five seconds. KEY_ID: as `key list` prints it."""
    stopped = with_tenants(config_path, lambda tenants: tenants.revoke_key(name, key_id))
    click.echo(f"{stopped.id} revoked")


def _tell_key(name: str, made: NewKey, *, as_json: bool) -> None:
    if as_json:
        tell({"name": name, "key": made.text, **_document(made.key)})
    else:
        click.echo(made.text)


def _document(each: ApiKey) -> dict[str, Any]:
    return {
        "id": each.id,
        "last_four": each.facts.last_four or None,
        "created_at": moment(each.facts.created_ms),
        "expires_at": moment(each.facts.expires_ms),
        "expired": each.expired,
    }


def _row(each: ApiKey) -> list[str]:
    created, ends = (_short(ms) for ms in (each.facts.created_ms, each.facts.expires_ms))
    last = each.facts.last_four or "unknown"
    return [each.id, last, created or "unknown", (ends or "never") + " (over)" * each.expired]


def _short(at_ms: int) -> str:
    """Returns a time so short that a row fits into 80 columns."""
    return (moment(at_ms) or "").replace("+00:00", "Z")


COMMANDS: Final = (create, rotate, revoke, key)
