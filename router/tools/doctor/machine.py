"""The machine: the embedding model's files, and the disk of the spool."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from router.adapters.embedding.files import FILES, model_dir, read_verified
from router.adapters.spool import room, waiting_bytes
from router.config import Config
from router.domain.errors import RouterError
from router.tools.doctor.findings import Finding, fail, lasting, of_error, ok, warn

MIB: Final = 1 << 20


def look_at_model() -> Finding:
    try:
        folder = model_dir()
        for file in FILES:
            read_verified(folder, file)
    except RouterError as error:
        text, _, fix = error.message.partition("; ")
        return fail("model", text, fix) if fix else of_error("model", error)
    return ok("model", f"the embedding model in {folder} is whole")


def look_at_spool(config: Config, folder: Path) -> Iterator[Finding]:
    if not config.degraded.serve:
        yield ok("spool.disk", "no spool is used: degraded.serve is no")
        return
    yield _disk(config, folder)
    waits, since_s = waiting_bytes(folder)
    if waits:
        text = f"{waits >> 10} KiB in {folder} wait for Redis, for {lasting(time.time() - since_s)}"
        fix = "run a router on this machine: it delivers them, also those of processes that ended"
        yield warn("spool.waiting", text, fix, bytes=waits)


def _disk(config: Config, folder: Path) -> Finding:
    there = next(place for place in (folder, *folder.parents) if place.exists())
    least = config.degraded.spool_bytes
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        fix = "permit writing, or name another degraded.spool_dir: else all calls need Redis"
        tell = fail if config.degraded.spool_dir else warn
        return tell("spool.disk", f"{folder} can't be written to", fix)
    free = room(there)
    facts = {"free_bytes": free, "spool_bytes": least}
    if free < least:
        text = f"{free // MIB} MiB are free for {folder}, which may take {least // MIB}"
        return warn("spool.disk", text, "make room, or lower degraded.spool_bytes", **facts)
    return ok("spool.disk", f"{free // MIB} MiB are free for {folder}", **facts)
