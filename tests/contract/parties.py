"""A provider of one protocol with a real HTTP server behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from router.adapters.providers import make_client, make_providers
from router.adapters.providers.client import MAX_CONNECTIONS
from router.domain.catalog import Deployment, Price
from router.domain.chat import Answer, ChatRequest, Delta, Message, Role, TextPart, Unseen
from router.ports.upstream import Provider
from tests.contract.dialects import Dialect, Upstream, served

KEY = "sk-secret"
NOW_S = 1_700_000_000.0
ASK = ChatRequest((Message(Role.USER, (TextPart("What is six times seven?"),)),))


@dataclass
class Party:
    provider: Provider
    upstream: Upstream
    deployment: Deployment

    def move(self, base_url: str) -> None:
        self.deployment = replace(self.deployment, base_url=base_url)

    async def complete(self, chat: ChatRequest = ASK, timeout_ms: float = 5_000) -> Answer:
        return await self.provider.complete(self.deployment, chat, timeout_ms)

    async def stream(
        self, chat: ChatRequest = ASK, timeout_ms: float = 5_000
    ) -> list[Delta | Answer]:
        items = self.provider.stream(self.deployment, chat, timeout_ms)
        return [item async for item in items if not isinstance(item, Unseen)]


@asynccontextmanager
async def opened(dialect: Dialect, max_connections: int = MAX_CONNECTIONS) -> AsyncIterator[Party]:
    async with make_client(max_connections) as client, served(Upstream(dialect)) as upstream:
        providers = make_providers(client, {"here": KEY}, lambda: NOW_S)
        name, price = dialect.name, Price(1, 1)
        deployment = Deployment("here", name, upstream.base_url, "model-1", price, logprobs=True)
        yield Party(providers[name], upstream, deployment)
