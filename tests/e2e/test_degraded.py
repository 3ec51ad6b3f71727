"""A router whose Redis dies under it serves on, and Redis hears of everything afterwards."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
from adaptive_router.v1 import chat_pb2, router_pb2
from google.rpc import error_details_pb2

from demo.world import Reply
from router.adapters.storage import EmbeddedRedis
from router.app.server import running_router
from router.app.spooling import SpoolUnwritable
from router.config import parse_config
from router.domain.errors import StorageUnavailable
from router.domain.events import Decided, FeedbackGiven
from router.domain.records import OutcomeReport
from router.domain.tenants import Tenant, TenantLimits
from tests.e2e.conftest import ARMS, GOOD, Router, chat, health, request, until
from tests.e2e.details import detail, reason


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedRedis]:
    made = EmbeddedRedis(tmp_path / "store", appendfsync="everysec")
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
def redis(server: EmbeddedRedis) -> str:
    return f"url: 'unix://{server.socket}', timeout_ms: 500"


@pytest.fixture
def degraded() -> str:
    """More of the section."""
    return "serve: yes"


@pytest.fixture
def sections(tmp_path: Path, degraded: str) -> str:
    return f"degraded: {{spool_dir: {tmp_path}/spool, {degraded}}}"


@pytest.fixture
def learns() -> bool:
    return False


def kill(server: EmbeddedRedis) -> None:
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)


def spooled(folder: Path) -> list[Path]:
    return list(folder.glob("spool/*/*.spool"))


async def caught_up(router: Router, folder: Path) -> None:
    """Redis is back, and nothing waits on disk for it."""

    async def is_empty() -> bool:
        return not spooled(folder)

    await until(is_empty)
    await until(lambda: health(router, "redis"))
    await until(lambda: health(router, "degraded"))


async def decided(router: Router) -> list[str]:
    events = await router.storage.events.read("0", 1_000, 0)
    return [event.record.id for _, event in events if isinstance(event, Decided)]


async def rated(router: Router) -> list[tuple[str, float]]:
    events = await router.storage.events.read("0", 1_000, 0)
    return [(e.decision_id, e.quality) for _, e in events if isinstance(e, FeedbackGiven)]


async def refusal(call: object) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call  # type: ignore[misc]
    return caught.value


def is_retried(error: grpc.aio.AioRpcError) -> bool:
    told = detail(error, error_details_pb2.RetryInfo())
    return reason(error) == "STORAGE_UNAVAILABLE" and told.HasField("retry_delay")


async def test_a_conversation_goes_on_as_one_that_is_not_known(
    router: Router, server: EmbeddedRedis, tmp_path: Path
) -> None:
    asked = chat("Tell me about moss.")
    request = router_pb2.CompleteRequest(chat=asked)
    receipts: list[router_pb2.Receipt] = []
    for number in range(3):
        done = await router.stub.Complete(request, metadata=router.metadata)
        receipts.append(done.receipt)
        request.chat.messages.add(role=chat_pb2.ROLE_ASSISTANT, text=done.answer.text)
        request.chat.messages.add(role=chat_pb2.ROLE_USER, text=f"And part {number}?")
        if number == 1:
            kill(server)
    known, unknown = receipts[1:]
    assert (known.degraded, known.turn.number) == (False, 2)
    assert known.turn.spent_usd == pytest.approx(receipts[0].cost_usd + known.cost_usd)
    assert (unknown.degraded, unknown.turn.number, unknown.turn.warm_tokens) == (True, 3, 0)
    assert unknown.turn.spent_usd == pytest.approx(unknown.cost_usd)
    await server.start()
    await caught_up(router, tmp_path)
    assert await decided(router) == [receipt.decision_id for receipt in receipts]


async def test_it_serves_on_and_the_store_hears_of_everything_once(
    router: Router, server: EmbeddedRedis, texts: Iterator[str], tmp_path: Path
) -> None:
    before = (await router.complete(next(texts))).receipt
    assert not before.degraded
    kill(server)
    done = (await router.complete(next(texts))).receipt
    assert done.degraded
    for receipt, quality in ((done, 1.0), (before, 0.25)):
        assert not (await router.feedback(receipt.decision_id, quality)).already_recorded
        assert (await router.feedback(receipt.decision_id, quality)).already_recorded
        again = await refusal(router.feedback(receipt.decision_id, 0.5))
        assert reason(again) == "FEEDBACK_CONFLICT"
    assert (await router.decision(done.decision_id)).feedback_quality == 1.0

    async def is_told() -> bool:
        return not await health(router, "redis") and not await health(router, "degraded")

    await until(is_told)
    assert await health(router, "")
    await server.start()
    await caught_up(router, tmp_path)
    assert await decided(router) == [before.decision_id, done.decision_id]
    assert await rated(router) == [(done.decision_id, 1.0), (before.decision_id, 0.25)]
    assert not (await router.complete(next(texts))).receipt.degraded
    assert (await router.decision(done.decision_id)).receipt.degraded


async def test_a_stream_is_served_and_recorded(
    router: Router, server: EmbeddedRedis, texts: Iterator[str], tmp_path: Path
) -> None:
    await router.complete(next(texts))
    kill(server)
    asked = router_pb2.StreamCompleteRequest(chat=chat(next(texts)))
    items = [item async for item in router.stub.StreamComplete(asked, metadata=router.metadata)]
    receipt = items[-1].done.receipt
    assert receipt.degraded
    await server.start()
    await caught_up(router, tmp_path)
    assert receipt.decision_id in await decided(router)


async def test_an_outcome_of_decide_is_taken_and_charged_once(
    router: Router, server: EmbeddedRedis, texts: Iterator[str], tmp_path: Path
) -> None:
    await router.complete(next(texts))
    kill(server)
    asked = router_pb2.DecideRequest(chat=chat(next(texts)))
    receipt = (await router.stub.Decide(asked, metadata=router.metadata)).receipt
    told = router_pb2.ReportOutcomeRequest(
        decision_id=receipt.decision_id, latency_ms=9, input_tokens=1_000_000, output_tokens=1
    )
    first = await router.stub.ReportOutcome(told, metadata=router.metadata)
    again = await router.stub.ReportOutcome(told, metadata=router.metadata)
    assert (first.already_recorded, again.already_recorded) == (False, True)
    told.output_tokens = 2
    other = await refusal(router.stub.ReportOutcome(told, metadata=router.metadata))
    assert reason(other) == "OUTCOME_CONFLICT"
    await server.start()
    await caught_up(router, tmp_path)
    kept = await router.storage.decisions.get("test", receipt.decision_id)
    assert kept.settled
    assert not await router.storage.decisions.settle(kept, OutcomeReport(9.0, 1_000_000, 1))
    used = await router.storage.quota.usage(Tenant("test"))
    assert used.daily_usd == pytest.approx(first.cost_usd, rel=0.01)
    assert used.reservations == 0


async def test_a_key_is_answered_once_also_after_the_store_is_back(
    router: Router, server: EmbeddedRedis, texts: Iterator[str], tmp_path: Path
) -> None:
    await router.complete(next(texts))
    kill(server)
    asked = {"idempotency_key": "k", "no_cache": True}
    text = next(texts)
    first = (await router.complete(text, **asked)).receipt
    again = (await router.complete(text, **asked)).receipt
    conflict = await refusal(router.complete(next(texts), **asked))
    assert again.decision_id == first.decision_id
    assert reason(conflict) == "IDEMPOTENCY_CONFLICT"
    await server.start()
    await caught_up(router, tmp_path)
    assert (await router.complete(text, **asked)).receipt.decision_id == first.decision_id
    assert first.decision_id in (await decided(router))[1:]
    assert len(await decided(router)) == 2


async def test_who_is_not_known_or_not_permitted_is_refused_before_anything_is_paid(
    router: Router, server: EmbeddedRedis, texts: Iterator[str]
) -> None:
    strict = await router.tenant("strict", TenantLimits(daily_usd=5.0))
    never = await router.tenant("never", TenantLimits(degraded="no"))
    for metadata in (strict, never, router.metadata):
        await router.stub.Complete(request(next(texts)), metadata=metadata)
    kill(server)
    await router.complete(next(texts))
    calls = list[str]()
    for upstream in router.upstreams.values():
        upstream.find = lambda prompt: (calls.append(prompt), GOOD)[1]
    unknown = (("authorization", "Bearer ar_unknown"),)
    for metadata in (strict, never, unknown):
        error = await refusal(router.stub.Complete(request(next(texts)), metadata=metadata))
        assert is_retried(error)
    assert is_retried(await refusal(router.feedback("0" * 32, 1.0)))
    assert not calls


async def test_a_budget_is_spent_from_what_was_leased_ahead_and_no_more(
    router: Router, server: EmbeddedRedis, texts: Iterator[str], tmp_path: Path
) -> None:
    limits = TenantLimits(daily_usd=4.0, degraded="yes")
    metadata = await router.tenant("rich", limits)
    for upstream in router.upstreams.values():
        upstream.find = lambda _: Reply("Forty-two.", 1.0, 20_000, 100)
    text = next(texts)
    await router.stub.Complete(request(text, arm="reasoning"), metadata=metadata)

    async def is_leased() -> bool:
        return (await router.storage.quota.usage(Tenant("rich", limits))).reserved_usd > 0.03

    await until(is_leased)
    kill(server)
    spent = 0.0
    asked = request(text, arm="reasoning", no_cache=True)
    with suppress(grpc.aio.AioRpcError):
        for _ in range(20):
            spent += (await router.stub.Complete(asked, metadata=metadata)).receipt.cost_usd
    assert is_retried(await refusal(router.stub.Complete(asked, metadata=metadata)))
    assert 0 < spent <= 0.04 + 0.0402  # the last one may have cost more than its bound
    await server.start()
    await caught_up(router, tmp_path)
    used = await router.storage.quota.usage(Tenant("rich", limits))
    assert used.daily_usd == pytest.approx(spent + 0.0402, rel=0.01)


async def test_a_store_that_comes_back_empty_is_told_and_refuses_nothing_it_need_not(
    router: Router, server: EmbeddedRedis, texts: Iterator[str], tmp_path: Path
) -> None:
    before = (await router.complete(next(texts))).receipt
    kill(server)
    done = (await router.complete(next(texts))).receipt
    await router.feedback(before.decision_id, 1.0)
    await router.feedback(done.decision_id, 1.0)
    for file in (server.data_dir / "appendonlydir").iterdir():
        file.unlink()
    await server.start()
    await caught_up(router, tmp_path)
    assert await decided(router) == [done.decision_id]
    assert await rated(router) == [(done.decision_id, 1.0)]


@pytest.mark.parametrize("tenant", ["test", "strict"])
async def test_an_answer_that_was_paid_for_is_handed_out_though_the_store_is_full(
    router: Router, server: EmbeddedRedis, texts: Iterator[str], tmp_path: Path, tenant: str
) -> None:
    metadata = router.metadata
    if tenant == "strict":
        metadata = await router.tenant("strict", TenantLimits(daily_usd=5.0))
    await router.stub.Complete(request(next(texts)), metadata=metadata)

    def fill(_: str) -> Reply:
        redis_cli(server, "CONFIG", "SET", "maxmemory", "1")
        return GOOD

    for upstream in router.upstreams.values():
        upstream.find = fill
    told = await router.stub.Complete(request(next(texts)), metadata=metadata)
    assert told.answer.text == GOOD.text
    assert told.receipt.degraded
    redis_cli(server, "CONFIG", "SET", "maxmemory", "0")
    await caught_up(router, tmp_path)
    assert told.receipt.decision_id in await decided(router)


def redis_cli(server: EmbeddedRedis, *command: str) -> None:
    """Speak to the server itself, from within a call of the upstream."""
    words = "".join(f"${len(word)}\r\n{word}\r\n" for word in command)
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(30)
        link.connect(server.socket)
        link.sendall(f"*{len(command)}\r\n{words}".encode())
        assert link.recv(100).startswith(b"+OK")


@pytest.mark.parametrize("degraded", ["serve: no"])
async def test_with_no_every_caller_is_refused(
    router: Router, server: EmbeddedRedis, texts: Iterator[str]
) -> None:
    await router.complete(next(texts))
    kill(server)
    assert is_retried(await refusal(router.complete(next(texts))))
    await until(lambda: _not(health(router, "")))


async def _not(condition: object) -> bool:
    return not await condition  # type: ignore[misc]


@asynccontextmanager
async def another(
    router: Router, tmp_path: Path, config: Callable[..., str]
) -> AsyncIterator[Router]:
    """A second router beside the first one, of the same config."""
    parsed = parse_config(config(tmp_path, dict.fromkeys(ARMS, 9)), "test.yaml", {})
    async with running_router(parsed, {}) as running:
        target = f"127.0.0.1:{running.port}"
        async with grpc.aio.insecure_channel(target) as channel:
            yield Router(running.port, channel, router.upstreams, running.storage)


async def test_a_router_that_ends_while_degraded_is_heard_of_by_the_next(
    router: Router,
    server: EmbeddedRedis,
    texts: Iterator[str],
    tmp_path: Path,
    config: Callable[..., str],
) -> None:
    text = next(texts)
    cached = (await router.complete(text)).receipt
    async with another(router, tmp_path, config) as second:
        assert (await second.complete(text)).receipt.cache
        kill(server)
        # It has no provider and no cache: only `Decide` and feedback can be had of it.
        asked = router_pb2.DecideRequest(chat=chat(next(texts)))
        receipt = (await second.stub.Decide(asked, metadata=router.metadata)).receipt
        await second.feedback(receipt.decision_id, 0.5)
        assert is_retried(await refusal(router.feedback(receipt.decision_id, 0.5)))
    await server.start()
    await until(lambda: health(router, "redis"))

    async def is_adopted() -> bool:
        with suppress(StorageUnavailable):
            return receipt.decision_id in await decided(router)
        return False

    await until(is_adopted)
    await caught_up(router, tmp_path)
    assert await rated(router) == [(receipt.decision_id, 0.5)]
    assert cached.decision_id in await decided(router)


@pytest.mark.usefixtures("model_dir")
async def test_a_spool_that_is_named_and_cannot_be_written_ends_the_start(
    tmp_path: Path, config: Callable[..., str]
) -> None:
    (tmp_path / "spool").write_text("a file")
    parsed = parse_config(config(tmp_path, dict.fromkeys(ARMS, 9)), "test.yaml", {})
    with pytest.raises(SpoolUnwritable, match=f"{tmp_path}/spool"):
        async with running_router(parsed, {}):
            pass


async def test_an_answer_found_bad_meanwhile_is_gone_once_the_store_is_back(
    router: Router, server: EmbeddedRedis, texts: Iterator[str], tmp_path: Path
) -> None:
    text = next(texts)
    done = (await router.complete(text)).receipt

    async def is_kept() -> bool:
        return (await router.complete(text)).receipt.cache == router_pb2.CACHE_STATUS_EXACT

    await until(is_kept)
    await router.storage.client.call("CONFIG", "SET", "appendfsync", "always")
    kill(server)
    await router.feedback(done.decision_id, 0.0)
    await server.start()
    await caught_up(router, tmp_path)

    async def is_gone() -> bool:
        return not await router.storage.client.call("KEYS", "ar:answer:*")

    await until(is_gone)
