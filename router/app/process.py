"""One process, from its start to SIGTERM: logs, event loop, storage, metrics."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    ExitStack,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import structlog
import uvloop
from threadpoolctl import threadpool_limits

from router.adapters.storage import CacheBounds, Nodes, Storage, StorageSettings, open_storage
from router.app.heartbeat import Heartbeat
from router.app.store_claim import StoreClaim
from router.config import Config
from router.config.redis_nodes import nodes_named
from router.domain.errors import RouterError
from router.observe.exposition import MetricsServer
from router.observe.logs import configure_logs
from router.observe.metrics import Metrics
from router.ports.observer import Observer
from router.runtime.loops import HealthProbe, Report

T = TypeVar("T")
SWITCH_S = 0.0005
PREFIX = "ar:"
CLUSTER_PREFIX = "{ar}:"
"""One hash tag: every key is in one slot, so that scripts may take several."""
WATCH_MS = 1_000
ILL_WATCH_MS = 250
"""While the store does not serve, calls are refused until the next look."""
END_S = 20.0
"""For loops, background work and connections to end, besides the time that requests have."""


class LoopBroke(RouterError):
    """A background loop ended by an error nobody expected; the log names its type."""

    reason = "LOOP_BROKE"


@dataclass(frozen=True, slots=True)
class Running:
    """A started process. port: 0 for a learner. failed: set when a background loop broke down.

    http_port: 0 where there is no HTTP door.
    """

    port: int
    metrics_port: int
    failed: asyncio.Event
    storage: Storage
    http_port: int = 0


def nodes_of(config: Config, env: Mapping[str, str]) -> Nodes | None:
    section = config.redis.sentinel or config.redis.cluster
    if section is None:
        return None
    named = nodes_named(section.nodes)
    common = Nodes(
        nodes=named,
        username=section.username,
        password=env.get(section.password_env, ""),
        tls=section.tls,
        ca_file=str(section.ca_file or ""),
    )
    if config.redis.sentinel is None:
        return common
    sentinel = config.redis.sentinel
    return replace(
        common,
        service=sentinel.service,
        database=sentinel.database,
        sentinel_username=sentinel.sentinel_username,
        sentinel_password=env.get(sentinel.sentinel_password_env, ""),
    )


def storage_settings(config: Config, env: Mapping[str, str]) -> StorageSettings:
    redis, cache = config.redis, config.cache
    return StorageSettings(
        url=env.get(redis.url_env, "") if redis.url_env else redis.url,
        nodes=nodes_of(config, env),
        prefix=CLUSTER_PREFIX if redis.cluster else PREFIX,
        data_dir=redis.embedded.data_dir,
        appendfsync=redis.embedded.appendfsync,
        pool_size=redis.pool_size,
        timeout_ms=redis.timeout_ms,
        max_events=redis.max_events,
        keep_events=redis.keep_events,
        retention_s=redis.keep_decisions_s,
        join_window_s=config.learning.join_window_s,
        default_quality=config.learning.default_quality,
        cache=CacheBounds(max_entries_per_partition=cache.max_entries_per_partition),
        health=config.health,
    )


@asynccontextmanager
async def opened_storage(
    config: Config, env: Mapping[str, str], *, begun: bool = False, owner: Path | None = None
) -> AsyncIterator[Storage]:
    """Open the storage and close it at the end.

    begun: only read what was begun before. owner: config file that claims a private store.
    """
    storage = await open_storage(storage_settings(config, env), begun=begun)
    with ExitStack() as claim:
        try:
            if owner is not None and storage.server is not None:
                claim.enter_context(StoreClaim(storage.server.data_dir, owner))
            yield storage
        finally:
            await storage.close()


def redis_watch(
    probe: Callable[[], Awaitable[None]], report: Report, observer: Observer
) -> HealthProbe:
    """Returns a loop that probes the store as requests use it, more often while it is ill."""

    async def check() -> None:
        try:
            await probe()
        except RouterError as error:
            observer.storage_failed(error.metadata.get("kind", error.reason.lower()))
            raise

    return HealthProbe(check, report, WATCH_MS, ill_every_ms=ILL_WATCH_MS)


async def unreported(*, serving: bool) -> None:
    """Tell nobody: a learner has no health service."""


def serve_metrics(
    config: Config,
    metrics: Metrics,
    stack: AsyncExitStack,
    heart: Heartbeat,
    serves: Callable[[], bool] | None = None,
) -> int:
    """serves: tells whether requests are answered; None for a process that has none."""
    section = config.server
    metrics.watch_process()
    return stack.enter_context(
        MetricsServer(metrics.registry, section.host, section.metrics_port, heart.alive, serves)
    ).port


@contextmanager
def failure_logged() -> Iterator[None]:
    """Tell in the log as well, which is JSON, why a process could not start or broke down."""
    try:
        yield
    except RouterError as error:
        structlog.get_logger("app").error("failed", reason=error.reason, fix=error.message)
        raise


def run(
    running: AbstractAsyncContextManager[Running], drain_ms: int = 0, log_level: str = "info"
) -> None:
    """Run until SIGTERM or SIGINT; the process ends in the drain time and a little after it."""
    configure_logs(level=logging.getLevelNamesMapping()[log_level.upper()])
    # A learner's thread gives way to a request after half a millisecond, not after five.
    sys.setswitchinterval(SWITCH_S)
    # Matrices here are small: threads of a BLAS would only take cores from requests.
    with threadpool_limits(limits=1):
        # A thread that nothing waits for: whatever hangs, the event loop included, is cut off.
        last = threading.Timer(drain_ms / 1_000 + END_S, _cut_off)
        last.daemon = True
        try:
            uvloop.run(_until_signalled(running, last))
        finally:
            last.cancel()


def run_once(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's work on the event loop that serves as well."""
    return uvloop.run(work)


def _cut_off() -> None:
    structlog.get_logger("app").error("stop_cut_off")
    os._exit(1)


async def _until_signalled(
    running: AbstractAsyncContextManager[Running], last: threading.Timer
) -> None:
    """Serve until a signal or a broken loop. A signal during the start ends the start."""
    stopping = _Stop(last)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.signalled)
    try:
        async with running as service:
            stopping.starting = None
            await _serve(service, stopping.event)
            stopping.begins()
    except asyncio.CancelledError:
        if not stopping.event.is_set():
            raise
        structlog.get_logger("app").info("stopped", during="start")
        return
    if service.failed.is_set():
        raise LoopBroke("a background loop broke down: see the log")


async def _serve(service: Running, signalled: asyncio.Event) -> None:
    log = structlog.get_logger("app")
    doors = {"http_port": service.http_port} if service.http_port else {}
    log.info("started", port=service.port, metrics_port=service.metrics_port, **doors)
    waits = [asyncio.create_task(event.wait()) for event in (signalled, service.failed)]
    _, rest = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for task in rest:
        task.cancel()
    log.info("stopping")


class _Stop:
    """Told of a signal. starting: the task to end with it; None once the process serves."""

    def __init__(self, last: threading.Timer) -> None:
        self.event = asyncio.Event()
        self.starting = asyncio.current_task()
        self._last = last

    def signalled(self) -> None:
        self.begins()
        if self.starting is not None and not self.event.is_set():
            self.starting.cancel()
        self.event.set()

    def begins(self) -> None:
        """Bound what an end takes, from its first cause on."""
        if not self._last.is_alive():
            self._last.start()
