"""Whether a snapshot was learned from the log that the store holds."""

from __future__ import annotations

from router.domain.events import number_of
from router.ports.learning_log import EventLog
from router.ports.state import SnapshotStore, StoredSnapshot


def is_of_log(stored: StoredSnapshot, mark: str) -> bool:
    """Returns whether all that the snapshot has learned is in the log.

    mark: of the log at the snapshot's position, "" beyond its end.

    >>> kept = StoredSnapshot(3, "0-9", b"", "one:abcd")
    >>> is_of_log(kept, "one:abcd"), is_of_log(kept, "two:abcd"), is_of_log(kept, "one:ffff")
    (True, True, False)
    >>> is_of_log(kept, "one:"), is_of_log(kept, "two:"), is_of_log(kept, "")
    (True, False, False)
    """
    if not number_of(stored.position):
        return True
    if not mark:
        return False
    epoch, _, digest = mark.partition(":")
    learned_epoch, _, learned_digest = stored.mark.partition(":")
    if digest and learned_digest:
        return digest == learned_digest
    return not stored.mark or epoch == learned_epoch


async def kept_snapshots(
    snapshots: SnapshotStore, events: EventLog
) -> list[tuple[StoredSnapshot, bool]]:
    """Returns the snapshots, the newest first, and whether each is of the log."""
    versions = sorted(await snapshots.positions(), reverse=True)
    found = [s for v in versions if (s := await snapshots.load(v)) is not None]
    marks = await events.marks([stored.position for stored in found])
    return [(s, is_of_log(s, mark)) for s, mark in zip(found, marks, strict=True)]
