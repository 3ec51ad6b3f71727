"""Redis is killed under two router processes and their traffic; the callers keep a ledger."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import grpc
import pytest
from adaptive_router.v1 import router_pb2, router_pb2_grpc

from demo.stack import free_port
from demo.upstream import INSTANT, Upstream
from demo.world import Reply
from router.adapters.storage import EmbeddedRedis, Storage, StorageSettings, open_storage
from router.adapters.storage.keys import Keys
from router.domain.events import Decided, FeedbackGiven
from router.domain.tenants import Tenant, TenantLimits, hash_key
from tests.e2e.conftest import ARMS, GOOD, request, served, until

PER_S = 20
FATAL = 2
"""The call of the upstream during which Redis ends."""
TENANTS = {
    "free": TenantLimits(),
    "rich": TenantLimits(daily_usd=50.0, degraded="yes"),
    "strict": TenantLimits(daily_usd=50.0),
}
MAY_DEGRADE = ("free", "rich")


@dataclass
class Ledger:
    """The callers' account of what they were told."""

    costs: dict[str, tuple[str, float]] = field(default_factory=dict)
    rated: dict[str, float] = field(default_factory=dict)
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)
    degraded: int = 0


@asynccontextmanager
async def routers(
    folder: Path, text: str, count: int = 2, *, full_disk: bool = False
) -> AsyncIterator[list[router_pb2_grpc.RouterServiceStub]]:
    """Stubs of so many router processes, which share a folder for their spools."""
    stubs, processes = [], []
    async with AsyncExitStack() as stack:
        for number in range(count):
            port = free_port()
            config = folder / f"router-{number}.yaml"
            config.write_text(text.replace("port: 0,", f"port: {port},", 1))
            log = stack.enter_context((folder / f"router-{number}.log").open("wb"))
            process = subprocess.Popen(  # noqa: ASYNC220, S603 - our own command
                [sys.executable, "-m", "router", "serve", "--config", str(config)],
                stdout=subprocess.DEVNULL if full_disk else log,
                stderr=subprocess.DEVNULL if full_disk else log,
                preexec_fn=without_disk if full_disk else None,  # noqa: PLW1509 - no threads yet
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            processes.append(process)
            channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
            await stack.enter_async_context(channel)
            stubs.append(router_pb2_grpc.RouterServiceStub(channel))
        yield stubs
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            assert await asyncio.to_thread(process.wait, 60) == 0


def metadata(tenant: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer ar_{tenant}"),)


async def call(stub: router_pb2_grpc.RouterServiceStub, number: int, ledger: Ledger) -> None:
    tenant = list(TENANTS)[number % len(TENANTS)]
    try:
        text = f"Tell me about moss, part {number % 40}."
        told = await stub.Complete(request(text), metadata=metadata(tenant), timeout=20)
    except grpc.aio.AioRpcError as error:
        ledger.refused[tenant, error.code().name] += 1
        return
    receipt = told.receipt
    ledger.costs[receipt.decision_id] = (tenant, receipt.cost_usd)
    ledger.degraded += receipt.degraded
    if number % 2:
        await rate(stub, tenant, receipt.decision_id, ledger)


async def rate(
    stub: router_pb2_grpc.RouterServiceStub, tenant: str, decision_id: str, ledger: Ledger
) -> None:
    said = router_pb2.FeedbackRequest(decision_id=decision_id, quality=0.75)
    try:
        await stub.Feedback(said, metadata=metadata(tenant), timeout=20)
    except grpc.aio.AioRpcError as error:
        ledger.refused[f"feedback of {tenant}", error.code().name] += 1
        return
    ledger.rated[decision_id] = 0.75


async def drive(
    stubs: list[router_pb2_grpc.RouterServiceStub], seconds: float, ledger: Ledger
) -> None:
    calls = []
    for number in range(int(seconds * PER_S)):
        stub = stubs[number % len(stubs)]
        calls.append(asyncio.create_task(call(stub, number, ledger)))
        await asyncio.sleep(1 / PER_S)
    await asyncio.gather(*calls)


async def warmed_up(stubs: list[router_pb2_grpc.RouterServiceStub]) -> None:
    """Every router has seen every key, embedded every text and leased its allowances."""
    for stub in stubs:
        for number in range(120):
            tenant = list(TENANTS)[number % len(TENANTS)]
            text = f"Tell me about moss, part {number % 40}."
            await stub.Complete(
                request(text), metadata=metadata(tenant), wait_for_ready=True, timeout=60
            )
    await asyncio.sleep(2.5)


async def check(storage: Storage, ledger: Ledger, began: set[str]) -> None:
    """Redis holds the callers' ledger, once each."""
    events = [event for _, event in await storage.events.read("0", 1_000_000, 0)]
    decided = Counter(e.record.id for e in events if isinstance(e, Decided))
    rated = Counter(e.decision_id for e in events if isinstance(e, FeedbackGiven))
    assert {id_ for id_ in decided if id_ not in began} >= set(ledger.costs)
    assert set(decided.values()) == {1}
    assert rated == Counter(list(ledger.rated))
    spent = Counter[str]()
    for event in events:
        if isinstance(event, Decided):
            spent[event.record.tenant] += event.record.cost_usd
    for name, limits in TENANTS.items():
        used = await storage.quota.usage(Tenant(name, limits))
        assert used.daily_usd == pytest.approx(spent[name], abs=1e-6)


@pytest.mark.usefixtures("model_dir")
@pytest.mark.parametrize(
    ("fault", "seconds"),
    [
        pytest.param("killed", 6.0, id="killed"),
        pytest.param("killed", 60.0, id="killed for a minute", marks=pytest.mark.slow),
        pytest.param("hung", 6.0, id="hung", marks=pytest.mark.slow),
        pytest.param("flapping", 6.0, id="flapping", marks=pytest.mark.slow),
    ],
)
async def test_nobody_who_may_be_served_is_refused_and_nothing_is_lost_or_doubled(
    tmp_path: Path, config: Callable[..., str], fault: str, seconds: float
) -> None:
    server, ledger = EmbeddedRedis(tmp_path / "store"), Ledger()
    await server.start()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(server.stop)
        upstream = Upstream("any", INSTANT, lambda _: GOOD)
        port = await stack.enter_async_context(served(upstream))
        settings = StorageSettings(url=f"unix://{server.socket}", timeout_ms=5_000)
        storage = await open_storage(settings)
        stack.push_async_callback(storage.close)
        for name, limits in TENANTS.items():
            await storage.tenants.create(Tenant(name, limits), hash_key(f"ar_{name}"))
        text = config(tmp_path, dict.fromkeys(ARMS, port))
        async with routers(tmp_path, text) as stubs:
            await warmed_up(stubs)
            began = {
                event.record.id
                for _, event in await storage.events.read("0", 1_000_000, 0)
                if isinstance(event, Decided)
            }
            driving = asyncio.create_task(drive(stubs, seconds + 4, ledger))
            await asyncio.sleep(2)
            await FAULTS[fault](server, seconds)
            await driving
        await until(lambda: settled(storage))
        await check(storage, ledger, began)
    refused = [who for who, _ in ledger.refused if not who.endswith("strict")]
    assert not refused, ledger.refused
    assert ledger.degraded > seconds


async def killed(server: EmbeddedRedis, seconds: float) -> None:
    send(server, signal.SIGKILL)
    await asyncio.sleep(seconds)
    await server.start()


async def hung(server: EmbeddedRedis, seconds: float) -> None:
    """It takes what is sent, and answers nothing."""
    send(server, signal.SIGSTOP)
    await asyncio.sleep(seconds)
    send(server, signal.SIGCONT)


async def flapping(server: EmbeddedRedis, seconds: float) -> None:
    for _ in range(int(seconds / 1.5)):
        await killed(server, 0.75)
        await asyncio.sleep(0.75)


def send(server: EmbeddedRedis, number: signal.Signals) -> None:
    assert server.pid is not None
    os.kill(server.pid, number)


FAULTS = {"killed": killed, "hung": hung, "flapping": flapping}


async def settled(storage: Storage) -> bool:
    """No request holds anything; an allowance whose lease was cut off lapses by itself."""
    held = await storage.client.call("ZRANGE", Keys().reserved_until, 0, -1)
    return all(b"/allowance:" in name for name in held)


@pytest.fixture
def redis(tmp_path: Path) -> str:
    return f"url: 'unix://{EmbeddedRedis(tmp_path / 'store').socket}'"


@pytest.fixture
def sections(tmp_path: Path) -> str:
    return f"cache: {{enabled: false}}\ndegraded: {{spool_dir: {tmp_path}/spool}}"


@pytest.mark.usefixtures("model_dir")
async def test_a_disk_that_takes_nothing_refuses_before_anything_is_paid(
    tmp_path: Path, config: Callable[..., str]
) -> None:
    """What had been paid when Redis went is handed out even then."""
    server, calls = EmbeddedRedis(tmp_path / "store"), list[str]()
    await server.start()

    def answer(prompt: str) -> Reply:
        calls.append(prompt)
        if len(calls) == FATAL:
            send(server, signal.SIGKILL)
        return GOOD

    async with AsyncExitStack() as stack:
        stack.push_async_callback(server.stop)
        upstream = Upstream("any", INSTANT, answer)
        port = await stack.enter_async_context(served(upstream))
        storage = await open_storage(StorageSettings(url=f"unix://{server.socket}"))
        stack.push_async_callback(storage.close)
        await storage.tenants.create(Tenant("free"), hash_key("ar_free"))
        text = config(tmp_path, dict.fromkeys(ARMS, port))
        async with routers(tmp_path, text, 1, full_disk=True) as (stub,):
            asked = partial(
                stub.Complete, request("Why?", no_cache=True), metadata=metadata("free"), timeout=30
            )
            await asked(wait_for_ready=True)
            assert (await asked()).receipt.degraded
            for _ in range(3):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await asked()
                assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            await server.start()
            await until(lambda: is_served(asked))
    assert len(calls) == FATAL + 1


async def is_served(ask: Callable[[], Awaitable[object]]) -> bool:
    try:
        await ask()
    except grpc.aio.AioRpcError:
        return False
    return True


def without_disk() -> None:
    """No file of the process can grow: what is written fails as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
