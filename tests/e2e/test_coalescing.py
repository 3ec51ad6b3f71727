"""Identical requests at the same moment make one call, whichever routers they come to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen

import grpc
import pytest
from adaptive_router.v1 import chat_pb2, router_pb2

from router.app.server import running_router
from router.config import parse_config
from router.domain.errors import StorageUnavailable
from router.domain.tenants import Tenant, TenantLimits, hash_key
from router.serving import coalescing
from tests.e2e.conftest import KEY, Router, chat, until
from tests.e2e.details import reason
from tests.e2e.ledger import INPUT_TOKENS, Json, Ledger, _event, _whole, upstream
from tests.e2e.test_store_processes import serving
from tests.stores import Server, stored

MISS, EXACT = router_pb2.CACHE_STATUS_MISS, router_pb2.CACHE_STATUS_EXACT
TEXT = "What is the capital of Norway?"
GOOD, REFUSAL, FAULT = "Oslo.", "I'm sorry, but I can't help with that.", ""
MANY = 20
TENANT = Tenant("test")
SETTLE_S = 0.3
"""For requests that are admitted to get to where they wait."""

pytestmark = pytest.mark.usefixtures("model_dir")


@dataclass
class Provider(Ledger):
    """Answers nobody until it is free. reply: text by the number of the call, "" for a 503."""

    reply: Callable[[int], str] = lambda _: GOOD
    pieces: int = 2
    free: asyncio.Event = field(default_factory=asyncio.Event)

    async def _treat(
        self, asked: Json, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        del reader
        text = self.reply(self.seen)
        await self.free.wait()
        usage = {"prompt_tokens": INPUT_TOKENS, "completion_tokens": 5}
        if text == FAULT:
            writer.write(b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n")
            return True
        if not asked.get("stream"):
            choice = {"message": {"content": text}, "finish_reason": "stop"}
            return _whole(writer, {"choices": [choice], "usage": usage})
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        size = -(-len(text) // self.pieces)
        for piece in (text[at : at + size] for at in range(0, len(text), size)):
            _event(writer, {"choices": [{"delta": {"content": piece}}]})
        _event(writer, {"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": usage})
        writer.write(b"data: [DONE]\n\n")
        await writer.drain()
        return False


def config(
    server: Server, port: int, folder: Path, *, cache: str = "", deployment: str = ""
) -> str:
    return f"""
server: {{port: 0, metrics_port: 0}}
redis: {{url: '{server.url}'}}
embedding: {{workers: 1}}
learning: {{embedded: false}}
degraded: {{spool_dir: {folder}/spool}}
cache: {{{cache}}}
arms:
  only: {{deployments: [{{name: one, provider: openai, model: m, base_url:
    'http://127.0.0.1:{port}/v1', price: {{input_usd_per_mtok: 1, output_usd_per_mtok: 1}}
    {deployment}}}]}}
"""


@dataclass(slots=True)
class Fleet:
    """Routers on one Redis, and their one provider."""

    server: Server
    routers: Sequence[Router]
    provider: Provider

    def ask(self, number: int = 0, **more: object) -> asyncio.Task[router_pb2.CompleteResponse]:
        """Ask the routers in turn."""
        router = self.routers[number % len(self.routers)]
        return asyncio.ensure_future(complete(router, **more))

    async def called(self, times: int) -> None:
        async def is_called() -> bool:
            return self.provider.seen >= times

        await until(is_called)

    async def admitted(self, many: int, tenant: Tenant = TENANT) -> None:
        """Wait until so many requests are under way, and a moment more."""

        async def are_there() -> bool:
            usage = await self.routers[0].storage.quota.usage(tenant)
            return usage.reservations >= many

        await until(are_there)
        await asyncio.sleep(SETTLE_S)

    async def nothing_is_left(self) -> None:
        """Wait until no reservation, claim or lease of the requests is left."""

        async def is_clean() -> bool:
            usage = await self.routers[0].storage.quota.usage(TENANT)
            claims = await self.server.ask("KEYS", "ar:answering:*")
            return not usage.reservations and not usage.reserved_usd and not claims

        await until(is_clean)

    async def kept(self) -> list[bytes]:
        found = await self.server.ask("KEYS", "ar:answer:*")
        assert isinstance(found, list)
        return found


async def complete(
    router: Router,
    text: str = TEXT,
    *,
    metadata: tuple[tuple[str, str], ...] = (),
    timeout_s: float | None = None,
    routing: dict[str, object] | None = None,
    **more: object,
) -> router_pb2.CompleteResponse:
    options = router_pb2.RoutingOptions(**(routing or {}))
    asked = router_pb2.CompleteRequest(chat=chat(text, **more), routing=options)
    return await router.stub.Complete(
        asked, metadata=metadata or router.metadata, timeout=timeout_s
    )


async def streamed(router: Router, text: str = TEXT) -> tuple[str, router_pb2.Receipt]:
    asked = router_pb2.StreamCompleteRequest(chat=chat(text))
    events = [e async for e in router.stub.StreamComplete(asked, metadata=router.metadata)]
    return "".join(e.text_delta for e in events), events[-1].done.receipt


async def metric(router: Router, line: str) -> float:
    def read() -> str:
        with urlopen(f"http://127.0.0.1:{router.metrics_port}/metrics") as told:
            text: str = told.read().decode()
            return text

    for told in (await asyncio.to_thread(read)).splitlines():
        if told.startswith(f"adaptive_router_{line} "):
            return float(told.split()[-1])
    return 0.0


@pytest.fixture
def count() -> int:
    return 1


@pytest.fixture
def cache() -> str:
    return ""


@pytest.fixture
def deployment() -> str:
    return ""


@asynccontextmanager
async def connected(text: str) -> AsyncIterator[Router]:
    async with AsyncExitStack() as stack:
        parsed = parse_config(text, "test.yaml", {})
        running = await stack.enter_async_context(running_router(parsed, {}))
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{running.port}")
        await stack.enter_async_context(channel)
        yield Router(running.port, channel, {}, running.storage, metrics_port=running.metrics_port)


@pytest.fixture
async def fleet(tmp_path: Path, count: int, cache: str, deployment: str) -> AsyncIterator[Fleet]:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(stored(tmp_path / "redis"))
        provider = Provider()
        await stack.enter_async_context(upstream(provider))
        routers = []
        for number in range(count):
            folder = tmp_path / str(number)
            text = config(server, provider.port, folder, cache=cache, deployment=deployment)
            routers.append(await stack.enter_async_context(connected(text)))
        await routers[0].storage.tenants.create(TENANT, hash_key(KEY))
        yield Fleet(server, routers, provider)


@pytest.mark.parametrize("count", [1, 2])
async def test_identical_requests_at_once_make_one_call(fleet: Fleet) -> None:
    asked = [fleet.ask(number) for number in range(MANY)]
    await fleet.admitted(MANY)
    fleet.provider.free.set()
    done = await asyncio.gather(*asked)
    assert fleet.provider.seen == 1
    assert {one.answer.text for one in done} == {GOOD}
    receipts = [one.receipt for one in done]
    assert sorted(r.cache for r in receipts) == sorted([MISS] + [EXACT] * (MANY - 1))
    assert sum(r.cost_usd > 0 for r in receipts) == 1
    assert {r.similarity for r in receipts if r.cache == EXACT} == {1.0}
    await fleet.nothing_is_left()
    usage = await fleet.routers[0].storage.quota.usage(TENANT)
    assert usage.daily_usd == pytest.approx(sum(r.cost_usd for r in receipts))
    counted = [await metric(r, 'cache_total{status="exact"}') for r in fleet.routers]
    assert sum(counted) == MANY - 1
    waited = [await metric(r, 'coalesced_total{result="served"}') for r in fleet.routers]
    assert sum(waited) == MANY - 1
    again = (await fleet.ask()).receipt
    assert again.cache == EXACT
    assert fleet.provider.seen == 1


@pytest.mark.parametrize("count", [2])
async def test_streams_and_whole_answers_share_one_call(fleet: Fleet) -> None:
    led = asyncio.ensure_future(streamed(fleet.routers[0]))
    await fleet.called(1)
    whole = [fleet.ask(number) for number in range(6)]
    streams = [asyncio.ensure_future(streamed(r)) for r in (*fleet.routers, *fleet.routers)]
    await fleet.admitted(11)
    fleet.provider.free.set()
    assert {one.answer.text for one in await asyncio.gather(*whole)} == {GOOD}
    told = await asyncio.gather(*streams)
    assert {text for text, _ in told} == {GOOD}
    assert {receipt.cache for _, receipt in told} == {EXACT}
    assert (await led)[1].cache == MISS
    assert fleet.provider.seen == 1
    await fleet.nothing_is_left()


@pytest.mark.parametrize("count", [1, 2])
async def test_when_who_leads_leaves_one_of_the_others_leads(fleet: Fleet) -> None:
    led = fleet.ask()
    await fleet.called(1)
    others = [fleet.ask(number) for number in range(MANY)]
    await fleet.admitted(MANY + 1)
    led.cancel()
    await fleet.called(2)
    await asyncio.sleep(SETTLE_S)
    fleet.provider.free.set()
    assert {one.answer.text for one in await asyncio.gather(*others)} == {GOOD}
    assert fleet.provider.seen == 2
    await fleet.nothing_is_left()


async def test_who_waits_may_leave(fleet: Fleet) -> None:
    asked = [fleet.ask() for _ in range(MANY)]
    await fleet.admitted(MANY)
    for one in asked[1::2]:
        one.cancel()
    await fleet.admitted(1)
    fleet.provider.free.set()
    done = await asyncio.gather(*asked, return_exceptions=True)
    texts = [one.answer.text for one in done if isinstance(one, router_pb2.CompleteResponse)]
    assert texts == [GOOD] * (MANY // 2)
    assert fleet.provider.seen <= 2  # the one that led may be among those that left
    await fleet.nothing_is_left()


async def test_an_answer_that_may_not_be_shared_lets_the_others_go(fleet: Fleet) -> None:
    fleet.provider.reply = lambda _: REFUSAL
    fleet.provider.free.set()
    asked = [fleet.ask() for _ in range(MANY)]
    done = await asyncio.gather(*asked)
    assert {(one.answer.text, one.receipt.cache) for one in done} == {(REFUSAL, MISS)}
    assert fleet.provider.seen == MANY
    assert not await fleet.kept()
    await fleet.nothing_is_left()


@pytest.mark.parametrize("count", [1, 2])
async def test_a_call_that_failed_is_tried_again_by_one(fleet: Fleet) -> None:
    fleet.provider.reply = lambda number: FAULT if number == 1 else GOOD
    asked = [fleet.ask(number) for number in range(MANY)]
    await fleet.admitted(MANY)
    fleet.provider.free.set()
    done = await asyncio.gather(*asked, return_exceptions=True)
    failed = [one for one in done if isinstance(one, grpc.aio.AioRpcError)]
    assert [reason(one) for one in failed] == ["ALL_ATTEMPTS_FAILED"]
    assert fleet.provider.seen == 2
    await fleet.nothing_is_left()


@pytest.mark.slow
async def test_the_router_that_led_is_killed(fleet: Fleet, tmp_path: Path) -> None:
    text = config(fleet.server, fleet.provider.port, tmp_path / "other")
    (tmp_path / "process").mkdir()
    async with serving(text, tmp_path / "process") as other:
        await other.turns(serving=True)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{other.port}") as channel:
            led = Router(other.port, channel, {}, fleet.routers[0].storage)
            lost = asyncio.ensure_future(complete(led))
            await fleet.called(1)
            asked = [fleet.ask() for _ in range(MANY)]
            await fleet.admitted(MANY + 1)
            other.process.kill()
            killed_s = time.monotonic()
            await fleet.called(2)
            lapsed_s = time.monotonic() - killed_s
            fleet.provider.free.set()
            assert {one.answer.text for one in await asyncio.gather(*asked)} == {GOOD}
            with pytest.raises(grpc.aio.AioRpcError):
                await lost
    assert lapsed_s < 20
    assert fleet.provider.seen == 2


@pytest.mark.parametrize(("count", "calls"), [(1, 1), (2, 1 + MANY // 2)])
async def test_who_waits_is_answered_though_redis_dies(fleet: Fleet, calls: int) -> None:
    """In the router that leads by its answer, in another one by calls of their own."""
    asked = [fleet.ask(number) for number in range(MANY)]
    await fleet.admitted(MANY)
    fleet.server.end()
    await fleet.called(calls)
    fleet.provider.free.set()
    done = await asyncio.gather(*asked)
    assert {one.answer.text for one in done} == {GOOD}
    assert fleet.provider.seen == calls


async def test_without_redis_nobody_waits(fleet: Fleet) -> None:
    fleet.provider.free.set()
    await fleet.ask(text="Name the longest river of Europe.")
    fleet.provider.free.clear()
    fleet.server.end()

    async def is_away() -> bool:
        try:
            await fleet.routers[0].storage.ping()
        except StorageUnavailable:
            return True
        return False

    await until(is_away)
    asked = [fleet.ask() for _ in range(5)]
    await fleet.called(6)
    fleet.provider.free.set()
    assert {one.answer.text for one in await asyncio.gather(*asked)} == {GOOD}


async def test_tenants_never_share(fleet: Fleet) -> None:
    router = fleet.routers[0]
    keys = [await router.tenant(name) for name in ("one", "two", "three")]
    asked = [fleet.ask(metadata=key) for key in keys * 3]
    for name in ("one", "two", "three"):
        await fleet.admitted(3, Tenant(name))
    fleet.provider.free.set()
    await asyncio.gather(*asked)
    assert fleet.provider.seen == 3


async def test_requests_that_differ_in_anything_never_share(fleet: Fleet) -> None:
    tool = chat_pb2.Tool(name="add", parameters='{"type": "object"}')
    forms = [
        chat_pb2.ResponseFormat(kind=chat_pb2.ResponseFormat.KIND_JSON_OBJECT),
        chat_pb2.ResponseFormat(kind=chat_pb2.ResponseFormat.KIND_TEXT, name="other"),
    ]
    different: list[dict[str, object]] = [
        *({"temperature": t} for t in (0.0, 0.5)),
        *({"top_p": p} for p in (0.5, 1.0)),
        *({"seed": s} for s in (0, 1)),
        *({"max_output_tokens": m} for m in (10, 11)),
        *({"stop": s} for s in (["a"], ["b"], ["a", "b"], ["b", "a"])),
        *({"response_format": form} for form in forms),
        {"tools": [tool]},
        {"tools": [tool, chat_pb2.Tool(name="subtract")]},
        {"tools": [chat_pb2.Tool(name="subtract"), tool]},
        *({"text": text} for text in (TEXT.lower(), f" {TEXT}", TEXT.replace("?", ""))),
        {"routing": {"weights": router_pb2.Weights(quality=1.0)}},
        {"routing": {"weights": router_pb2.Weights(quality=2.0)}},
        {},
    ]
    asked = [fleet.ask(**more) for more in different]  # type: ignore[arg-type]
    await fleet.admitted(len(different))
    fleet.provider.free.set()
    await asyncio.gather(*asked, return_exceptions=True)
    assert fleet.provider.seen == len(different)


@pytest.mark.parametrize("routing", [{"no_cache": True}, {"arm": "only"}])
async def test_what_may_not_come_from_the_cache_waits_for_nobody(
    fleet: Fleet, routing: dict[str, object]
) -> None:
    asked = [fleet.ask(routing=routing) for _ in range(4)]
    await fleet.called(4)
    fleet.provider.free.set()
    await asyncio.gather(*asked)
    assert not await fleet.kept()


async def test_decide_claims_nothing_and_waits_for_nobody(fleet: Fleet) -> None:
    led = fleet.ask()
    await fleet.called(1)
    router = fleet.routers[0]
    asked = router_pb2.DecideRequest(chat=chat(TEXT))
    assert (await router.stub.Decide(asked, metadata=router.metadata)).receipt.deployment == "one"
    fleet.provider.free.set()
    await led


@pytest.mark.parametrize("cache", ["coalesce_wait_ms: 0"])
async def test_it_can_be_switched_off(fleet: Fleet) -> None:
    asked = [fleet.ask() for _ in range(5)]
    await fleet.called(5)
    fleet.provider.free.set()
    await asyncio.gather(*asked)


@pytest.mark.parametrize("cache", ["coalesce_wait_ms: 500"])
async def test_the_wait_is_bounded(fleet: Fleet) -> None:
    asked = [fleet.ask() for _ in range(5)]
    await fleet.called(5)
    fleet.provider.free.set()
    await asyncio.gather(*asked)
    assert await metric(fleet.routers[0], 'coalesced_total{result="alone"}') == 4


async def test_so_many_wait_for_one_and_no_more(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coalescing, "MOST_FOLLOWERS", 3)
    asked = [fleet.ask() for _ in range(10)]
    await fleet.called(7)
    await asyncio.sleep(SETTLE_S)
    assert fleet.provider.seen == 7
    fleet.provider.free.set()
    receipts = [one.receipt for one in await asyncio.gather(*asked)]
    assert sum(receipt.cache == EXACT for receipt in receipts) == 3


async def test_a_deadline_leaves_time_for_a_call_of_one_s_own(fleet: Fleet) -> None:
    led = fleet.ask()
    await fleet.called(1)
    hurried = fleet.ask(timeout_s=3)
    await fleet.called(2)
    fleet.provider.free.set()
    assert (await hurried).answer.text == (await led).answer.text == GOOD


@pytest.mark.parametrize("deployment", [", max_in_flight: 1"])
async def test_who_waits_takes_no_place_of_a_deployment(fleet: Fleet) -> None:
    asked = [fleet.ask() for _ in range(MANY)]
    await fleet.admitted(MANY)
    fleet.provider.free.set()
    assert {one.answer.text for one in await asyncio.gather(*asked)} == {GOOD}
    assert fleet.provider.seen == 1


async def test_a_budget_is_kept_and_comes_back(fleet: Fleet) -> None:
    """What one call may cost is reserved by each; so many as the budget bears are answered."""
    metadata = await fleet.routers[0].tenant("small", TenantLimits(daily_usd=0.02))
    asked = [fleet.ask(metadata=metadata) for _ in range(MANY)]
    await fleet.called(1)
    await asyncio.sleep(SETTLE_S)
    fleet.provider.free.set()
    done = await asyncio.gather(*asked, return_exceptions=True)
    answered = [one for one in done if isinstance(one, router_pb2.CompleteResponse)]
    refused = [reason(one) for one in done if isinstance(one, grpc.aio.AioRpcError)]
    assert 1 <= len(answered) < MANY
    assert set(refused) == {"QUOTA_EXCEEDED"}
    assert fleet.provider.seen == 1
    tenant = Tenant("small", TenantLimits(daily_usd=0.02))

    async def is_settled() -> bool:
        usage = await fleet.routers[0].storage.quota.usage(tenant)
        return not usage.reservations and usage.daily_usd == pytest.approx(17e-6)

    await until(is_settled)


async def test_bad_feedback_on_a_shared_answer_evicts_it(fleet: Fleet) -> None:
    asked = [fleet.ask() for _ in range(3)]
    await fleet.admitted(3)
    fleet.provider.free.set()
    done = await asyncio.gather(*asked)
    shared = next(one.receipt for one in done if one.receipt.cache == EXACT)
    assert await fleet.kept()
    await fleet.routers[0].feedback(shared.decision_id, 0.0)
    assert not await fleet.kept()
    assert (await fleet.ask()).receipt.cache == MISS
