"""A calibrated snapshot takes the place from which the learner goes on."""

from __future__ import annotations

from router.learning.learner import START
from router.ports.state import Lease, SnapshotStore, StoredSnapshot
from router.tools.calibrate.errors import LearnerAtWork, SnapshotExists

LEASE_MS = 10_000


async def check_vacant(snapshots: SnapshotStore, *, replace: bool) -> None:
    """Raises SnapshotExists unless a snapshot may be published."""
    if not replace and await snapshots.latest_version():
        raise SnapshotExists(
            "a snapshot exists already: --replace puts a new one in its place, --out writes a file"
        )


async def check_unled(lease: Lease, owner: str) -> None:
    """Raises LearnerAtWork while a learner holds the lease."""
    if await lease.acquire(owner, LEASE_MS) is None:
        raise LearnerAtWork(
            "a learner is at work: stop it (`serve` runs one) for the time of the calibration, "
            "or write a file with --out"
        )
    await lease.release(owner)


async def publish(
    snapshots: SnapshotStore,
    lease: Lease,
    payload: bytes,
    owner: str,
    *,
    replace: bool,
    learned_to: str | None = None,
) -> int:
    """The version under which it is served; the learner goes on from it.

    A replaced snapshot's events are not learned again: the new one begins where that one ended.
    learned_to: the position in this store's log up to which the payload knows it, if it does.

    Raises:
        SnapshotExists, LearnerAtWork, StorageUnavailable.

    """
    fence = await lease.acquire(owner, LEASE_MS)
    if fence is None:
        raise LearnerAtWork("a learner is at work: stop it, then run the same command again")
    try:
        await check_vacant(snapshots, replace=replace)
        stored = await snapshots.load()
        position = learned_to or (stored.position if stored else START)
        version = (stored.version if stored else 0) + 1
        if not await snapshots.publish(StoredSnapshot(version, position, payload), fence):
            raise LearnerAtWork("a learner began its work meanwhile: run the same command again")
        return version
    finally:
        await lease.release(owner)
