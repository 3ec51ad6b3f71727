"""Opens the local spool of a router, and runs what serves on while the store is away."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
import uuid
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import urlsplit

import platformdirs
import structlog

from router.adapters.spool import FileSpool
from router.adapters.storage import Storage
from router.app.process import storage_settings
from router.app.wiring import Adapters, steady_stores
from router.config import Config
from router.degraded.allowances import AllowanceKeeper
from router.degraded.delivery import SpoolDelivery
from router.degraded.stores import Stores
from router.domain.errors import RouterError, StorageUnavailable
from router.runtime.loops import TaskSupervisor

APP = "adaptive-router"


class SpoolUnwritable(RouterError):
    """The directory that `degraded.spool_dir` names can't be written to."""

    reason = "SPOOL_UNWRITABLE"


class DegradedServing:
    """The stores of a router with its spool; `start` begins what delivers from it."""

    def __init__(self, config: Config, adapters: Adapters, spool: FileSpool | None) -> None:
        self.stores: Stores = steady_stores(config, adapters, spool)
        self._config = config
        self._adapters = adapters
        self._keeping: set[asyncio.Task[None]] = set()
        self._delivery: SpoolDelivery | None = None
        if spool is not None:
            self._delivery = SpoolDelivery(
                spool,
                adapters.storage,
                self.stores.continuity,
                self.stores.recent,
                adapters.observer,
            )
            adapters.background.spool = self._keep

    def _keep(self, owed: object) -> None:
        """Keep a write that was given up when the process ended."""
        task = asyncio.ensure_future(self._kept(owed))
        self._keeping.add(task)
        task.add_done_callback(self._keeping.discard)

    async def _kept(self, owed: object) -> None:
        try:
            await self.stores.keep(owed)
        except StorageUnavailable:
            self._adapters.observer.degraded("write_lost")

    async def close(self) -> None:
        await asyncio.gather(*self._keeping, return_exceptions=True)

    async def start(self, loops: TaskSupervisor) -> None:
        """Know what earlier processes left before the first call is answered."""
        if self._delivery is None:
            return
        await self._delivery.adopt()
        loops.start(self._delivery, "spool")
        loops.start(self._allowances(), "allowances")

    def _allowances(self) -> AllowanceKeeper:
        stores = self.stores
        return AllowanceKeeper(
            store=self._adapters.storage.quota,
            quota=stores.quota,
            local=stores.local_quota,
            leases=self._adapters.held.reservations,
            continuity=stores.continuity,
            observer=self._adapters.observer,
            owner=uuid.uuid4().hex[:8],
            share=self._config.degraded.allowance_share,
            clock=time.time,
        )

    async def check_spool(self) -> None:
        """Raises RouterError while nobody could be served without the store."""
        continuity = self.stores.continuity
        if continuity.disk_refuses or not self.stores.tenants.can_serve():
            raise RouterError("nobody could be served without the store")

    async def check_degraded(self) -> None:
        """Raises RouterError while calls are served without the store, or its writes wait."""
        continuity = self.stores.continuity
        if continuity.is_away or continuity.state.entries:
            raise RouterError("the store is away, or has not heard of everything yet")


async def opened_spool(
    config: Config, env: Mapping[str, str], storage: Storage, stack: AsyncExitStack
) -> FileSpool | None:
    """Open the spool. None without a place for it: then nothing is served without the store.

    Raises:
        SpoolUnwritable: The place is named in the config.

    """
    folder = spool_folder(config, env, storage)
    try:
        spool = await asyncio.to_thread(FileSpool, folder)
    except OSError:
        if config.degraded.spool_dir is not None:
            raise SpoolUnwritable(
                f"degraded.spool_dir: {folder} can't be written to: name another directory"
            ) from None
        structlog.get_logger("app").warning("no_spool", folder=str(folder))
        return None
    stack.push_async_callback(spool.close)
    return spool


def spool_folder(config: Config, env: Mapping[str, str], storage: Storage) -> Path:
    """Returns a folder for this store alone: what waits for it must reach no other one."""
    if config.degraded.spool_dir is not None:
        return config.degraded.spool_dir
    if storage.server is not None:
        return storage.server.data_dir / "spool"
    settings = storage_settings(config, env)
    url, nodes = urlsplit(settings.url), settings.nodes
    place = f"{url.scheme}://{url.hostname}:{url.port}{url.path}?{url.query}"
    if nodes is not None:
        place = f"{nodes.service}/{nodes.database}@{sorted(nodes.nodes)}"
    name = hashlib.sha256(os.fsencode(place)).hexdigest()[:16]
    return platformdirs.user_data_path(APP) / "spool" / name
