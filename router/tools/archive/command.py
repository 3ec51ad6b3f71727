"""`adaptive-router log ...` and `explain`: what was decided, kept and read again."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from router.config import load_config
from router.domain.errors import DecisionNotFound
from router.tools.options import CONFIG, JSON, tell

if TYPE_CHECKING:  # brings numpy, for which `--help` need not wait
    from router.config import Config

FOLDER = click.Path(file_okay=False, path_type=Path)


@click.group()
def log() -> None:
    """The event log outside the store."""


@log.command()
@CONFIG
@click.option("--out", required=True, type=FOLDER, help="a new folder, or one to go on with")
def export(config_path: Path, out: Path) -> None:
    """Write every event that is not in the folder yet, as Parquet by day."""
    config = load_config(config_path, os.environ)
    from router.tools.archive.export import run_export  # noqa: PLC0415 - `--help` waits for no driver

    done = asyncio.run(run_export(config, os.environ, out))
    click.echo(f"{done.events} events in {done.files} new files under {out}")
    if done.missing:
        click.echo(f"{done.missing} events had left the store before: export more often", err=True)


@log.command()
@click.argument("folder", type=FOLDER)
@JSON
def verify(folder: Path, *, as_json: bool) -> None:
    """Check every file against the manifest and its chain of hashes."""
    from router.tools.archive.tables import verify as check  # noqa: PLC0415 - the same

    manifest = check(folder)
    events = sum(part.events for part in manifest.parts)
    chain, files = manifest.parts[-1].chain, len(manifest.parts)
    if as_json:
        tell({"files": files, "events": events, "missing": manifest.missing, "chain": chain})
        return
    click.echo(f"{files} files, {events} events, {manifest.missing} missing: whole")
    click.echo(f"chain {chain}")


@click.command()
@click.argument("decision_id")
@CONFIG
@JSON
def explain(decision_id: str, config_path: Path, *, as_json: bool) -> None:
    """Print the receipt of one decision."""
    config = load_config(config_path, os.environ)
    asyncio.run(_explain(config, decision_id, as_json=as_json))


async def _explain(config: Config, decision_id: str, *, as_json: bool) -> None:
    from router.tools.archive.receipts import document, find_receipt, show  # noqa: PLC0415 - the same

    found = await find_receipt(config, os.environ, decision_id)
    if found is None:
        raise DecisionNotFound("no decision has this id: it is wrong or has expired")
    if as_json:
        tell(document(found))
    else:
        show(found)
