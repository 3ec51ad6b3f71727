"""A learner: alone in its process, or in that of a router's child."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from uuid import uuid4

from router.adapters.storage import Storage
from router.app.heartbeat import Heartbeat
from router.app.learner_child import Started
from router.app.learner_state_factory import LearnerStateFactory
from router.app.process import (
    Running,
    failure_logged,
    opened_storage,
    redis_watch,
    run,
    serve_metrics,
    unreported,
)
from router.app.refitter import Refitter
from router.app.reloading import ConfigReloader, ConfigSource
from router.app.store_watch import StoreWatch
from router.config import Config
from router.config.values import catalog_of, trainer_of, upgrade_of
from router.domain.catalog import Catalog
from router.learning.learner import Learner, LearnerSettings
from router.learning.training import BatchTrainer
from router.learning.upgrades import UpgradedEvents
from router.observe.metrics import Metrics
from router.ports.observer import Observer
from router.runtime.loops import Loop, TaskSupervisor

LEARNER_STEP_S = 300.0
"""Restoring a large snapshot and learning a batch are one step."""
REFIT_STEP_S = 3_600.0


class LearnerLoop:
    """A loop that is exchanged for another made by the newer config; what was learned is kept.

    make(config, earlier): a learner, which publishes what it has learned when it is stopped.
    """

    def __init__(self, make: Callable[[Config, Config], Loop], config: Config) -> None:
        self._make = make
        self._config = config
        self._loop = make(config, config)
        self._stop_loop = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        ending = asyncio.create_task(self._end(stop))
        try:
            while not stop.is_set():
                self._stop_loop = asyncio.Event()
                await self._loop.run(self._stop_loop)
        finally:
            ending.cancel()

    async def _end(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._stop_loop.set()

    async def exchange(self, config: Config) -> None:
        """Raises ConfigInvalid."""
        self._loop = await asyncio.to_thread(self._make, config, self._config)
        self._config = config
        self._stop_loop.set()


@asynccontextmanager
async def running_learner(
    config: Config, env: Mapping[str, str], source: ConfigSource | None = None
) -> AsyncIterator[Running]:
    """Run a learner; leaving it publishes what was learned. source: as of `running_router`."""
    source = source and replace(source, calls=False)
    async with AsyncExitStack() as stack:
        metrics = Metrics()
        loops = TaskSupervisor(metrics)
        seen = source.stamps(config) if source else None
        owner = source.path if source else None
        storage = await stack.enter_async_context(opened_storage(config, env, owner=owner))
        stack.push_async_callback(loops.end)
        learning = LearnerLoop(partial(_learner, storage=storage, metrics=metrics), config)
        # Not `ping`: a private server that this process started would end with it.
        loops.start(redis_watch(storage.probe.check, unreported, metrics), "redis")
        loops.start(learning, "learner", step_s=LEARNER_STEP_S)
        looked_at = StoreWatch(storage.facts, metrics, is_ours=storage.server is not None)
        loops.start(looked_at, "store")
        if config.map.refit_every_h:
            refitter = Refitter(config, storage.survey, metrics, time.time)
            loops.start(refitter, "refit", step_s=REFIT_STEP_S)
        if source and seen:
            reloader = ConfigReloader(source, config, learning.exchange, metrics, seen)
            loops.start(reloader, "config", step_s=LEARNER_STEP_S)
        heart = Heartbeat()
        loops.start(heart, "heartbeat")
        scraped = serve_metrics(config, metrics, stack, heart)
        yield Running(0, scraped, loops.failed, storage)


def _learner(config: Config, earlier: Config, storage: Storage, metrics: Metrics) -> Loop:
    catalog, retired = catalog_of(config), catalog_of(earlier).plans
    factory = LearnerStateFactory(config, catalog)
    return build_learner(config, catalog, factory, storage, metrics, retired=retired)


def build_learner(
    config: Config,
    catalog: Catalog,
    factory: LearnerStateFactory,
    storage: Storage,
    observer: Observer,
    *,
    retired: Iterable[str] = (),
) -> Learner:
    """Returns a learner that is not started.

    retired: plans of an earlier config, whose events teach nothing.
    """
    learning = config.learning
    events = UpgradedEvents(storage.events, upgrade_of(config))
    return Learner(
        owner=uuid4().hex,
        lease=storage.lease,
        events=events,
        defaults=storage.defaults,
        snapshots=storage.snapshots,
        policies=storage.policies,
        trainer=BatchTrainer(
            find=events.records,
            trainer=trainer_of(config, catalog, observer),
            # A pinned arm need have no plan.
            ignored={*catalog.arms, *retired},
        ),
        fresh=factory.fresh,
        load=factory.restore,
        observer=observer,
        clock=time.time,
        settings=LearnerSettings(publish_ms=learning.publish_every_ms),
    )


def config_beside_router(config: Config) -> Config:
    """The config of a learner next to its router: its metrics are on the next port."""
    port = config.server.metrics_port
    server = config.server.model_copy(update={"metrics_port": port + 1 if port else 0})
    return config.model_copy(update={"server": server})


def run_learner(config: Config, source: ConfigSource | None = None) -> None:
    """Run a learner alone until SIGTERM or SIGINT. Raises RouterError."""
    with failure_logged():
        run(running_learner(config, os.environ, source), log_level=config.server.log_level)


def run_learner_beside(config: Config, source: ConfigSource | None, started: Started) -> None:
    """Run a learner that is a router's child. started: called once it runs."""
    adapted = source and replace(source, adapt=config_beside_router)
    running = running_learner(config_beside_router(config), os.environ, adapted)
    run(_announced(running, started), log_level=config.server.log_level)


@asynccontextmanager
async def _announced(
    running: AbstractAsyncContextManager[Running], started: Started
) -> AsyncIterator[Running]:
    async with running as service:
        started()
        yield service
