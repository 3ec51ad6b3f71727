"""Suite of `router.ports.state.Lease` and `SnapshotStore`, which share the fence."""

from __future__ import annotations

import asyncio

import pytest

from router.adapters.storage import Storage
from router.ports.state import Lease, SnapshotStore, StoredSnapshot
from tests.contract.samples import eventually

FIRST = StoredSnapshot(1, "0-5", b"\x00\xffweights")


@pytest.fixture
def lease(storage: Storage) -> Lease:
    return storage.lease


@pytest.fixture
def snapshots(storage: Storage) -> SnapshotStore:
    return storage.snapshots


async def fence_of(lease: Lease, owner: str, ttl_ms: int = 60_000) -> int:
    fence = await lease.acquire(owner, ttl_ms)
    assert fence is not None
    return fence


async def test_one_of_many_holds_the_lease(lease: Lease) -> None:
    fences = await asyncio.gather(*(lease.acquire(f"o{n}", 60_000) for n in range(50)))
    assert sum(fence is not None for fence in fences) == 1


async def test_its_holder_renews_it_under_the_same_fence(lease: Lease) -> None:
    fence = await fence_of(lease, "a", 1_000)
    for _ in range(3):
        await asyncio.sleep(0.4)
        assert await lease.acquire("a", 1_000) == fence
        assert await lease.acquire("b", 1_000) is None


async def test_the_fence_grows_with_every_holder(lease: Lease) -> None:
    first = await fence_of(lease, "a")
    await lease.release("b")
    assert await lease.acquire("b", 60_000) is None
    await lease.release("a")
    second = await fence_of(lease, "b", 20)

    async def lapsed() -> bool:
        return await lease.acquire("a", 60_000) is not None

    await eventually(lapsed)
    assert first < second < await fence_of(lease, "a")


async def test_nothing_was_published_yet(snapshots: SnapshotStore) -> None:
    assert await snapshots.latest_version() == 0
    assert await snapshots.load() is None


async def test_a_snapshot_comes_back_whole(lease: Lease, snapshots: SnapshotStore) -> None:
    assert await snapshots.publish(FIRST, await fence_of(lease, "a"))
    assert await snapshots.latest_version() == 1
    assert await snapshots.load() == FIRST


async def test_a_stale_fence_can_not_publish(lease: Lease, snapshots: SnapshotStore) -> None:
    stale = await fence_of(lease, "a")
    await lease.release("a")
    fresh = await fence_of(lease, "b")
    assert not await snapshots.publish(FIRST, stale)
    assert not await snapshots.publish(FIRST, fresh + 1)
    assert await snapshots.load() is None
    assert await snapshots.publish(FIRST, fresh)


async def test_who_never_held_the_lease_can_not_publish(snapshots: SnapshotStore) -> None:
    assert not await snapshots.publish(FIRST, 0)
    assert not await snapshots.publish(FIRST, 1)


async def test_versions_only_go_up(lease: Lease, snapshots: SnapshotStore) -> None:
    fence = await fence_of(lease, "a")
    newer = StoredSnapshot(2, "0-9", b"newer")
    assert await snapshots.publish(newer, fence)
    assert not await snapshots.publish(FIRST, fence)
    assert not await snapshots.publish(StoredSnapshot(2, "0-1", b"other"), fence)
    assert await snapshots.load() == newer


async def test_of_many_at_once_one_is_published(lease: Lease, snapshots: SnapshotStore) -> None:
    fence = await fence_of(lease, "a")
    done = await asyncio.gather(
        *(snapshots.publish(StoredSnapshot(1, "0-1", bytes([n])), fence) for n in range(20))
    )
    assert sum(done) == 1


async def test_positions_are_those_of_the_snapshots_kept(
    lease: Lease, snapshots: SnapshotStore
) -> None:
    assert await snapshots.positions() == {}
    fence = await lease.acquire("a", 10_000)
    assert fence is not None
    for version in range(1, 6):
        await snapshots.publish(StoredSnapshot(version, f"0-{version * 10}", b"x"), fence)
    assert await snapshots.positions() == {3: "0-30", 4: "0-40", 5: "0-50"}
