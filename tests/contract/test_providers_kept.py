"""Connections that are kept between calls, and servers that close them as a request goes out."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from router.adapters.providers import ProxyRules, make_client, make_providers
from router.adapters.providers.client import KEEPALIVE_S
from router.domain import errors
from router.domain.catalog import Deployment, Price
from router.domain.chat import Answer, ChatRequest, Message, Role, TextPart
from router.ports.upstream import Provider
from tests.contract.dialects import Dialect
from tests.e2e.ledger import upstream
from tests.e2e.wire import Asked, Reply, Wire, events, on_uvloop, whole

PATIENT_MS = 60_000
CLOSED, RESET = Reply(silent=True), Reply(silent=True, aborts=True)
HALF = Reply((b"HTTP/1.1 200 O",), silent=True)


@dataclass
class Server:
    """Answers each request, or ends it as `ends` says of how many its connection had before."""

    dialect: Dialect
    ends: Callable[[int], Reply | None] = lambda _: None
    answered: Counter[str] = field(default_factory=Counter)
    before: Counter[int] = field(default_factory=Counter)

    def answer(self, asked: Asked) -> Reply:
        earlier = self.before[asked.connection]
        self.before[asked.connection] += 1
        ended = self.ends(earlier)
        if ended is not None:
            return ended
        self.answered[prompt_of(asked)] += 1
        finish = self.dialect.finishes["stop"]
        if not asked.streams:
            return whole(self.dialect.whole("Forty-two.", None, finish))
        pieces = self.dialect.pieces(["Forty-two."], None, finish)
        done = self.dialect.end_mark != b""
        return events(*pieces, done=done, length=True, keeps=True)


def prompt_of(asked: Asked) -> str:
    """Return the prompt's own number."""
    return json.dumps(asked.body).partition("prompt ")[2].partition(".")[0]


@dataclass(frozen=True)
class Caller:
    provider: Provider
    deployment: Deployment
    wire: Wire

    async def ask(self, number: int, *, live: bool = False, timeout_ms: float = PATIENT_MS) -> None:
        chat = ChatRequest((Message(Role.USER, (TextPart(f"prompt {number}."),)),))
        if live:
            items = [i async for i in self.provider.stream(self.deployment, chat, timeout_ms)]
            answer = items[-1]
        else:
            answer = await self.provider.complete(self.deployment, chat, timeout_ms)
        assert isinstance(answer, Answer)
        assert answer.text == "Forty-two."

    @property
    def read(self) -> Counter[str]:
        """How often each request was read."""
        return Counter(map(prompt_of, self.wire.asked))


@asynccontextmanager
async def calling(
    server: Server, idle_s: float | None = None, *, http2: bool = False
) -> AsyncIterator[Caller]:
    """http2: it is offered, and not taken."""
    name = server.dialect.name
    wire, made = Wire(server.answer, name, idle_s=idle_s), make_client(http2=http2)
    async with upstream(wire), made as client:
        provider = make_providers(client, {"here": "k"})[name]
        yield Caller(provider, Deployment("here", name, wire.base_url, "m", Price(1, 1)), wire)


def once(count: int) -> Counter[str]:
    return Counter({str(number): 1 for number in range(count)})


@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
@pytest.mark.parametrize("live", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("end", [CLOSED, RESET], ids=["close", "reset"])
@on_uvloop
async def test_a_kept_connection_that_is_left_costs_no_request(
    dialect: Dialect, end: Reply, *, live: bool, http2: bool
) -> None:
    """Each connection serves one request and is left as the second one goes out."""
    server = Server(dialect, lambda before: end if before else None)
    async with calling(server, http2=http2) as caller:
        for number in range(20):
            await caller.ask(number, live=live)
    assert server.answered == once(20)
    assert max(caller.read.values()) == 2  # a server may have read what it did not answer


@on_uvloop
async def test_a_kept_connection_to_a_proxy_that_is_left_costs_no_request(dialect: Dialect) -> None:
    server = Server(dialect, lambda before: CLOSED if before else None)
    async with upstream(Wire(server.answer, dialect.name)) as wire:
        rules = ProxyRules.read(f"http://127.0.0.1:{wire.port}", {})
        async with make_client(proxies=rules) as client:
            provider = make_providers(client, {"here": "k"})[dialect.name]
            url = "http://upstream.invalid/v1"
            caller = Caller(provider, Deployment("here", dialect.name, url, "m", Price(1, 1)), wire)
            for number in range(5):
                await caller.ask(number)
    assert server.answered == once(5)
    assert all(asked.path.startswith(url) for asked in wire.asked)


@on_uvloop
async def test_calls_at_the_edge_of_a_servers_idle_limit_are_all_answered_once(
    dialect: Dialect,
) -> None:
    """Calls come as often as the server gives up waiting for them."""
    server = Server(dialect)
    async with calling(server, idle_s=0.1) as caller:

        async def ask_in_turn(first: int) -> None:
            for number in range(first, first + 10):
                await caller.ask(number)
                await asyncio.sleep(0.098 + 0.0004 * (number % 10))

        await asyncio.gather(*(ask_in_turn(10 * each) for each in range(8)))
    assert server.answered == once(80)
    assert caller.wire.connections > 8


@pytest.mark.parametrize("live", [False, True], ids=["whole", "stream"])
@on_uvloop
async def test_all_kept_connections_of_a_server_that_restarts_are_left(
    dialect: Dialect, *, live: bool
) -> None:
    restarted = asyncio.Event()
    server = Server(dialect, lambda before: CLOSED if before and restarted.is_set() else None)
    async with calling(server) as caller:
        await asyncio.gather(*(caller.ask(number, live=live) for number in range(8)))
        restarted.set()
        for number in range(8, 16):
            await caller.ask(number, live=live)
    assert server.answered == once(16)


@pytest.mark.parametrize("live", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("end", [CLOSED, RESET], ids=["close", "reset"])
@on_uvloop
async def test_a_fresh_connection_that_breaks_is_an_error(
    dialect: Dialect, end: Reply, *, live: bool
) -> None:
    async with calling(Server(dialect, lambda _: end)) as caller:
        with pytest.raises(errors.ProviderDisconnected):
            await caller.ask(0, live=live)
    assert caller.read == once(1)


@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
@on_uvloop
async def test_a_kept_connection_that_breaks_within_its_answer_is_an_error(
    dialect: Dialect, *, http2: bool
) -> None:
    server = Server(dialect, lambda before: HALF if before else None)
    async with calling(server, http2=http2) as caller:
        await caller.ask(0)
        with pytest.raises(errors.ProviderDisconnected):
            await caller.ask(1)
    assert caller.read == once(2)


@on_uvloop
async def test_sending_again_has_what_is_left_of_the_time_limit(dialect: Dialect) -> None:
    """The fresh connection is made, and its server keeps silent."""
    began = asyncio.Event()
    late = Reply((30.0,), silent=True)

    def ends(before: int) -> Reply | None:
        return CLOSED if before else (late if began.is_set() else None)

    async with calling(Server(dialect, ends)) as caller:
        await caller.ask(0)
        began.set()
        began_s = asyncio.get_running_loop().time()
        with pytest.raises(errors.ProviderTimeout):
            await caller.ask(1, timeout_ms=400)
        assert asyncio.get_running_loop().time() - began_s < 10
        assert caller.read["1"] == 2


@on_uvloop
async def test_a_server_that_is_gone_had_been_sent_nothing(dialect: Dialect) -> None:
    """It closed the kept connection, and nobody listens for another."""
    async with make_client() as client:
        server = Server(dialect)
        async with upstream(Wire(server.answer, dialect.name)) as wire:
            provider = make_providers(client, {"here": "k"})[dialect.name]
            here = Deployment("here", dialect.name, wire.base_url, "m", Price(1, 1))
            caller = Caller(provider, here, wire)
            await caller.ask(0)
        with pytest.raises(errors.ProviderUnavailable):
            await caller.ask(1)


def test_idle_connections_are_closed_before_servers_do() -> None:
    assert KEEPALIVE_S < 5
