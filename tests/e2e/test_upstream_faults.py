"""Providers that hang, break off or are slow, and callers who leave: what is paid is charged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import grpc
import pytest
from adaptive_router.v1 import router_pb2

from router.app.server import running_router
from router.config import parse_config
from router.domain.records import Attempt, AttemptOutcome
from router.domain.tenants import Tenant, TenantLimits, hash_key
from tests.e2e.conftest import KEY, Router, chat, until
from tests.e2e.ledger import Ledger, upstream
from tests.e2e.wire import on_uvloop

INPUT_USD, OUTPUT_USD = 1.0, 10.0
LIMIT = 256
"""Output limit of every deployment here."""
BUDGET_USD = 0.05


@pytest.fixture(autouse=True)
def _model(model_dir: Path) -> None:
    """The router finds it where it was fetched to."""


def _deployment(name: str, ledger: Ledger, more: str) -> str:
    host = ledger.host or f"127.0.0.1:{ledger.port}"
    return (
        f"{{name: {name}, provider: openai, model: m, base_url: 'http://{host}/v1',"
        f" max_output_tokens: {LIMIT}, price: {{input_usd_per_mtok: {INPUT_USD},"
        f" output_usd_per_mtok: {OUTPUT_USD}}}{more}}}"
    )


@asynccontextmanager
async def routed(
    folder: Path, arms: Sequence[Sequence[Ledger]], more: str = "", sections: str = ""
) -> AsyncIterator[Router]:
    """A router whose arms a0, a1 ... have the ledgers for deployments a0d0, a0d1 ..."""
    async with AsyncExitStack() as stack:
        text = ""
        for number, ledgers in enumerate(arms):
            for ledger in ledgers:
                await stack.enter_async_context(upstream(ledger))
            made = [_deployment(f"a{number}d{n}", each, more) for n, each in enumerate(ledgers)]
            text += f"  a{number}: {{deployments: [{', '.join(made)}]}}\n"
        config = f"""
server: {{port: 0, metrics_port: 0}}
redis: {{embedded: {{data_dir: {folder}/redis, appendfsync: everysec}}, timeout_ms: 5000}}
embedding: {{workers: 1}}
cache: {{enabled: false}}
learning: {{embedded: false}}
arms:
{text}{sections}
"""
        parsed = parse_config(config, "test.yaml", {})
        env = {"http_proxy": f"127.0.0.1:{arms[0][0].port}", "NO_PROXY": "127.0.0.0/8"}
        running = await stack.enter_async_context(running_router(parsed, env))
        target = f"127.0.0.1:{running.port}"
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(target))
        await running.storage.tenants.create(Tenant("test"), hash_key(KEY))
        yield Router(running.port, channel, {}, running.storage)


async def ask(
    router: Router,
    text: str = "Say it.",
    timeout_s: float | None = None,
    *,
    live: bool = False,
    metadata: tuple[tuple[str, str], ...] | None = None,
    arm: str = "",
) -> bool:
    """True if there was an answer."""
    routing = router_pb2.RoutingOptions(arm=arm)
    metadata = metadata or router.metadata
    try:
        if live:
            asked = router_pb2.StreamCompleteRequest(chat=chat(text), routing=routing)
            call = router.stub.StreamComplete(asked, metadata=metadata, timeout=timeout_s)
            return [item async for item in call][-1].HasField("done")
        whole = router_pb2.CompleteRequest(chat=chat(text), routing=routing)
        await router.stub.Complete(whole, metadata=metadata, timeout=timeout_s)
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
            raise
        return False
    return True


async def attempts(router: Router) -> list[Attempt]:
    found = await router.storage.events.read("0", 10_000, 0)
    return [a for _, event in found for a in event.record.attempts if a.deployment]


async def settled(router: Router, count: int) -> list[Attempt]:
    async def are_recorded() -> bool:
        return len(await attempts(router)) >= count

    await until(are_recorded)
    return await attempts(router)


@asynccontextmanager
async def leaving(router: Router, ledger: Ledger, text: str, *, live: bool) -> AsyncIterator[None]:
    """A caller who leaves at the end of the block, once the upstream has the request."""
    seen = ledger.seen
    asking = asyncio.create_task(ask(router, text, live=live))

    async def is_seen() -> bool:
        return ledger.seen > seen

    try:
        await until(is_seen)
        yield
    finally:
        asking.cancel()
        await asyncio.wait({asking})


@on_uvloop
async def test_what_was_paid_is_charged_over_a_mix_of_failures(tmp_path: Path) -> None:
    ledger = Ledger(lambda prompt: prompt)
    more = ", timeout_ms: 300"
    async with routed(tmp_path, [[ledger]], more, "health: {failures: 1000}") as router:
        for kind in ("answer", "hang", "reset", "malformed", "error"):
            for _ in range(4):
                await ask(router, kind)
        for live in (False, True):
            async with leaving(router, ledger, "hang", live=live):
                pass
        found = await settled(router, 22)
        charged_usd = sum(a.cost_usd for a in found)
        assert charged_usd == pytest.approx(ledger.usd(INPUT_USD, OUTPUT_USD), rel=0.05)
        free = [a for a in found if a.why == "provider_unavailable"]
        assert [a.cost_usd for a in free] == [0.0] * 4
        assert {a.guessed for a in found if a.outcome is AttemptOutcome.ACCEPTED} == {False}
        assert sum(a.guessed for a in found) == 14


@pytest.mark.parametrize("live", [True, False], ids=["stream", "whole as a stream"])
@on_uvloop
async def test_a_stream_that_is_left_is_charged_at_what_was_heard(
    tmp_path: Path, *, live: bool
) -> None:
    ledger = Ledger(lambda _: "stream", pace_s=0.002)
    more = ", always_stream: yes"
    async with routed(tmp_path, [[ledger]], more) as router:
        for tokens in (60, 120, 180):
            begun = ledger.generated
            async with leaving(router, ledger, "stream", live=live):

                async def has_said(least: int = begun + tokens) -> bool:
                    return ledger.generated >= least

                await until(has_said)
        found = await settled(router, 3)
        assert {a.guessed for a in found} == {True}
        charged_usd = sum(a.cost_usd for a in found)
        assert charged_usd == pytest.approx(ledger.usd(INPUT_USD, OUTPUT_USD), rel=0.05)


@on_uvloop
async def test_a_budget_ends_calls_that_are_left(tmp_path: Path) -> None:
    ledger = Ledger(lambda _: "hang")
    async with routed(tmp_path, [[ledger]]) as router:
        limits = TenantLimits(daily_usd=BUDGET_USD)
        metadata = await router.tenant("spender", limits)
        for count in range(1, 400):
            seen = ledger.seen
            asking = asyncio.create_task(ask(router, metadata=metadata))

            async def is_under_way(seen: int = seen, asking: asyncio.Task[bool] = asking) -> bool:
                return ledger.seen > seen or asking.done()

            await until(is_under_way)
            if asking.done():
                break
            asking.cancel()
            await asyncio.wait({asking})
            await settled(router, count)
        with pytest.raises(grpc.aio.AioRpcError):
            await asking
        paid_usd = ledger.usd(INPUT_USD, OUTPUT_USD)
        assert 0.8 * BUDGET_USD < paid_usd <= 1.02 * BUDGET_USD


@on_uvloop
async def test_who_leaves_before_anything_was_sent_pays_nothing(tmp_path: Path) -> None:
    """One connection for all: who waits for it has sent nothing."""
    ledger = Ledger(lambda _: "hang")
    sections = "providers: {max_connections: 1}"
    more = ", max_in_flight: 10"
    async with routed(tmp_path, [[ledger]], more, sections) as router:
        async with leaving(router, ledger, "hang", live=False):
            for live in (False, True):
                await ask(router, "hang", 0.3, live=live)
        found = await settled(router, 3)
        assert ledger.seen == 1
        assert sorted(a.cost_usd > 0 for a in found) == [False, False, True]


@pytest.mark.parametrize("live", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("kind", ["silent", "hang"])
@pytest.mark.parametrize("together", [True, False], ids=["one arm", "four arms"])
@on_uvloop
async def test_a_deployment_that_never_answers_is_left_in_time(
    tmp_path: Path, kind: str, *, live: bool, together: bool
) -> None:
    ledgers = [Ledger(lambda _: kind), *(Ledger(wait_s=0.05) for _ in range(3))]
    arms = [ledgers] if together else [[ledger] for ledger in ledgers]
    async with routed(tmp_path, arms, ", timeout_ms: 60000") as router:
        served = []
        for _ in range(10):
            calls = (ask(router, timeout_s=2.0, live=live) for _ in range(10))
            served += await asyncio.gather(*calls)
        assert sum(served) >= 99
        assert ledgers[0].seen <= 25  # what is not answered is soon not asked


@on_uvloop
async def test_a_deployment_whose_streams_stand_still_is_left_too(tmp_path: Path) -> None:
    """What was begun is lost; the next callers go elsewhere."""
    ledgers = [Ledger(lambda _: "stream", stall=2), Ledger()]
    async with routed(tmp_path, [ledgers]) as router:
        calls = (ask(router, timeout_s=1.5, live=True) for _ in range(5))
        assert not any(await asyncio.gather(*calls))
        assert all([await ask(router, timeout_s=1.5, live=True) for _ in range(20)])


@pytest.mark.parametrize("live", [False, True], ids=["whole", "stream"])
@on_uvloop
async def test_short_deadlines_of_one_tenant_refuse_no_other(tmp_path: Path, *, live: bool) -> None:
    ledger = Ledger(wait_s=0.4)
    async with routed(tmp_path, [[ledger]]) as router:
        hasty = await router.tenant("hasty")
        ended = asyncio.Event()

        async def hurry(timeout_s: float) -> None:
            while not ended.is_set():
                assert not await ask(router, timeout_s=timeout_s, live=live, metadata=hasty)

        hurrying = [asyncio.create_task(hurry(0.06 + 0.0475 * n)) for n in range(5)]
        served = []
        for _ in range(6):
            calls = (ask(router, timeout_s=5.0, live=live) for _ in range(10))
            served += await asyncio.gather(*calls)
        ended.set()
        await asyncio.gather(*hurrying)
        assert sum(served) == 60


@on_uvloop
async def test_a_limit_of_the_deployments_own_opens_its_circuit(tmp_path: Path) -> None:
    ledger = Ledger(lambda _: "stream", stall=3)
    async with routed(tmp_path, [[ledger]], ", between_bytes_ms: 100") as router:
        assert not any([await ask(router, timeout_s=5.0, live=True) for _ in range(3)])

        async def is_open() -> bool:
            return not await ask(router, live=True) and ledger.seen == 3

        await until(is_open)
        found = await settled(router, 3)
        assert {(a.why, a.output_tokens) for a in found} == {("provider_timeout", 3)}


@on_uvloop
async def test_a_first_byte_that_does_not_come_is_left_for_the_next(tmp_path: Path) -> None:
    ledgers = [Ledger(lambda _: "silent"), Ledger()]
    async with routed(tmp_path, [ledgers], ", first_byte_ms: 150") as router:
        began_s = asyncio.get_running_loop().time()
        assert await ask(router, live=True)
        assert asyncio.get_running_loop().time() - began_s < 10
        assert [ledger.seen for ledger in ledgers] == [1, 1]


@on_uvloop
async def test_a_deployment_takes_no_more_than_its_bulkhead(tmp_path: Path) -> None:
    ledgers = [Ledger(lambda _: "silent"), Ledger()]
    async with routed(tmp_path, [ledgers], ", max_in_flight: 4") as router:
        stuck = [asyncio.create_task(ask(router)) for _ in range(4)]

        async def are_stuck() -> bool:
            return ledgers[0].open == 4

        await until(are_stuck)
        assert all([await ask(router) for _ in range(20)])
        assert ledgers[0].most_open == 4
        for task in stuck:
            task.cancel()
        await asyncio.wait(stuck)


@on_uvloop
async def test_callers_are_told_when_every_deployment_is_busy(tmp_path: Path) -> None:
    ledger = Ledger(lambda _: "silent")
    async with routed(tmp_path, [[ledger]], ", max_in_flight: 1") as router:
        async with leaving(router, ledger, "silent", live=False):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await ask(router)
            assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        found = await settled(router, 1)
        assert len(found) == 1


@on_uvloop
async def test_providers_are_called_through_the_proxy_of_the_environment(tmp_path: Path) -> None:
    """The first upstream is the proxy as well; every other host here is exempt."""
    ledger = Ledger(host="api.example")
    async with routed(tmp_path, [[ledger]]) as router:
        assert await ask(router)
        assert ledger.seen == 1
