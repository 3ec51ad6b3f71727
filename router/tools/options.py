"""Options that many commands have, and how they print JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from router.domain import MS_PER_S

CONFIG_VARIABLE: Final = "ADAPTIVE_ROUTER_CONFIG"
FILE: Final = click.Path(dir_okay=False, path_type=Path)
F = TypeVar("F", bound=Callable[..., Any])


def config_option(*, required: bool = True) -> Callable[[F], F]:
    """Return `--config`, whose default the environment may name."""
    return click.option(
        "--config",
        "config_path",
        required=required,
        envvar=CONFIG_VARIABLE,
        show_envvar=True,
        type=FILE,
        help="YAML file",
    )


CONFIG: Final = config_option()
JSON: Final = click.option("--json", "as_json", is_flag=True, help="one JSON object")


def tell(document: Mapping[str, Any]) -> None:
    """Print one JSON document on one line."""
    click.echo(json.dumps(document, allow_nan=False, ensure_ascii=False))


def moment(at_ms: int) -> str | None:
    """Return a time as RFC 3339 has it, None for 0.

    >>> moment(1_700_000_000_000), moment(0)
    ('2023-11-14T22:13:20+00:00', None)
    """
    if not at_ms:
        return None
    return datetime.fromtimestamp(at_ms / MS_PER_S, UTC).isoformat(timespec="seconds")
