"""Operators are told of spend, savings, budgets, circuits, first tokens and feedback."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress

import grpc
import httpx
import pytest
from adaptive_router.v1 import router_pb2

from router.domain.tenants import TenantLimits
from tests.e2e.conftest import Router, request, until

TENANTS = 2
PAID_USD = 150 * 0.1 / 1e6
DEAREST_USD = 150 * 2.0 / 1e6
"""100 tokens in and 50 out, at the cheap arm's price and at the reasoning arm's."""


@pytest.fixture
def doors() -> str:
    return f", tenant_metrics: {TENANTS}"


@pytest.fixture
def learns() -> bool:
    return False


@pytest.fixture
def plans() -> str:
    return "{cheap: [cheap], reasoning: [reasoning]}"


async def told(router: Router) -> dict[str, float]:
    async with httpx.AsyncClient() as client:
        text = (await client.get(f"http://127.0.0.1:{router.metrics_port}/metrics")).text
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name.removeprefix("adaptive_router_"): float(value) for name, _, value in lines}


async def test_spend_and_savings_are_told(router: Router, texts: Iterator[str]) -> None:
    spender = await router.tenant("spender", TenantLimits(daily_usd=1.0, monthly_usd=5.0))
    text = next(texts)
    for _ in range(2):  # the second comes out of the cache
        asked = request(text, max_latency_ms=60_000)
        await router.stub.Complete(asked, metadata=spender)
    pinned = request(next(texts), arm="cheap")
    await router.stub.Complete(pinned, metadata=spender)
    found = await told(router)
    paid_usd = found["answered_cost_usd_total"]
    assert found['tenant_cost_usd_total{tenant="spender"}'] == pytest.approx(paid_usd)
    assert found["dearest_cost_usd_total"] == pytest.approx(2 * DEAREST_USD + PAID_USD)
    assert found['tenant_budget_left_usd{period="day",tenant="spender"}'] == pytest.approx(
        1.0 - paid_usd, abs=1e-9
    )
    assert found['tenant_budget_left_usd{period="month",tenant="spender"}'] < 5.0


async def test_no_more_tenants_are_named_than_was_asked_for(
    router: Router, texts: Iterator[str]
) -> None:
    for number in range(TENANTS + 3):
        metadata = await router.tenant(f"one-of-many-{number}")
        await router.stub.Complete(request(next(texts)), metadata=metadata)
    found = await told(router)
    named = [name for name in found if name.startswith("tenant_cost_usd_total")]
    assert len(named) == TENANTS + 1
    assert 'tenant_cost_usd_total{tenant="_other"}' in named


async def test_the_first_token_of_a_stream_is_timed(router: Router, texts: Iterator[str]) -> None:
    chat = request(next(texts), arm="cheap")
    asked = router_pb2.StreamCompleteRequest(chat=chat.chat, routing=chat.routing)
    async for _ in router.stub.StreamComplete(asked, metadata=router.metadata):
        pass
    found = await told(router)
    assert found['first_token_seconds_count{deployment="cheap-1"}'] == 1
    called = 'gen_ai_operation_name="chat",gen_ai_provider_name="openai"'
    model = f'{called},gen_ai_request_model="cheap"'
    tokens = f'gen_ai_client_token_usage_sum{{{model},gen_ai_token_type="input"}}'
    assert found[tokens] == 100
    assert found[f'gen_ai_client_operation_duration_seconds_count{{error_type="",{model}}}'] == 1


async def test_an_open_circuit_is_told(router: Router, texts: Iterator[str]) -> None:
    router.upstreams["cheap"].down = True

    async def is_open() -> bool:
        with suppress(grpc.aio.AioRpcError):
            await router.complete(next(texts), arm="cheap")
        return (await told(router)).get('circuit_state{deployment="cheap-1"}') == 2

    await until(is_open)
    found = await told(router)
    assert found['circuit_state{deployment="reasoning-1"}'] == 0
    queues = {name for name in found if name.startswith("queue_depth")}
    assert queues == {f'queue_depth{{queue="{q}"}}' for q in ("embedding", "checks", "conversion")}


async def test_the_last_feedback_and_the_build_are_told(
    router: Router, texts: Iterator[str]
) -> None:
    assert (await told(router))["last_feedback_timestamp_seconds"] == 0
    began_s = time.time()
    done = await router.complete(next(texts))
    await router.feedback(done.receipt.decision_id, 0.5)
    found = await told(router)
    assert began_s <= found["last_feedback_timestamp_seconds"] <= time.time()
    assert any(name.startswith("build_info{") for name in found)
    assert found["process_resident_memory_bytes"] > 0
