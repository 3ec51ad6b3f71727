"""`adaptive-router policy ...`: who serves, and who could do better."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from router.config import load_config
from router.domain import MS_PER_S
from router.tools.options import CONFIG, JSON, moment, tell

if TYPE_CHECKING:  # bring numpy and every driver, for which `--help` need not wait
    from router.app.administration import PolicyAdministration
    from router.config import Config
    from router.domain.events import GainFound, PolicyChanged
    from router.domain.requests import EvidenceListing, PolicyListing

T = TypeVar("T")
WAIT = click.option(
    "--wait",
    "wait_s",
    default=10.0,
    show_default=True,
    type=click.FloatRange(0, 600),
    help="seconds for the learner to act on it",
)


@click.group()
def policy() -> None:
    """Who serves, and who could do better."""


@policy.command("list")
@CONFIG
@JSON
def list_policies(config_path: Path, *, as_json: bool) -> None:
    """Print the champion, every challenger's gain over it, and what changed."""
    config = load_config(config_path, os.environ)
    listing = _with_policies(config, lambda policies: policies.policies())
    if as_json:
        tell(_document(listing))
        return
    for line in _lines(listing):
        click.echo(line)


@policy.command()
@click.argument("name")
@CONFIG
@WAIT
def promote(name: str, config_path: Path, wait_s: float) -> None:
    """Let a challenger serve; the champion becomes a challenger."""
    _command(config_path, name, wait_s)


@policy.command()
@CONFIG
@WAIT
def rollback(config_path: Path, wait_s: float) -> None:
    """Let the policy before the last promotion serve again."""
    _command(config_path, "", wait_s)


def _command(config_path: Path, name: str, wait_s: float) -> None:
    """name: of the policy to promote, "" to roll back."""
    config = load_config(config_path, os.environ)
    from router.domain.events import Move, PolicyCommand  # noqa: PLC0415 - `--help` needs none

    command = PolicyCommand(Move.PROMOTED if name else Move.ROLLED_BACK, name)
    position, change = _with_policies(config, lambda p: p.command(command, wait_s))
    if change is None:
        click.echo(f"asked for at event {position}; no learner has come to it yet")
        return
    click.echo(_change(change))
    if change.refused:
        sys.exit(1)


def _with_policies(config: Config, use: Callable[[PolicyAdministration], Awaitable[T]]) -> T:
    from router.app.administration import PolicyAdministration  # noqa: PLC0415 - the same
    from router.app.process import opened_storage  # noqa: PLC0415 - `--help` waits for no driver

    async def run() -> T:
        async with opened_storage(config, os.environ, begun=True) as storage:
            return await use(PolicyAdministration(config, storage))

    return asyncio.run(run())


def _document(listing: PolicyListing) -> dict[str, Any]:
    known = {found.member: found for found in listing.found}
    return {
        "champion": listing.champion,
        "previous": listing.previous or None,
        "snapshot_version": listing.version,
        "policies": [
            {
                "name": name,
                "policy": kind,
                "role": _role(name, listing),
                "gain": _gain(known.get(name)),
            }
            for name, kind in listing.kinds.items()
        ],
        "changes": [
            {
                "at": moment(change.at_ms),
                "event": change.cause,
                "move": change.move,
                "by": change.by,
                "before": change.before,
                "champion": change.champion,
                "refused": change.refused or None,
                "gain": _gain(change.found),
            }
            for change in listing.changes
        ],
    }


def _gain(found: GainFound | None) -> dict[str, Any] | None:
    if found is None:
        return None
    bounds = {"mean": found.gain, "low": found.low, "high": found.high}
    return {**bounds, "events": found.events, "effective": found.effective}


def _lines(listing: PolicyListing) -> list[str]:
    known = {found.member: found for found in listing.found}
    rows = [
        f"| {name} | {kind} | {_role(name, listing)} | {_found(known.get(name))} |"
        for name, kind in listing.kinds.items()
    ]
    return [
        "| name | policy | | gain | interval | decisions with feedback | left by weight |",
        "|---|---|---|---|---|---|---|",
        *rows,
        "",
        *(_change(change) for change in listing.changes),
        *([_evidence(listing.evidence)] if listing.evidence else []),
    ]


def _evidence(found: EvidenceListing) -> str:
    calibrated = f" ({found.calibrated} calibrated)" if found.calibrated else ""
    prompts = f"{found.prompts} prompts known for every arm{calibrated}"
    known = f"evidence: {prompts}, {found.gold} answers with gold"
    paid = f"${found.spent_usd:.4f} paid for ${found.worth_usd:.4f} expected"
    today = f"${found.spent_today_usd:.4f} of ${found.budget_usd:g} today"
    return f"{known}; {paid}; {today}; {found.outlook}"


def _role(name: str, listing: PolicyListing) -> str:
    if name == listing.champion:
        return "serves"
    return "served before" if name == listing.previous else "learns"


def _found(found: GainFound | None) -> str:
    if found is None:
        return " | | | "
    return f"{found.gain:+.4f} | {_interval(found)} | {found.events} | {found.effective:.0f}"


def _interval(found: GainFound) -> str:
    if found.low is None or found.high is None:
        return "too few"
    return f"[{found.low:+.4f}, {found.high:+.4f}]"


def _change(change: PolicyChanged) -> str:
    at = datetime.fromtimestamp(change.at_ms / MS_PER_S, UTC).isoformat(timespec="seconds")
    where = f"{at}, event {change.cause}, by {change.by}"
    if change.refused:
        return f"{where}: {change.move} refused: {change.refused}; {change.champion} serves"
    moved = f"{where}: {change.move}: {change.champion} serves instead of {change.before}"
    found = change.found
    if found is None:
        return moved
    return f"{moved}; gain {found.gain:+.4f} {_interval(found)} on {found.events} decisions"
