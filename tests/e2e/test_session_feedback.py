"""Feedback on a whole session: through the door, by many at once, and through kills."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import grpc
import pytest
from adaptive_router.v1 import router_pb2, router_pb2_grpc

from demo.stack import free_port
from demo.upstream import INSTANT, Upstream
from router.adapters.storage import EmbeddedRedis, Storage, StorageSettings, open_storage
from router.domain.events import FeedbackGiven
from router.domain.tenants import Tenant, hash_key
from tests.e2e.conftest import ARMS, GOOD, KEY, Router, request, served, until

CALLERS = 20
TURNS = 4
METADATA = (("authorization", f"Bearer {KEY}"),)


@pytest.fixture
def learns() -> bool:
    return False


def told(session: str, quality: float, **more: object) -> router_pb2.FeedbackRequest:
    return router_pb2.FeedbackRequest(session_id=session, quality=quality, **more)


async def turns(router: Router, count: int, session: str = "s", start: int = 0) -> list[str]:
    done = [
        await router.complete(f"Tell me about moss, part {n}.", session_id=session, no_cache=True)
        for n in range(start, start + count)
    ]
    return [each.receipt.decision_id for each in done]


async def given(storage: Storage) -> list[FeedbackGiven]:
    events = [event for _, event in await storage.events.read("0", 10_000, 0)]
    return [event for event in events if isinstance(event, FeedbackGiven)]


async def refusal(call: grpc.aio.UnaryUnaryCall[object, object]) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code()


async def test_of_many_at_once_one_counts_and_each_decision_shows_it(router: Router) -> None:
    ids = await turns(router, TURNS)
    send = router.stub.Feedback
    replies = await asyncio.gather(
        *(send(told("s", 0.75), metadata=router.metadata) for _ in range(CALLERS))
    )
    assert sum(not reply.already_recorded for reply in replies) == 1
    assert {reply.decisions for reply in replies} == {TURNS}
    assert [(await router.decision(each)).feedback_quality for each in ids] == [0.75] * TURNS
    found = await given(router.storage)
    assert [(e.decision_id, e.session_share) for e in found] == [(i, 1 / TURNS) for i in ids]


async def test_a_later_turn_has_no_part_in_it_and_a_correction_is_told_of_the_same(
    router: Router,
) -> None:
    ids = await turns(router, 2)
    send = router.stub.Feedback
    await send(told("s", 1.0), metadata=router.metadata)
    (later,) = await turns(router, 1, start=2)
    assert (await send(told("s", 1.0), metadata=router.metadata)).already_recorded
    other = send(told("s", 0.0), metadata=router.metadata)
    assert await refusal(other) is grpc.StatusCode.ALREADY_EXISTS
    right = await send(told("s", 0.0, correction=True), metadata=router.metadata)
    assert (right.already_recorded, right.decisions) == (False, 2)
    assert not (await router.decision(later)).HasField("feedback_quality")
    found = [(e.decision_id, e.quality, e.replaces) for e in await given(router.storage)]
    assert found[2:] == [(each, 0.0, 1.0) for each in ids]


async def test_bad_news_of_a_session_evicts_no_answer(router: Router) -> None:
    asked = "What is the capital of Norway?"
    await router.complete(asked, session_id="s")
    done = await router.stub.Feedback(told("s", 0.0), metadata=router.metadata)
    assert done.decisions == 1
    again = await router.complete(asked, session_id="t")
    assert again.receipt.cache == router_pb2.CACHE_STATUS_EXACT
    cached = await router.stub.Feedback(told("t", 0.0), metadata=router.metadata)
    assert (cached.already_recorded, cached.decisions) == (False, 0)


async def test_another_tenant_s_session_is_not_found(router: Router) -> None:
    await turns(router, 1)
    other = await router.tenant("other")
    for session, metadata in (("s", other), ("t", router.metadata)):
        call = router.stub.Feedback(told(session, 1.0), metadata=metadata)
        assert await refusal(call) is grpc.StatusCode.NOT_FOUND
    assert await given(router.storage) == []


async def test_decisions_of_decide_are_credited(router: Router) -> None:
    asked = request("Name three primes.", session_id="s")
    decide = router_pb2.DecideRequest(chat=asked.chat, routing=asked.routing)
    made = await router.stub.Decide(decide, metadata=router.metadata)
    await router.stub.Feedback(told("s", 1.0), metadata=router.metadata)
    decision = await router.decision(made.receipt.decision_id)
    assert (decision.settled, decision.feedback_quality) == (False, 1.0)


@pytest.fixture
def redis(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if "kill" in request.node.name:
        return f"url: 'unix://{EmbeddedRedis(tmp_path / 'store').socket}'"
    return "pool_size: 8"


@asynccontextmanager
async def processes(folder: Path, text: str, count: int) -> AsyncIterator[list[Process]]:
    async with AsyncExitStack() as stack:
        started = []
        for number in range(count):
            port, config = free_port(), folder / f"router-{number}.yaml"
            spool = f"\ndegraded: {{spool_dir: {folder}/spool}}\n"
            config.write_text(text.replace("port: 0,", f"port: {port},", 1) + spool)
            process = subprocess.Popen(  # noqa: ASYNC220, S603 - our own command
                [sys.executable, "-m", "router", "serve", "--config", str(config)],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
            await stack.enter_async_context(channel)
            started.append(Process(process, router_pb2_grpc.RouterServiceStub(channel)))
        yield started


class Process:
    """A router's process and a stub of it."""

    def __init__(
        self, process: subprocess.Popen[bytes], stub: router_pb2_grpc.RouterServiceStub
    ) -> None:
        self.process = process
        self.stub = stub


async def insist(routers: list[Process], number: int, session: str) -> int:
    """Tell, of the next router where one fails, until it is acknowledged. Returns its tries."""
    for tried in range(10_000):
        stub = routers[(number + tried) % len(routers)].stub
        try:
            await stub.Feedback(told(session, 0.75), metadata=METADATA, timeout=5)
        except grpc.aio.AioRpcError:
            await asyncio.sleep(0.02)
        else:
            return tried + 1
    raise AssertionError("it was never acknowledged")


@pytest.mark.usefixtures("model_dir")
async def test_kills_of_a_router_and_of_the_store_lose_nothing_and_double_nothing(
    tmp_path: Path, config: Callable[..., str]
) -> None:
    """Sessions over three routers; while twenty callers a session insist, both are killed."""
    server, sessions = EmbeddedRedis(tmp_path / "store"), [f"s-{n}" for n in range(8)]
    await server.start()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(server.stop)
        port = await stack.enter_async_context(served(Upstream("any", INSTANT, lambda _: GOOD)))
        url = f"unix://{server.socket}"
        storage = await open_storage(StorageSettings(url=url, timeout_ms=5_000))
        stack.push_async_callback(storage.close)
        await storage.tenants.create(Tenant("free"), hash_key(KEY))
        text = config(tmp_path, dict.fromkeys(ARMS, port))
        routers = await stack.enter_async_context(processes(tmp_path, text, 3))
        made: dict[str, list[str]] = {}
        for session in sessions:
            for turn in range(TURNS):
                done = await routers[turn % 3].stub.Complete(
                    request(f"Moss {session} {turn}", session_id=session, no_cache=True),
                    metadata=METADATA,
                    wait_for_ready=True,
                    timeout=60,
                )
                made.setdefault(session, []).append(done.receipt.decision_id)
        telling = [
            asyncio.create_task(insist(routers, number, session))
            for session in sessions
            for number in range(CALLERS)
        ]
        await asyncio.sleep(0.01)
        routers[0].process.kill()
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        await server.start()
        async with asyncio.timeout(60):
            tries = await asyncio.gather(*telling)
        assert max(tries) > 1

        async def is_whole() -> bool:
            return len(await given(storage)) >= len(sessions) * TURNS

        await until(is_whole)
        for process in routers[1:]:
            process.process.send_signal(signal.SIGTERM)
        for process in routers[1:]:
            await asyncio.to_thread(process.process.wait, 60)
        counted = Counter((e.decision_id, e.quality, e.session_share) for e in await given(storage))
    wanted = [(i, 0.75, 1 / TURNS) for ids in made.values() for i in ids]
    assert counted == Counter(wanted)
