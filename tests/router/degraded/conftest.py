"""A store that can go away, a real spool, and time moved by hand."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from router.adapters.spool import FileSpool
from router.adapters.storage import EmbeddedRedis, Storage, StorageSettings, open_storage
from router.degraded.delivery import SpoolDelivery
from router.degraded.settings import DegradedSettings
from router.degraded.stores import Stores, build_stores
from router.domain.errors import StorageUnavailable
from router.ports.observer import Observer
from router.ports.state import HealthPolicy
from tests.contract.samples import WINDOW_S, FakeTime

SMALL = 1 << 20


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedRedis]:
    made = EmbeddedRedis(tmp_path / "store", appendfsync="everysec")
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
def clock() -> FakeTime:
    return FakeTime()


@pytest.fixture
async def storage(server: EmbeddedRedis, clock: FakeTime) -> AsyncIterator[Storage]:
    settings = StorageSettings(
        url=f"unix://{server.socket}",
        prefix=f"{uuid.uuid4().hex}:",
        timeout_ms=300,
        join_window_s=WINDOW_S,
    )
    opened = await open_storage(settings, clock=clock)
    yield opened
    await opened.close()


@pytest.fixture
async def spool(tmp_path: Path) -> AsyncIterator[FileSpool]:
    made = FileSpool(tmp_path / "spool")
    yield made
    await made.close()


def built(storage: Storage, spool: FileSpool, clock: FakeTime, **settings: object) -> Stores:
    return build_stores(
        storage,
        spool,
        Observer(),
        settings=DegradedSettings(**settings),  # type: ignore[arg-type]
        health=HealthPolicy(),
        join_window_s=WINDOW_S,
        clock=clock,
        steady=clock,
    )


@pytest.fixture
def stores(storage: Storage, spool: FileSpool, clock: FakeTime) -> Stores:
    return built(storage, spool, clock, spool_bytes=SMALL)


@pytest.fixture
def delivery(stores: Stores, storage: Storage, spool: FileSpool) -> SpoolDelivery:
    return SpoolDelivery(spool, storage, stores.continuity, stores.recent, Observer())


async def back(server: EmbeddedRedis, storage: Storage, stores: Stores) -> None:
    await server.start()
    async with asyncio.timeout(60):
        while stores.continuity.is_away:
            try:
                await stores.continuity.watched(storage.ping)()
            except StorageUnavailable:
                await asyncio.sleep(0.02)
