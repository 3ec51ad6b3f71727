"""`adaptive-router evaluate`: what another policy would have earned on the logged decisions."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from router.config import load_config
from router.domain import MS_PER_S
from router.tools.options import CONFIG, FILE, tell

PRINTED = "-"
"""Of `--json` without a path; with one, as earlier versions had it, the file is written."""


@click.command()
@CONFIG
@click.option("--policy", required=True, help="logged, watched, fixed:PLAN or a policy's name")
@click.option("--against", default="logged", show_default=True, help="the same")
@click.option("--since", type=click.DateTime(), help="count decisions from here on (UTC)")
@click.option("--log", "archive", type=click.Path(file_okay=False, path_type=Path), help="archive")
@click.option(
    "--json",
    "as_json",
    is_flag=False,
    flag_value=PRINTED,
    type=FILE,
    metavar="",
    help="one JSON object",
)
@click.option("--out", type=FILE, help="write the figures here as well, as JSON")
def evaluate(
    config_path: Path,
    since: datetime | None,
    as_json: Path | None,
    out: Path | None,
    **given: Any,
) -> None:
    """Estimate a policy's reward, and its gain over another, from the log of the one that served.

    Policies that learn start with nothing and learn from the log as they go. Without --log: from
    the events the store still holds.
    """
    config = load_config(config_path, os.environ)
    from router.tools.evaluate.report import figures, lines  # noqa: PLC0415 - the same
    from router.tools.evaluate.run import EvaluateOptions, evaluated  # noqa: PLC0415 - `--help` waits for none

    since_ms = int(since.replace(tzinfo=UTC).timestamp() * MS_PER_S) if since else 0
    options = EvaluateOptions(given["policy"], given["against"], since_ms, given["archive"])
    names = (options.policy, options.against)
    compared, by_weights = asyncio.run(evaluated(config, os.environ, options))
    found = figures(names, compared, by_weights)
    if as_json == Path(PRINTED):
        tell(found)
    else:
        click.echo("\n".join(lines(names, compared, by_weights)))
        out = out or as_json
    if out is not None:
        from router.runtime.files import write_file  # noqa: PLC0415 - the same

        write_file(out, json.dumps(found, indent=1, allow_nan=False).encode())
