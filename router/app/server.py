"""A router that serves: every part is built, started in order and ended in reverse."""

from __future__ import annotations

import gc
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from router.adapters.embedding.files import model_dir
from router.adapters.embedding.pool import EmbedderPool
from router.adapters.providers import make_client, make_providers
from router.adapters.storage import Storage
from router.adapters.verifier import HttpVerifier
from router.adapters.verifier import make_client as verifier_client
from router.app.build import build_verifying
from router.app.learner import LearnerChild, run_learner_beside
from router.app.live_service import Front
from router.app.policies import PolicyAdministration
from router.app.process import Running, metrics_port, opened_storage, run
from router.app.reloading import Reloading, Source
from router.app.serving import Kit, exchange, serving_by
from router.config import Config
from router.domain.errors import RouterError
from router.gates.verifier_breaker import VerifierBreaker
from router.observe.metrics import Metrics
from router.ports.ports import Health
from router.rpc.server import HealthReporter, RouterServer, ServerSettings
from router.runtime.background import Background
from router.runtime.probe import HealthProbe
from router.runtime.supervisor import TaskSupervisor

WATCH_MS = 1_000


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
        loops, health, background = TaskSupervisor(), HealthReporter(), Background(metrics)
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
        scraped = metrics_port(config, metrics, stack)
        snapshot = HealthProbe(front.check, partial(health.set, "snapshot"), WATCH_MS)
        for loop in (redis, front, snapshot, _provider_watch(storage, health, front)):
            loops.start(loop)
        if verifying is not None:
            loops.start(HealthProbe(verifying.check, partial(health.set, "verifier"), WATCH_MS))
        if config.learning.embedded:
            loops.start(LearnerChild(run_learner_beside, config, source))
        if source and seen:
            apply = partial(exchange, front, kit=kit)
            loops.start(Reloading(source, config, apply, metrics, seen))
        gc.freeze()  # what start-up built stays: collections need not look at it again
        await server.start()
        stack.push_async_callback(server.stop)
        yield Running(server.port, scraped, loops.failed, storage)


def _administration(
    config: Config, env: Mapping[str, str], storage: Storage
) -> tuple[PolicyAdministration, str] | None:
    variable = config.auth.admin_key_env
    return (PolicyAdministration(config, storage), env[variable]) if variable else None


def run_router(config: Config, source: Source | None = None) -> None:
    """Until SIGTERM or SIGINT. Raises RouterError when it can't start or a loop broke down."""
    run(running_router(config, os.environ, source))


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


async def _verifying(
    config: Config, metrics: Metrics, stack: AsyncExitStack
) -> VerifierBreaker | None:
    section = config.judging.verifier
    if section is None:
        return None
    client = await stack.enter_async_context(verifier_client())
    return build_verifying(section, HttpVerifier(client, str(section.url)), metrics)


def _server_settings(config: Config) -> ServerSettings:
    section = config.server
    return ServerSettings(
        host=section.host,
        port=section.port,
        max_message_bytes=section.max_message_bytes,
        max_in_flight=section.max_in_flight,
        drain_ms=section.drain_ms,
    )


def _redis_watch(storage: Storage, health: HealthReporter) -> HealthProbe:
    return HealthProbe(storage.ping, partial(health.set, "redis"), WATCH_MS)


def _provider_watch(storage: Storage, health: HealthReporter, front: Front) -> HealthProbe:
    """Providers are well while one deployment is; a router without any still serves its cache."""

    async def check() -> None:
        states = await storage.health.states(front.now.deployments)
        if all(state is Health.OPEN for state in states.values()):
            raise RouterError("every deployment is cooling down")

    return HealthProbe(check, partial(health.set, "providers"), WATCH_MS)
