"""Money under faults: nothing is paid unless the store knows of it, and nobody dead holds any."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
from google.rpc import error_details_pb2
from redis.asyncio import Redis

from demo.setup import serving
from demo.stack import free_port
from demo.upstream import INSTANT, Upstream
from demo.world import Reply
from router.adapters.storage import EmbeddedRedis, StorageSettings, open_storage
from router.app.server import running_router
from router.config import parse_config
from router.domain.errors import StorageUnavailable
from router.domain.tenants import Reservation, Tenant, TenantLimits, hash_key
from tests.contract.ledger import later
from tests.e2e.conftest import ARMS, GOOD, KEY, Router, request, served, until
from tests.e2e.details import detail, reason

IN_FLIGHT = 20


@dataclass(slots=True)
class Till:
    """Counts the calls that are paid."""

    calls: int = 0

    def find(self, _: str) -> Reply:
        self.calls += 1
        return GOOD


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedRedis]:
    made = EmbeddedRedis(tmp_path / "own", appendfsync="everysec")
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
def redis(server: EmbeddedRedis) -> str:
    return f"url: 'unix://{server.socket}'"


@pytest.fixture
def learns() -> bool:
    return False


@pytest.fixture
def sections() -> str:
    """Nobody is served on without the store."""
    return "degraded: {serve: no}"


@pytest.mark.parametrize(
    ("break_", "mend"),
    [
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
        (
            ("CONFIG", "SET", "min-replicas-to-write", "1"),
            ("CONFIG", "SET", "min-replicas-to-write", "0"),
        ),
    ],
    ids=["full", "read-only", "without-replicas"],
)
async def test_nothing_is_paid_while_nothing_can_be_written(
    router: Router,
    server: EmbeddedRedis,
    texts: Iterator[str],
    break_: tuple[str, ...],
    mend: tuple[str, ...],
) -> None:
    """The tenant has no limit: its calls are reserved all the same."""
    till = Till()
    for upstream in router.upstreams.values():
        upstream.find = till.find
    await router.complete(next(texts))
    paid = till.calls
    # The router's own client refuses calls while its store is ill.
    operator = Redis(unix_socket_path=str(server.socket))
    await operator.execute_command(*break_)
    began_s = time.monotonic()
    calls = [router.complete(next(texts)) for _ in range(IN_FLIGHT)]
    for error in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(error, grpc.aio.AioRpcError)
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert reason(error) == "STORAGE_UNAVAILABLE"
    assert time.monotonic() - began_s < 5.0
    assert till.calls == paid
    await operator.execute_command(*mend)
    await operator.aclose()

    async def is_back() -> bool:
        try:
            await router.complete(next(texts))
        except grpc.aio.AioRpcError:
            return False
        return True

    await until(is_back)


async def test_what_is_under_way_when_the_store_becomes_full_is_charged(
    server: EmbeddedRedis,
) -> None:
    """To settle is to give memory back."""
    tenant = Tenant("acme", TenantLimits(daily_usd=1.0))
    storage = await open_storage(StorageSettings(url=f"unix://{server.socket}"))
    for n in range(3):
        await storage.quota.reserve(tenant, Reservation(f"r{n}", "acme", 0, 0.25))
    await later(storage, 61)
    await storage.client.call("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(StorageUnavailable):
        await storage.quota.reserve(tenant, Reservation("new", "acme", 0, 0.01))
    await storage.quota.settle(Reservation("r0", "acme", 0, 0.25, held=False), 10, 0.125)
    assert len(await storage.quota.settle_orphans(10)) == 2
    used = await storage.quota.usage(tenant)
    assert (used.daily_usd, used.reserved_usd) == (0.625, 0.0)
    await storage.close()


async def test_a_request_that_can_never_fit_is_told_what_to_change(
    router: Router, texts: Iterator[str]
) -> None:
    metadata = await router.tenant("poor", TenantLimits(daily_usd=0.001))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await router.stub.Complete(request(next(texts)), metadata=metadata)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    told = detail(caught.value, error_details_pb2.ErrorInfo())
    assert told.reason == "QUOTA_EXCEEDED"
    assert (told.metadata["quota"], told.metadata["limit"]) == ("daily_usd", "0.001")
    assert float(told.metadata["needed"]) > 0.001
    assert "max_cost_usd" in caught.value.details()
    with pytest.raises(AssertionError, match="no RetryInfo"):
        detail(caught.value, error_details_pb2.RetryInfo())
    frugal = request(next(texts), max_cost_usd=0.0009)
    assert (await router.stub.Complete(frugal, metadata=metadata)).answer.text


async def test_money_that_is_only_reserved_hints_seconds(
    router: Router, texts: Iterator[str]
) -> None:
    metadata = await router.tenant("busy", TenantLimits(daily_usd=0.03))
    slow = replace(INSTANT, first_token_ms=3_000)
    for upstream in router.upstreams.values():
        upstream.profile = slow
    calls = [
        router.stub.Complete(request(next(texts)), metadata=metadata) for _ in range(IN_FLIGHT)
    ]
    ended = await asyncio.gather(*calls, return_exceptions=True)
    refused = [e for e in ended if isinstance(e, grpc.aio.AioRpcError)]
    assert 0 < len(refused) < IN_FLIGHT
    for error in refused:
        wait = detail(error, error_details_pb2.RetryInfo()).retry_delay
        assert 1 <= wait.seconds <= 60


@asynccontextmanager
async def other_process(
    folder: Path, text: str
) -> AsyncIterator[tuple[int, subprocess.Popen[bytes]]]:
    port = free_port()
    path = folder / "other.yaml"
    path.write_text(text.replace("port: 0, metrics_port: 0", f"port: {port}, metrics_port: 0"))
    with subprocess.Popen(  # noqa: ASYNC220, S603 - our own command
        [sys.executable, "-m", "router", "serve", "--config", str(path)],
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            async with asyncio.timeout(60):
                while not await asyncio.to_thread(serving, port):
                    await asyncio.sleep(0.1)
            yield port, process
        finally:
            process.kill()


@pytest.mark.slow
@pytest.mark.usefixtures("model_dir")
async def test_what_a_killed_router_held_is_free_within_its_lease(
    tmp_path: Path, config: Callable[..., str], server: EmbeddedRedis
) -> None:
    """Kill -9 with calls in flight, each of which reserves many times what it costs."""
    assert server.socket
    never = replace(INSTANT, first_token_ms=600_000)
    upstreams = {arm: Upstream(arm, never, lambda _: GOOD) for arm in ARMS}
    limits = TenantLimits(daily_usd=0.25)
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        ports = {arm: await enter(served(upstream)) for arm, upstream in upstreams.items()}
        text = config(tmp_path, ports)
        running = await enter(running_router(parse_config(text, "test.yaml", {}), {}))
        tenant, quota = Tenant("test", limits), running.storage.quota
        await running.storage.tenants.create(tenant, hash_key(KEY))
        port, process = await enter(other_process(tmp_path, text))
        channel = await enter(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))
        dying = Router(port, channel, upstreams, running.storage)
        keyed = [
            asyncio.ensure_future(dying.complete(f"Question {n}?", idempotency_key=f"k{n}"))
            for n in range(IN_FLIGHT)
        ]

        async def is_held() -> bool:
            return (await quota.usage(tenant)).reservations == IN_FLIGHT

        await until(is_held)
        held = await quota.usage(tenant)
        process.send_signal(signal.SIGKILL)
        ended = await asyncio.gather(*keyed, return_exceptions=True)
        assert all(isinstance(e, grpc.aio.AioRpcError) for e in ended)
        assert (await quota.usage(tenant)).reserved_usd == held.reserved_usd > 0.2
        await later(running.storage, 61)  # so that the test need not wait for the lease itself

        async def is_free() -> bool:
            return (await quota.usage(tenant)).reservations == 0

        await until(is_free)
        after = await quota.usage(tenant)
        assert after.reserved_usd == 0.0
        assert 0 < after.daily_usd < held.reserved_usd / 5
        assert after.left.daily_usd == pytest.approx(0.25 - after.daily_usd)
        for n in range(IN_FLIGHT):
            keys = running.storage.idempotency._keys  # noqa: SLF001 - to see how long is left
            left_s = await running.storage.client.call("TTL", keys.idempotency("test", f"k{n}"))
            assert left_s <= 45


async def test_a_burst_brings_no_more_tokens_than_a_minute_allows(
    router: Router, texts: Iterator[str]
) -> None:
    """No caller says how long its answer may be, and each is long."""
    long = Reply("Forty-two.", 1.0, 100, 3_000)
    for upstream in router.upstreams.values():
        upstream.find = lambda _: long
        upstream.profile = replace(INSTANT, first_token_ms=200)
    allowed = 20_000
    metadata = await router.tenant("talker", TenantLimits(tokens_per_minute=allowed))
    calls = [router.stub.Complete(request(next(texts)), metadata=metadata) for _ in range(40)]
    ended = await asyncio.gather(*calls, return_exceptions=True)
    served = [e.receipt for e in ended if not isinstance(e, BaseException)]
    came = sum(a.input_tokens + a.output_tokens for r in served for a in r.attempts)
    assert 0 < came <= allowed
