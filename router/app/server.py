"""A router that serves: every part is built, started in order and ended in reverse."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial

import structlog

from router.adapters.embedding.files import model_dir
from router.adapters.embedding.pool import EmbedderPool
from router.adapters.providers import ProxyRules, trust_authorities
from router.adapters.storage import Storage
from router.adapters.verifier import HttpVerifier
from router.adapters.verifier import make_client as verifier_client
from router.app.administration import PolicyAdministration
from router.app.certificates import identity_of
from router.app.doors import open_doors
from router.app.heartbeat import Heartbeat
from router.app.learner import run_learner_beside
from router.app.learner_child import LearnerChild
from router.app.process import (
    WATCH_MS,
    Running,
    failure_logged,
    opened_storage,
    redis_watch,
    run,
    serve_metrics,
)
from router.app.reloading import ConfigReloader, ConfigSource, Stamps
from router.app.spooling import DegradedServing, opened_spool
from router.app.store_watch import StoreWatch
from router.app.tenant_administration import TenantAdministration
from router.app.tracing import tracing
from router.app.upstreams import provider_pool, providers_of
from router.app.wiring import Adapters, RouterService, build_lease_keeper, prepare_service
from router.config import Config
from router.config.values import cut_off_by_drain, drain_ms_of
from router.domain.errors import RouterError, StorageUnavailable
from router.gates.verifier_breaker import VerifierBreaker
from router.observe.metrics import Metrics
from router.ports.observer import Tracer
from router.ports.state import Health
from router.ports.upstream import Provider
from router.rpc.admin import Operators
from router.rpc.health import LIVE, HealthReporter
from router.rpc.server import RouterServer, ServerSettings
from router.runtime.background import Background
from router.runtime.fair_queue import CheckPool
from router.runtime.loops import HealthProbe, LoadWatch, Loop, TaskSupervisor, wait
from router.serving.deployment_stats import StatsBook

RELOAD_STEP_S = 600.0
"""A whole new service is built and learns in one step."""
YOUNG_OBJECTS = 7_000
"""Objects more than there were, from which the youngest are looked through for rings."""
LATE_S = 5.0
"""A component whose watch told nothing for as long does not serve."""


@dataclass(slots=True)
class LiveService:
    """Implements `router.domain.requests.Live`: calls under way keep the service they began with.

    adapters: what every service is built from. poll_s: between two looks for a snapshot.
    drain_ms: of the process, whatever arms it is given later.
    """

    adapters: Adapters
    service: RouterService
    poll_s: float
    drain_ms: int

    async def exchange(self, config: Config) -> None:
        """Let a service built from the config answer once it has learned what this one knows.

        Raises:
            RouterError: It cannot be built or cannot be given the newest snapshot.

        """
        made = await prepare_service(config, self.adapters)
        await made.follower.step()
        await made.follower.check()
        _warn_of_drain(cut_off_by_drain(config, self.drain_ms))
        self.service = made
        await self._try_accounts_again()

    async def _try_accounts_again(self) -> None:
        """Call the deployments that refused this router: a key or a URL may be what was changed."""
        board = (self.adapters.stores or self.adapters.storage).health
        with suppress(StorageUnavailable):  # their pauses end by themselves
            for name in self.adapters.stats.account_faults.forget():
                await board.succeeded(name)

    async def run(self, stop: asyncio.Event) -> None:
        """Follow the snapshots."""
        while not stop.is_set():
            await self.service.follower.turn()
            await wait(stop, self.poll_s)

    async def check_snapshot(self) -> None:
        """Raises SnapshotRefused while the newest snapshot is one that was refused."""
        await self.service.follower.check()

    async def check_providers(self) -> None:
        """Raises RouterError while every deployment cools down; the cache is served even then."""
        board = (self.adapters.stores or self.adapters.storage).health
        states = await board.states(self.service.deployments)
        self.adapters.observer.circuits(states)
        if all(state is Health.OPEN for state in states.values()):
            raise RouterError("every deployment is cooling down")


@asynccontextmanager
async def running_router(
    config: Config, env: Mapping[str, str], source: ConfigSource | None = None
) -> AsyncIterator[Running]:
    """A router that serves; leaving it drains requests, loops and storage, in that order.

    source: of the config, looked at for arms and plans that were changed; None to leave it.
    """
    async with AsyncExitStack() as stack:
        metrics = Metrics(config.server.tenant_metrics)
        shown = identity_of(config, metrics)
        seen = _followed(source, config) if source else None
        opened = opened_storage(config, env, owner=source.path if source else None)
        storage = await stack.enter_async_context(opened)
        spool = await opened_spool(config, env, storage, stack)
        late = AsyncExitStack()
        stack.push_async_callback(late.aclose)
        tracer, checks = tracing(env, stack), CheckPool(config.server.max_in_flight)
        stack.callback(checks.close)
        loops, health, background = TaskSupervisor(metrics), HealthReporter(), Background(metrics)
        stack.push_async_callback(loops.end)
        stack.push_async_callback(background.drain)
        embedder = await _embedder(config, stack)
        proxies = ProxyRules.read(config.providers.proxy, env)
        providers = await _providers(config, env, proxies, stack, tracer)
        stack.push_async_callback(background.stop)
        verifier = await _verifier(config, metrics, proxies, stack, tracer)
        adapters = Adapters(
            storage,
            embedder,
            providers,
            metrics,
            background,
            verifier,
            checks,
            stats=StatsBook(config.server.tenant_share),
            tracer=tracer,
        )
        serving_on = DegradedServing(config, adapters, spool)
        late.push_async_callback(serving_on.close)
        adapters = replace(adapters, stores=serving_on.stores)
        live = LiveService(
            adapters,
            await prepare_service(config, adapters),
            config.learning.poll_ms / 1_000,
            drain_ms_of(config),
        )
        ping = serving_on.stores.continuity.watched(storage.ping)
        redis = redis_watch(ping, health.watched("redis", LATE_S), metrics)
        await redis.step()
        await health.set("embedder", serving=True)
        server = RouterServer(
            live,
            health,
            metrics.request,
            _server_settings(config),
            _operators(config, env, storage, live),
            tracer=tracer,
            shown=shown,
        )
        heart = Heartbeat(partial(health.set, LIVE))
        await heart.step()
        scraped = serve_metrics(config, metrics, stack, heart, health.answers)
        await serving_on.start(loops)
        always: dict[str, Loop] = {
            "heartbeat": heart,
            "redis": redis,
            "store": StoreWatch(storage.facts, metrics, is_ours=storage.server is not None),
            "snapshots": live,
            "leases": build_lease_keeper(adapters),
            "load": LoadWatch(server.load, metrics, partial(_waiting, embedder, checks, server)),
        }
        for name, loop in always.items():
            loops.start(loop, name)
        watched = {
            "snapshot": live.check_snapshot,
            "providers": live.check_providers,
            "spool": serving_on.check_spool,
            "degraded": serving_on.check_degraded,
        }
        if verifier is not None:
            watched["verifier"] = verifier.check
        for name, check in watched.items():
            loops.start(HealthProbe(check, health.watched(name, LATE_S), WATCH_MS), name)
        if config.learning.embedded:
            report = partial(health.set, "learner")
            child = LearnerChild(run_learner_beside, config, source, report, metrics)
            loops.start(child, "learner_child")
        if source and seen:
            reloader = ConfigReloader(source, config, live.exchange, metrics, seen)
            loops.start(reloader, "config", step_s=RELOAD_STEP_S)
        stack.enter_context(_frozen_heap())
        http_port = await stack.enter_async_context(
            open_doors(
                config, live, server, health, metrics, tracer=tracer, shown=shown, loops=loops
            )
        )
        yield Running(server.port, scraped, loops.failed, storage, http_port)


def _waiting(embedder: EmbedderPool, checks: CheckPool, server: RouterServer) -> dict[str, int]:
    return {
        "embedding": embedder.waiting,
        "checks": checks.waiting,
        "conversion": server.waiting,
    }


@contextmanager
def _frozen_heap() -> Iterator[None]:
    """Freeze what start-up built, which stays until the end: collections need not look at it again.

    Requests leave few rings of objects, so the others are looked through less often than usual.
    """
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def _operators(
    config: Config, env: Mapping[str, str], storage: Storage, live: LiveService
) -> Operators | None:
    variable = config.auth.admin_key_env
    if not variable:
        return None
    tenants = TenantAdministration(config, storage, lambda: live.service.catalog.arms)
    return Operators(PolicyAdministration(config, storage), tenants, env[variable])


def run_router(config: Config, source: ConfigSource | None = None) -> None:
    """Serve until SIGTERM or SIGINT. Raises RouterError when a start or a loop failed."""
    with failure_logged():
        running = running_router(config, os.environ, source)
        run(running, drain_ms_of(config), config.server.log_level)


async def _providers(
    config: Config,
    env: Mapping[str, str],
    proxies: ProxyRules,
    stack: AsyncExitStack,
    tracer: Tracer,
) -> Callable[[Config], Mapping[str, Provider]]:
    """Returns what makes the providers of a config, over connections that all of them share."""
    client = await stack.enter_async_context(provider_pool(config, proxies))

    def made(config: Config) -> Mapping[str, Provider]:
        trust_authorities(client, config.providers.ca_file)
        return providers_of(config, env, client, tracer)

    return made


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


async def _verifier(
    config: Config,
    metrics: Metrics,
    proxies: ProxyRules,
    stack: AsyncExitStack,
    tracer: Tracer,
) -> VerifierBreaker | None:
    section = config.judging.verifier
    if section is None:
        return None
    url = str(section.url)
    client = await stack.enter_async_context(verifier_client(proxies.url_for(url)))
    return VerifierBreaker(HttpVerifier(client, url, tracer), metrics, time.time, section, tracer)


def _followed(source: ConfigSource, config: Config) -> Stamps:
    source.warn(config)
    return source.stamps(config)


def _warn_of_drain(warning: str) -> None:
    if warning:
        structlog.get_logger("config").warning("drain_too_short", fix=warning)


def _server_settings(config: Config) -> ServerSettings:
    section = config.server
    _warn_of_drain(cut_off_by_drain(config))
    return ServerSettings(
        host=section.host,
        port=section.port,
        max_message_bytes=section.max_message_bytes,
        max_in_flight=section.max_in_flight,
        max_body_bytes=section.max_body_bytes,
        tenant_share=section.tenant_share,
        body_timeout_ms=section.body_timeout_ms,
        stall_ms=section.stall_ms,
        drain_ms=drain_ms_of(config),
        max_connection_age_ms=section.max_connection_age_ms,
    )
