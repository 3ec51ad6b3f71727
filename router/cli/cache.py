"""`adaptive-router cache ...`: answers given before."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from router.cli.store import with_storage
from router.config import load_config
from router.tools.options import CONFIG

if TYPE_CHECKING:  # brings numpy, for which `--help` need not wait
    from router.adapters.storage import Storage

PUBLIC = "public"
"""The tenant of callers without a key, which needs no entry of its own."""


@click.group()
def cache() -> None:
    """Answers given before."""


@cache.command()
@click.option("--tenant", required=True, help="whose answers")
@click.option("--prompt", help="only those to this last user message; it stays in shell histories")
@click.option(
    "--prompt-file",
    type=click.File(encoding="utf-8"),
    help="the same out of a file, `-` for standard input",
)
@click.option("--all", "every", is_flag=True, help="all answers of the tenant")
@CONFIG
def purge(
    tenant: str, prompt: str | None, prompt_file: TextIO | None, config_path: Path, *, every: bool
) -> None:
    """Remove answers of a tenant from the cache, in small steps, while routers serve.

    What is asked at this moment may be kept right afterwards, and answers under an idempotency key
    stay. White space at the end of a prompt makes no difference.
    """
    if (prompt is not None) + (prompt_file is not None) + every != 1:
        raise click.UsageError("give one of --prompt, --prompt-file and --all")
    from router.domain.requests import prompt_digest  # noqa: PLC0415 - brings numpy

    try:
        said = prompt_file.read() if prompt_file is not None else prompt
        digest = "" if said is None else prompt_digest(tenant, said)
    except UnicodeError:
        raise click.UsageError("write the prompt as UTF-8") from None

    async def purged(storage: Storage) -> int:
        if tenant != PUBLIC:
            await storage.tenants.show(tenant)
        return await storage.cache.purge(tenant, digest)

    removed = with_storage(load_config(config_path, os.environ), purged)
    click.echo(f"{removed} cached answer{'' if removed == 1 else 's'} removed")
