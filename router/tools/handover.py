"""Where a calibrated snapshot goes: into the store the config names, or into a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from router.app.process import opened_storage
from router.config import Config
from router.runtime.files import check_writable, write_file
from router.tools.publishing import check_unled, check_vacant, publish


@dataclass(frozen=True, slots=True)
class Targets:
    """out: a file instead of the store. replace: a snapshot that is in the store already."""

    out: Path | None = None
    report: Path | None = None
    replace: bool = False


async def check_targets(config: Config, env: Mapping[str, str], targets: Targets) -> None:
    """Before anything is paid for. Raises RouterError."""
    for path in (targets.out, targets.report):
        if path is not None:
            check_writable(path)
    if targets.out is None:
        async with opened_storage(config, env) as storage:
            await check_vacant(storage.snapshots, replace=targets.replace)
            await check_unled(storage.lease, uuid4().hex)


async def hand_over(
    config: Config,
    env: Mapping[str, str],
    targets: Targets,
    payload: bytes,
    learned_to: str | None = None,
) -> str:
    """What came of it, in words; learned_to: as `publish` has it. Raises RouterError."""
    if targets.out is not None:
        write_file(targets.out, payload)
        return f"snapshot written to {targets.out}: the same command without --out publishes it"
    async with opened_storage(config, env) as storage:
        version = await publish(
            storage.snapshots,
            storage.lease,
            payload,
            uuid4().hex,
            replace=targets.replace,
            learned_to=learned_to,
        )
    return f"published as snapshot {version}: routers serve it, a learner goes on from it"
