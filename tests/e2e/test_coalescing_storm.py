"""Many identical requests while their callers leave, their calls fail and Redis resets."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import pytest
from adaptive_router.v1 import router_pb2

from bench.chaos.proxy import FaultyProxy
from router.domain.tenants import hash_key
from tests.e2e.conftest import KEY, Router, chat
from tests.e2e.details import reason
from tests.e2e.ledger import upstream
from tests.e2e.test_coalescing import (
    FAULT,
    GOOD,
    SETTLE_S,
    TENANT,
    TEXT,
    Fleet,
    Provider,
    complete,
    config,
    connected,
)
from tests.e2e.test_store_processes import serving
from tests.stores import stored

MANY, LEAVING = 200, 50
LONG = "Oslo is the capital of Norway. " * 300_000

pytestmark = pytest.mark.usefixtures("model_dir")


@pytest.fixture
def proxy() -> list[FaultyProxy]:
    """Stands between the second router and Redis, as soon as there is a fleet."""
    return []


@pytest.fixture
async def fleet(tmp_path: Path, proxy: list[FaultyProxy]) -> AsyncIterator[Fleet]:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(stored(tmp_path / "redis"))
        provider = Provider()
        await stack.enter_async_context(upstream(provider))
        routers = []
        for number in range(2):
            folder = tmp_path / str(number)
            text = config(server, provider.port, folder)
            if number:
                behind = FaultyProxy(("127.0.0.1", server.port))
                proxy.append(await stack.enter_async_context(behind))
                text = text.replace(str(server.port), str(behind.port))
            routers.append(await stack.enter_async_context(connected(text)))
        await routers[0].storage.tenants.create(TENANT, hash_key(KEY))
        yield Fleet(server, routers, provider)


@pytest.mark.parametrize("failing", [0, 2])
async def test_callers_leave_and_those_who_lead_fail(fleet: Fleet, failing: int) -> None:
    fleet.provider.reply = lambda number: FAULT if number <= failing else GOOD
    asked = [fleet.ask(number) for number in range(MANY)]
    await fleet.called(1)
    chance = random.Random(7)
    for one in chance.sample(asked, LEAVING):
        await asyncio.sleep(chance.random() / 100)
        one.cancel()
    fleet.provider.free.set()
    async with asyncio.timeout(60):
        done = await asyncio.gather(*asked, return_exceptions=True)
    answered = [one for one in done if isinstance(one, router_pb2.CompleteResponse)]
    failed = [one for one in done if isinstance(one, grpc.aio.AioRpcError)]
    assert {one.answer.text for one in answered} == {GOOD}
    assert {reason(one) for one in failed} <= {"ALL_ATTEMPTS_FAILED"}
    assert len(failed) <= failing
    assert len(answered) >= MANY - LEAVING - failing
    calls = fleet.provider.seen
    assert calls <= failing + 2 + LEAVING // 5
    await fleet.nothing_is_left()


async def test_redis_resets_the_connections_of_one_router(
    fleet: Fleet, proxy: list[FaultyProxy]
) -> None:
    asked = [fleet.ask(number) for number in range(MANY)]
    await fleet.called(1)
    for _ in range(5):
        await asyncio.sleep(0.05)
        proxy[0].reset_all()
    fleet.provider.free.set()
    async with asyncio.timeout(60):
        done = await asyncio.gather(*asked, return_exceptions=True)
    answered = [one for one in done if isinstance(one, router_pb2.CompleteResponse)]
    assert len(answered) == MANY
    assert fleet.provider.seen <= 2
    await fleet.nothing_is_left()


async def test_a_caller_who_reads_slowly_holds_nobody(fleet: Fleet) -> None:
    """A stream that nobody reads stands still, and with it the call that finds the answer."""
    fleet.provider.reply = lambda number: LONG if number == 1 else GOOD
    fleet.provider.pieces = 3_000
    fleet.provider.free.set()
    router = fleet.routers[0]
    asked = router_pb2.StreamCompleteRequest(chat=chat(TEXT))
    slow = router.stub.StreamComplete(asked, metadata=router.metadata)
    await slow.read()
    await asyncio.sleep(SETTLE_S)
    async with asyncio.timeout(15):  # the stream is given up after 20 s
        others = await asyncio.gather(*(fleet.ask(number) for number in range(20)))
    assert {one.answer.text for one in others} == {GOOD}
    assert fleet.provider.seen == 2
    slow.cancel()
    await fleet.nothing_is_left()


@pytest.mark.slow
@pytest.mark.parametrize("in_time", [True, False])
async def test_the_router_that_leads_is_told_to_end(
    fleet: Fleet, tmp_path: Path, *, in_time: bool
) -> None:
    """Its answer is everybody's if it comes before the drain ends; if not, another one leads."""
    text = config(fleet.server, fleet.provider.port, tmp_path / "other")
    (tmp_path / "process").mkdir()
    async with AsyncExitStack() as stack:
        other = await stack.enter_async_context(serving(text, tmp_path / "process"))
        await other.turns(serving=True)
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{other.port}")
        await stack.enter_async_context(channel)
        led = Router(other.port, channel, {}, fleet.routers[0].storage)
        leading = asyncio.ensure_future(complete(led))
        await fleet.called(1)
        asked = [fleet.ask(number) for number in range(20)]
        await fleet.admitted(21)
        other.process.send_signal(signal.SIGTERM)
        if not in_time:
            await fleet.called(2)
        fleet.provider.free.set()
        async with asyncio.timeout(40):
            done = await asyncio.gather(*asked)
        assert {one.answer.text for one in done} == {GOOD}
        if in_time:
            assert (await leading).answer.text == GOOD
        else:
            with pytest.raises(grpc.aio.AioRpcError):
                await leading
    assert fleet.provider.seen == (1 if in_time else 2)
    await fleet.nothing_is_left()
