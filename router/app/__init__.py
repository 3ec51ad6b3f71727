"""The composition root: builds every part, starts it in order, ends it in reverse."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial

import structlog
import uvloop
from threadpoolctl import threadpool_limits

from router.adapters.embedding.files import model_dir
from router.adapters.embedding.pool import EmbedderPool
from router.adapters.providers import make_client, make_providers
from router.adapters.storage import Storage, open_storage
from router.adapters.verifier import HttpVerifier
from router.adapters.verifier import make_client as verifier_client
from router.app.brain import Brain
from router.app.build import build_learner, build_verifying, storage_settings
from router.app.child import LearnerChild
from router.app.front import Front
from router.app.loops import Loop, Loops
from router.app.policies import Policies
from router.app.refitter import Refitter
from router.app.reloading import Learning, Reloading, Source
from router.app.serving import Kit, exchange, serving_by
from router.config import Config
from router.config.values import catalogue_of
from router.core.background import Background
from router.core.errors import RouterError
from router.core.judging.verifying import Verifying
from router.core.ports import Health
from router.core.watch import Watch
from router.observe.exposition import MetricsServer
from router.observe.logs import configure_logs
from router.observe.metrics import Metrics
from router.rpc.server import HealthReporter, RouterServer, ServerSettings

__all__ = ["Running", "Source", "opened_storage", "run_learner", "run_router"]

WATCH_MS = 1_000
SWITCH_S = 0.0005


class LoopBroke(RouterError):
    """A background loop ended by an error nobody expected; the log names its type."""

    reason = "LOOP_BROKE"


@dataclass(frozen=True, slots=True)
class Running:
    """port: 0 for a learner. failed: set when a background loop broke down."""

    port: int
    metrics_port: int
    failed: asyncio.Event
    storage: Storage


@asynccontextmanager
async def opened_storage(
    config: Config, env: Mapping[str, str], *, begun: bool = False
) -> AsyncIterator[Storage]:
    """begun: for whoever only reads; raises as `open_storage` does."""
    storage = await open_storage(storage_settings(config, env), begun=begun)
    try:
        yield storage
    finally:
        await storage.close()


@asynccontextmanager
async def running_router(
    config: Config, env: Mapping[str, str], source: Source | None = None
) -> AsyncIterator[Running]:
    """A router that serves; leaving it drains requests, loops and storage, in that order.

    source: of the config, looked at for arms and plans that were changed; None to leave it.
    """
    async with AsyncExitStack() as stack:
        metrics = Metrics()
        seen = source.stamps(config) if source else None
        storage = await stack.enter_async_context(opened_storage(config, env))
        loops, health, background = Loops(), HealthReporter(), Background(metrics)
        stack.push_async_callback(loops.end)
        stack.push_async_callback(background.drain)
        embedder = await _embedder(config, stack)
        section = config.providers
        transport = make_client(
            section.max_connections, http2=section.http2, ca_file=section.ca_file
        )
        client = await stack.enter_async_context(transport)
        verifying = await _verifying(config, metrics, stack)
        providers = partial(make_providers, client)
        kit = Kit(storage, embedder, metrics, background, verifying, env, providers)
        front = Front(await serving_by(config, kit), config.learning.poll_ms)
        redis = _redis_watch(storage, health)
        await redis.step()
        await health.set("embedder", serving=True)
        operators = _administration(config, env, storage)
        server = RouterServer(front, health, metrics.request, _server_settings(config), operators)
        metrics_port = _metrics_port(config, metrics, stack)
        snapshot = Watch(front.check, partial(health.set, "snapshot"), WATCH_MS)
        for loop in (redis, front, snapshot, _provider_watch(storage, health, front)):
            loops.start(loop)
        if verifying is not None:
            loops.start(Watch(verifying.check, partial(health.set, "verifier"), WATCH_MS))
        if config.learning.embedded:
            loops.start(LearnerChild(run_learner_beside, config, source))
        if source and seen:
            apply = partial(exchange, front, kit=kit)
            loops.start(Reloading(source, config, apply, metrics, seen))
        gc.freeze()  # what start-up built stays: collections need not look at it again
        await server.start()
        stack.push_async_callback(server.stop)
        yield Running(server.port, metrics_port, loops.failed, storage)


def _administration(
    config: Config, env: Mapping[str, str], storage: Storage
) -> tuple[Policies, str] | None:
    variable = config.auth.admin_key_env
    return (Policies(config, storage), env[variable]) if variable else None


@asynccontextmanager
async def running_learner(
    config: Config, env: Mapping[str, str], source: Source | None = None
) -> AsyncIterator[Running]:
    """source: as of `running_router`."""
    async with AsyncExitStack() as stack:
        metrics, loops = Metrics(), Loops()
        seen = source.stamps(config) if source else None
        storage = await stack.enter_async_context(opened_storage(config, env))
        stack.push_async_callback(loops.end)
        learning = Learning(partial(_learner, storage=storage, metrics=metrics), config)
        loops.start(learning)
        if config.map.refit_every_h:
            loops.start(Refitter(config, storage.survey, metrics, time.time))
        if source and seen:
            loops.start(Reloading(source, config, learning.exchange, metrics, seen))
        metrics_port = _metrics_port(config, metrics, stack)
        yield Running(0, metrics_port, loops.failed, storage)


def _learner(config: Config, earlier: Config, storage: Storage, metrics: Metrics) -> Loop:
    catalogue, retired = catalogue_of(config), catalogue_of(earlier).plans
    brain = Brain(config, catalogue)
    return build_learner(config, catalogue, brain, storage, metrics, retired=retired)


def beside(config: Config) -> Config:
    """The config of a learner next to its router: its metrics are on the next port."""
    port = config.server.metrics_port
    server = config.server.model_copy(update={"metrics_port": port + 1 if port else 0})
    return config.model_copy(update={"server": server})


def run_router(config: Config, source: Source | None = None) -> None:
    """Until SIGTERM or SIGINT. Raises RouterError when it can't start or a loop broke down."""
    _run(running_router(config, os.environ, source))


def run_learner(config: Config, source: Source | None = None) -> None:
    """The same for a learner alone."""
    _run(running_learner(config, os.environ, source))


def run_learner_beside(config: Config, source: Source | None) -> None:
    """The same for a learner that is a router's child."""
    run_learner(beside(config), source and replace(source, adapt=beside))


def _run(running: AbstractAsyncContextManager[Running]) -> None:
    configure_logs()
    # A learner's thread gives way to a request after half a millisecond, not after five.
    sys.setswitchinterval(SWITCH_S)
    # Matrices here are small: threads of a BLAS would only take cores from requests.
    with threadpool_limits(limits=1):
        uvloop.run(_until_told(running))


async def _until_told(running: AbstractAsyncContextManager[Running]) -> None:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    log = structlog.get_logger("app")
    async with running as service:
        log.info("started", port=service.port, metrics_port=service.metrics_port)
        waits = [asyncio.create_task(event.wait()) for event in (told, service.failed)]
        _, rest = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for task in rest:
            task.cancel()
        log.info("stopping")
    if service.failed.is_set():
        raise LoopBroke("a background loop broke down: see the log")


async def _embedder(config: Config, stack: AsyncExitStack) -> EmbedderPool:
    section = config.embedding
    pool = EmbedderPool(
        model_dir(),
        workers=section.workers or len(os.sched_getaffinity(0)),
        queue=section.queue,
        cache_entries=section.cache_entries,
    )
    stack.callback(pool.close)
    await pool.warm_up()
    return pool


async def _verifying(config: Config, metrics: Metrics, stack: AsyncExitStack) -> Verifying | None:
    section = config.judging.verifier
    if section is None:
        return None
    client = await stack.enter_async_context(verifier_client())
    return build_verifying(section, HttpVerifier(client, str(section.url)), metrics)


def _metrics_port(config: Config, metrics: Metrics, stack: AsyncExitStack) -> int:
    section = config.server
    return stack.enter_context(
        MetricsServer(metrics.registry, section.host, section.metrics_port)
    ).port


def _server_settings(config: Config) -> ServerSettings:
    section = config.server
    return ServerSettings(
        host=section.host,
        port=section.port,
        max_message_bytes=section.max_message_bytes,
        max_in_flight=section.max_in_flight,
        drain_ms=section.drain_ms,
    )


def _redis_watch(storage: Storage, health: HealthReporter) -> Watch:
    return Watch(storage.ping, partial(health.set, "redis"), WATCH_MS)


def _provider_watch(storage: Storage, health: HealthReporter, front: Front) -> Watch:
    """Providers are well while one deployment is; a router without any still serves its cache."""

    async def check() -> None:
        states = await storage.health.states(front.now.deployments)
        if all(state is Health.OPEN for state in states.values()):
            raise RouterError("every deployment is cooling down")

    return Watch(check, partial(health.set, "providers"), WATCH_MS)
