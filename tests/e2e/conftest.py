"""A whole router in this process: real Redis, model, HTTP upstreams and gRPC channel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
from adaptive_router.v1 import chat_pb2, router_pb2, router_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from demo.upstream import INSTANT, Upstream, served
from demo.world import Reply
from router.adapters.storage import Storage
from router.app.learner import running_learner
from router.app.server import running_router
from router.config import parse_config
from router.domain.tenants import Tenant, TenantLimits, hash_key

ARMS = ("cheap", "reasoning", "fallback")
KEY = "ar_test"
WAIT_S = 60.0
GOOD = Reply("Forty-two.", 1.0, 100, 50)


@dataclass(slots=True)
class Router:
    """metadata: of the tenant `test`."""

    port: int
    channel: grpc.aio.Channel
    upstreams: dict[str, Upstream]
    storage: Storage
    stub: router_pb2_grpc.RouterServiceStub = field(init=False)
    metadata: tuple[tuple[str, str], ...] = (("authorization", f"Bearer {KEY}"),)
    metrics_port: int = 0
    http_port: int = 0
    learner_metrics_port: int = 0

    def __post_init__(self) -> None:
        self.stub = router_pb2_grpc.RouterServiceStub(self.channel)

    async def complete(self, text: str, **routing: object) -> router_pb2.CompleteResponse:
        return await self.stub.Complete(request(text, **routing), metadata=self.metadata)

    async def feedback(self, decision_id: str, quality: float) -> router_pb2.FeedbackResponse:
        said = router_pb2.FeedbackRequest(decision_id=decision_id, quality=quality)
        return await self.stub.Feedback(said, metadata=self.metadata)

    async def decision(self, decision_id: str) -> router_pb2.GetDecisionResponse:
        asked = router_pb2.GetDecisionRequest(decision_id=decision_id)
        return await self.stub.GetDecision(asked, metadata=self.metadata)

    async def tenant(
        self, name: str, limits: TenantLimits | None = None
    ) -> tuple[tuple[str, str], ...]:
        """Metadata of a new tenant."""
        key = f"ar_{name}"
        await self.storage.tenants.create(Tenant(name, limits or TenantLimits()), hash_key(key))
        return (("authorization", f"Bearer {key}"),)


def request(text: str, **routing: object) -> router_pb2.CompleteRequest:
    return router_pb2.CompleteRequest(chat=chat(text), routing=router_pb2.RoutingOptions(**routing))


def chat(text: str, **more: object) -> chat_pb2.ChatRequest:
    message = chat_pb2.Message(role=chat_pb2.ROLE_USER, text=text)
    return chat_pb2.ChatRequest(messages=[message], **more)


async def health(router: Router, component: str) -> bool:
    stub = health_pb2_grpc.HealthStub(router.channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=component))
    return answer.status == health_pb2.HealthCheckResponse.SERVING


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not await condition():
            await asyncio.sleep(0.02)


async def learned(router: Router, texts: Iterator[str]) -> None:
    """Everything up to now. Asking which snapshot serves is an event too, so two steps."""

    async def is_learned() -> bool:
        stored = await router.storage.snapshots.load()
        return stored is not None and not await router.storage.events.backlog(stored.position)

    await until(is_learned)
    version = await router.storage.snapshots.latest_version()

    async def is_served() -> bool:
        return (await router.complete(next(texts))).receipt.policy_version >= version

    await until(is_served)


@pytest.fixture
def plans() -> str:
    """The plans of the config; a test module may narrow them."""
    return "{}"


@pytest.fixture
def learns() -> bool:
    """Without a learner every event stays in the stream, to be looked at."""
    return True


@pytest.fixture
def sections() -> str:
    """More of the config."""
    return ""


@pytest.fixture
def redis() -> str:
    """More of the section `redis`."""
    return "pool_size: 8"


@pytest.fixture
def learning() -> str:
    """More of the section `learning`."""
    return "poll_ms: 20"


@pytest.fixture
def images() -> str:
    """More of every deployment."""
    return ""


@pytest.fixture
def doors() -> str:
    """More of the section `server`, from its comma on."""
    return ""


@pytest.fixture
def config(  # noqa: PLR0917 - a fixture for each part
    plans: str, sections: str, redis: str, learning: str, images: str, doors: str
) -> Callable[..., str]:
    return partial(
        _config,
        plans=plans,
        sections=sections,
        redis=redis,
        learning=learning,
        images=images,
        doors=doors,
    )


@pytest_asyncio.fixture
async def router(
    request: pytest.FixtureRequest, tmp_path: Path, config: Callable[..., str]
) -> AsyncIterator[Router]:
    request.getfixturevalue("model_dir")
    learns = request.getfixturevalue("learns")
    async with AsyncExitStack() as stack:
        upstreams = {arm: Upstream(arm, INSTANT, lambda _: GOOD) for arm in ARMS}
        ports = {
            arm: await stack.enter_async_context(served(upstream))
            for arm, upstream in upstreams.items()
        }
        parsed = parse_config(config(tmp_path, ports), "test.yaml", {})
        running = await stack.enter_async_context(running_router(parsed, {}))
        learner_metrics_port = 0
        if learns:
            learner = await stack.enter_async_context(running_learner(parsed, {}))
            learner_metrics_port = learner.metrics_port
        target = f"127.0.0.1:{running.port}"
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(target))
        made = Router(
            running.port,
            channel,
            upstreams,
            running.storage,
            metrics_port=running.metrics_port,
            http_port=running.http_port,
            learner_metrics_port=learner_metrics_port,
        )
        await running.storage.tenants.create(Tenant("test"), hash_key(KEY))
        yield made


def _config(
    folder: Path,
    ports: dict[str, int],
    *,
    plans: str,
    sections: str,
    redis: str,
    learning: str,
    images: str,
    doors: str,
) -> str:
    prices = {"cheap": 0.1, "reasoning": 2.0, "fallback": 0.5}
    arms = "\n".join(
        f"  {arm}: {{deployments: [{{name: {arm}-1, provider: openai, model: {arm},"
        f" base_url: 'http://127.0.0.1:{port}/v1'{images}, price:"
        f" {{input_usd_per_mtok: {prices[arm]}, output_usd_per_mtok: {prices[arm]}}}}}]}}"
        for arm, port in ports.items()
    )
    return f"""
server: {{port: 0, metrics_port: 0{doors}}}
redis: {{embedded: {{data_dir: {folder}/redis, appendfsync: everysec}}, {redis}}}
embedding: {{workers: 1}}
health: {{failures: 2, cooldown_ms: 300, max_cooldown_ms: 300}}
learning: {{embedded: false, publish_every_ms: 50, {learning}}}
plans: {plans}
arms:
{arms}
{sections}
"""


@pytest.fixture
def texts() -> Iterator[str]:
    """Prompts that no cache has seen and that are far from one another."""
    topics = ("rivers", "gravity", "bread", "chess", "tariffs", "violins", "moss", "glaciers")
    return (f"Tell me about {topic}, part {i}." for i in range(100) for topic in topics)
