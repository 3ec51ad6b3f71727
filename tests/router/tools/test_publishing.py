"""A calibrated snapshot in a real store, behind the learner's own lease."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest

from router.adapters.storage import EmbeddedRedis, Storage, StorageSettings, open_storage
from router.ports.state import StoredSnapshot
from router.tools.publishing import (
    LearnerAtWork,
    SnapshotExists,
    check_unled,
    check_vacant,
    publish,
)


@pytest.fixture
async def storage(redis_server: EmbeddedRedis) -> AsyncIterator[Storage]:
    url, prefix = f"unix://{redis_server.socket}", f"{uuid.uuid4().hex}:"
    opened = await open_storage(StorageSettings(url=url, prefix=prefix, timeout_ms=5_000))
    yield opened
    await opened.close()


async def put(storage: Storage, payload: bytes, *, replace: bool = False) -> int:
    return await publish(storage.snapshots, storage.lease, payload, "me", replace=replace)


async def test_the_first_publication_is_version_one_at_the_start_of_the_log(
    storage: Storage,
) -> None:
    assert await put(storage, b"one") == 1
    assert await storage.snapshots.load() == StoredSnapshot(1, "0", b"one")
    assert await storage.lease.acquire("learner", 1_000) is not None


async def test_a_snapshot_is_replaced_on_demand_only_and_keeps_its_position(
    storage: Storage,
) -> None:
    fence = await storage.lease.acquire("learner", 10_000)
    assert fence is not None
    await storage.snapshots.publish(StoredSnapshot(7, "12-3", b"old"), fence)
    await storage.lease.release("learner")
    with pytest.raises(SnapshotExists, match="--replace"):
        await put(storage, b"new")
    with pytest.raises(SnapshotExists):
        await check_vacant(storage.snapshots, replace=False)
    assert await put(storage, b"new", replace=True) == 8
    assert await storage.snapshots.load() == StoredSnapshot(8, "12-3", b"new")


async def test_publish_is_refused_while_a_learner_holds_the_lease(storage: Storage) -> None:
    await storage.lease.acquire("learner", 10_000)
    with pytest.raises(LearnerAtWork):
        await put(storage, b"new")
    with pytest.raises(LearnerAtWork):
        await check_unled(storage.lease, "me")
    assert await storage.snapshots.load() is None
    assert await storage.lease.acquire("other", 10_000) is None
