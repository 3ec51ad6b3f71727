"""Publishes a snapshot made offline, or writes it to a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from router.app.process import opened_storage
from router.config import Config
from router.domain.errors import RouterError
from router.learning.learner import START
from router.ports.state import Lease, SnapshotStore, StoredSnapshot
from router.runtime.files import check_writable, write_file

LEASE_MS = 10_000


class SnapshotExists(RouterError):
    """There is a snapshot already, and --replace was not given."""

    reason = "SNAPSHOT_EXISTS"


class LearnerAtWork(RouterError):
    """A learner holds the lease, and would publish over the new snapshot."""

    reason = "LEARNER_AT_WORK"


@dataclass(frozen=True, slots=True)
class SnapshotTarget:
    """out: a file instead of the store. replace: a snapshot that is in the store already."""

    out: Path | None = None
    replace: bool = False


async def check_target(config: Config, env: Mapping[str, str], target: SnapshotTarget) -> None:
    """Check that the snapshot can be handed over, before anything is paid. Raises RouterError."""
    if target.out is not None:
        check_writable(target.out)
        return
    async with opened_storage(config, env) as storage:
        await check_vacant(storage.snapshots, replace=target.replace)
        await check_unled(storage.lease, uuid4().hex)


async def hand_over(
    config: Config,
    env: Mapping[str, str],
    target: SnapshotTarget,
    payload: bytes,
    learned_to: str | None = None,
) -> str:
    """Write or publish the snapshot. Returns a message about it. Raises RouterError."""
    if target.out is not None:
        write_file(target.out, payload)
        return f"snapshot written to {target.out}: the same command without --out publishes it"
    async with opened_storage(config, env) as storage:
        version = await publish(
            storage.snapshots,
            storage.lease,
            payload,
            uuid4().hex,
            replace=target.replace,
            learned_to=learned_to,
        )
    return f"published as snapshot {version}: routers serve it, a learner goes on from it"


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
    """Publish the snapshot, from which the learner goes on. Returns its version.

    The lease is held meanwhile. Events that a replaced snapshot had learned are not learned again.

    Args:
        snapshots: of the store.
        lease: of the learner.
        payload: the snapshot.
        owner: who holds the lease.
        replace: publish over an existing snapshot.
        learned_to: position in this store's log up to which the payload has learned, if known.

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
        version = await snapshots.latest_version() + 1
        if not await snapshots.publish(StoredSnapshot(version, position, payload), fence):
            raise LearnerAtWork("a learner began its work meanwhile: run the same command again")
        return version
    finally:
        await lease.release(owner)
