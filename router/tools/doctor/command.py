"""`adaptive-router doctor`: what is wrong, and what to do about it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from router.tools.options import CONFIG, JSON, tell

if TYPE_CHECKING:  # brings numpy, for which `--help` need not wait
    from router.tools.doctor.findings import Finding


@click.command()
@CONFIG
@JSON
@click.option("--probe", is_flag=True, help="also call each deployment, for a few tokens")
def doctor(config_path: Path, *, as_json: bool, probe: bool) -> None:
    """Look at config, model, store, clocks, providers, disk, learning, tenants and keys.

    Exit status 0: all is well; 1: warnings; 2: something fails.
    """
    from router.app.process import run_once  # noqa: PLC0415 - `--help` waits for no driver
    from router.tools.doctor.findings import EXIT_CODES, worst  # noqa: PLC0415 - the same
    from router.tools.doctor.run import examined  # noqa: PLC0415 - the same

    found = run_once(examined(config_path, os.environ, time.time, probe=probe))
    state = worst(found)
    if as_json:
        tell({"state": state, "findings": [finding.document for finding in found]})
    else:
        _print(found)
    sys.exit(EXIT_CODES[state])


def _print(found: Sequence[Finding]) -> None:
    for finding in found:
        click.echo(f"{finding.state:<4} {finding.check}: {finding.text}")
        if finding.fix:
            click.echo(f"     to do: {finding.fix}")
