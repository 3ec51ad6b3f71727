"""One process, from its start to SIGTERM: logs, event loop, storage, metrics."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog
import uvloop
from threadpoolctl import threadpool_limits

from router.adapters.storage import CacheBounds, Storage, StorageSettings, open_storage
from router.config import Config
from router.domain.errors import RouterError
from router.observe.exposition import MetricsServer
from router.observe.logs import configure_logs
from router.observe.metrics import Metrics

SWITCH_S = 0.0005


class LoopBroke(RouterError):
    """A background loop ended by an error nobody expected; the log names its type."""

    reason = "LOOP_BROKE"


@dataclass(frozen=True, slots=True)
class Running:
    """A started process. port: 0 for a learner. failed: set when a background loop broke down."""

    port: int
    metrics_port: int
    failed: asyncio.Event
    storage: Storage


def storage_settings(config: Config, env: Mapping[str, str]) -> StorageSettings:
    redis, cache = config.redis, config.cache
    return StorageSettings(
        url=env.get(redis.url_env, "") if redis.url_env else redis.url,
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
    config: Config, env: Mapping[str, str], *, begun: bool = False
) -> AsyncIterator[Storage]:
    """Open the storage and close it at the end. begun: only read what was begun before."""
    storage = await open_storage(storage_settings(config, env), begun=begun)
    try:
        yield storage
    finally:
        await storage.close()


def serve_metrics(config: Config, metrics: Metrics, stack: AsyncExitStack) -> int:
    section = config.server
    return stack.enter_context(
        MetricsServer(metrics.registry, section.host, section.metrics_port)
    ).port


def run(running: AbstractAsyncContextManager[Running]) -> None:
    configure_logs()
    # A learner's thread gives way to a request after half a millisecond, not after five.
    sys.setswitchinterval(SWITCH_S)
    # Matrices here are small: threads of a BLAS would only take cores from requests.
    with threadpool_limits(limits=1):
        uvloop.run(_until_signalled(running))


async def _until_signalled(running: AbstractAsyncContextManager[Running]) -> None:
    signalled = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signalled.set)
    log = structlog.get_logger("app")
    async with running as service:
        log.info("started", port=service.port, metrics_port=service.metrics_port)
        waits = [asyncio.create_task(event.wait()) for event in (signalled, service.failed)]
        _, rest = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for task in rest:
            task.cancel()
        log.info("stopping")
    if service.failed.is_set():
        raise LoopBroke("a background loop broke down: see the log")
