"""The whole core, storage and model real; only the provider does what a test tells it."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from router.adapters.embedding.pool import EmbedderPool
from router.adapters.storage import EmbeddedRedis, Storage, StorageSettings, open_storage
from router.adapters.storage.keys import Keys
from router.app.learner_state_factory import LearnerStateFactory
from router.app.wiring import Adapters, RouterService, build_lease_keeper, build_service
from router.config import parse_config
from router.config.values import catalog_of
from router.domain.catalog import Deployment
from router.domain.chat import (
    Answer,
    ChatRequest,
    Delta,
    FinishReason,
    Message,
    Role,
    TextDelta,
    TextPart,
    Usage,
)
from router.domain.records import DecisionRecord
from router.domain.requests import RouteRequest, RoutingOptions
from router.domain.tenants import Tenant
from router.gates.verifier_breaker import VerifierBreaker
from router.observe.metrics import Metrics
from router.runtime.background import Background
from router.runtime.fair_queue import CheckPool
from router.serving.leases import Held, LeaseKeeper

ANSWER = Answer("Forty-two.", FinishReason.STOP, Usage(10, 5), "m")
TENANT = Tenant("acme")
CONFIG = """
arms:
  cheap: {deployments: [{name: small, provider: openai, base_url: 'http://127.0.0.1:9/v1', model: m,
    timeout_ms: 20000, price: {input_usd_per_mtok: 1, output_usd_per_mtok: 1}}]}
  reasoning: {deployments: [{name: large, provider: openai, base_url: 'http://127.0.0.1:9/v1',
    model: m, timeout_ms: 45000, price: {input_usd_per_mtok: 2, output_usd_per_mtok: 2}}]}
attempts: {max_per_request: 3}
cache: {enabled: false}
embedding: {workers: 1}
"""


async def _answers() -> Answer:
    return ANSWER


@dataclass
class Told:
    """A provider that lets a test act, or fail, in the middle of a call."""

    reply: Callable[[], Awaitable[Answer]] = _answers

    async def complete(self, deployment: Deployment, request: ChatRequest, _: float) -> Answer:
        del deployment, request
        return await self.reply()

    async def stream(
        self, deployment: Deployment, request: ChatRequest, _: float
    ) -> AsyncGenerator[Delta | Answer]:
        del deployment, request
        answer = await self.reply()
        yield TextDelta(answer.text)
        yield answer


@dataclass(frozen=True)
class Core:
    service: RouterService
    storage: Storage
    keys: Keys
    embedder: EmbedderPool
    provider: Told
    metrics: Metrics
    background: Background
    reloaded: Callable[[str], RouterService]
    held: Held
    keeper: LeaseKeeper
    checks: CheckPool

    async def records(self) -> list[DecisionRecord]:
        """Return the records of all requests that chose a plan, in order."""
        await self.background.drain()
        return [event.record for _, event in await self.storage.events.read("0", 100, 0)]

    def degraded(self, what: str) -> float:
        name = "adaptive_router_degraded_total"
        return self.metrics.registry.get_sample_value(name, {"what": what}) or 0.0


def asked(key: str = "", *, tenant: Tenant = TENANT) -> RouteRequest:
    chat = ChatRequest((Message(Role.USER, (TextPart("What is six times seven?"),)),))
    return RouteRequest(tenant, chat, RoutingOptions(idempotency_key=key))


@pytest.fixture
def text() -> str:
    """The config; a test module may have another."""
    return CONFIG


@pytest.fixture
def verifying() -> VerifierBreaker | None:
    return None


@pytest.fixture
async def core(
    redis_server: EmbeddedRedis, model_dir: Path, text: str, verifying: VerifierBreaker | None
) -> AsyncIterator[Core]:
    prefix = f"{uuid.uuid4().hex}:"
    settings = StorageSettings(url=f"unix://{redis_server.socket}", prefix=prefix)
    metrics, provider = Metrics(), Told()
    storage, background = await open_storage(settings), Background(metrics)
    embedder = EmbedderPool(model_dir, workers=1)
    adapters = Adapters(
        storage, embedder, lambda _: {"openai": provider}, metrics, background, verifying
    )

    def build(text: str) -> RouterService:
        config = parse_config(text, "test.yaml", {})
        catalog = catalog_of(config)
        return build_service(config, catalog, adapters, LearnerStateFactory(config, catalog))

    service = build(text)
    held, keeper = adapters.held, build_lease_keeper(adapters)
    yield Core(
        service,
        storage,
        Keys(prefix),
        embedder,
        provider,
        metrics,
        background,
        build,
        held,
        keeper,
        adapters.checks,
    )
    await background.drain()
    embedder.close()
    await storage.close()
