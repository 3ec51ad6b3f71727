"""Actions under other names, in a snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bandit.snapshots.codec import pack, unpack


def rename_actions(payload: bytes, names: Mapping[str, str]) -> bytes:
    """names: earlier -> today's. The same bytes where there is nothing to rename.

    An earlier name stays where today's is there as well: what was learned of two actions is not
    put together.

    Raises:
        CorruptSnapshot, VersionMismatch.

    """
    snapshot = unpack(payload)
    held = snapshot.meta.get("actions", [])
    renamed = [names[a] if a in names and names[a] not in held else a for a in held]
    if renamed == held:
        return payload
    return pack(replace(snapshot, meta={**snapshot.meta, "actions": renamed}))
