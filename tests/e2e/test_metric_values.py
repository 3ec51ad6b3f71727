"""Metrics hold what a ledger of known requests comes to, by hand, at both doors."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from adaptive_router.v1 import router_pb2
from prometheus_client.parser import text_string_to_metric_families

from router.domain.tenants import Tenant, TenantLimits, hash_key
from tests.e2e.conftest import KEY, Router, chat, request, until
from tests.e2e.wire import Asked, Json, Reply, Wire, events, on_uvloop, routed, whole

INPUT, CACHED, OUTPUT, REASONING = 100, 30, 50, 20
USAGE = {
    "prompt_tokens": INPUT,
    "completion_tokens": OUTPUT,
    "prompt_tokens_details": {"cached_tokens": CACHED},
    "completion_tokens_details": {"reasoning_tokens": REASONING},
}
CHEAP_PRICE = "input_usd_per_mtok: 1.0, cached_input_usd_per_mtok: 0.1, output_usd_per_mtok: 10.0"
CHEAP_USD = (70 * 1.0 + 30 * 0.1 + 50 * 10.0) / 1e6
STRONG_PRICE = "input_usd_per_mtok: 2.0, output_usd_per_mtok: 20.0"
STRONG_USD = (100 * 2.0 + 50 * 20.0) / 1e6
PLANS = "plans: {cheap: [cheap], strong: [strong]}"
TENANTS = 4
TOLD = f", http_port: 0, tenant_metrics: {TENANTS}"
Labels = frozenset[tuple[str, str]]
Told = Mapping[tuple[str, Labels], float]


def answers(asked: Asked) -> Reply:
    if not asked.streams:
        message = {"role": "assistant", "content": "Forty-two."}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return whole({"id": "x", "model": "m-2", "choices": [choice], "usage": USAGE})
    said = {"choices": [{"index": 0, "delta": {"content": "Forty-two."}, "finish_reason": None}]}
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    return events(said, end, {"choices": [], "usage": USAGE}, done=True)


def ill(_: Asked) -> Reply:
    return whole({"error": {"message": "no"}}, 500)


def two_arms() -> dict[str, list[Wire]]:
    cheap = Wire(answers, price=CHEAP_PRICE, model="small")
    return {"cheap": [cheap], "strong": [Wire(answers, price=STRONG_PRICE, model="large")]}


async def read(router: Router, port: int = 0) -> dict[tuple[str, Labels], float]:
    async with httpx.AsyncClient() as client:
        url = f"http://127.0.0.1:{port or router.metrics_port}/metrics"
        text = (await client.get(url)).text
    return {
        (sample.name.removeprefix("adaptive_router_"), frozenset(sample.labels.items())): (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def of(told: Told, name: str, **labels: str) -> float:
    """Sums the samples with these labels; others are ignored."""
    wanted = set(labels.items())
    return sum(value for (each, had), value in told.items() if each == name and wanted <= had)


async def over_http(router: Router, path: str, key: str = KEY, **body: Any) -> httpx.Response:
    async with httpx.AsyncClient(timeout=60) as client:
        headers = {"authorization": f"Bearer {key}"}
        url = f"http://127.0.0.1:{router.http_port}{path}"
        return await client.post(url, json=body, headers=headers)


def asked(text: str, model: str = "cheap", **more: Any) -> Json:
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}


async def live(router: Router, text: str, arm: str) -> None:
    told = request(text, arm=arm)
    streamed = router_pb2.StreamCompleteRequest(chat=told.chat, routing=told.routing)
    async for _ in router.stub.StreamComplete(streamed, metadata=router.metadata):
        pass


@on_uvloop
async def test_tokens_money_and_calls_are_those_of_the_ledger(tmp_path: Path) -> None:
    arms = two_arms()
    async with routed(tmp_path, arms, sections=PLANS, server=TOLD) as router:
        await router.complete("one", arm="cheap")  # gRPC: whole, streamed, two of strong
        await live(router, "two", "cheap")
        await router.complete("three", arm="strong")
        await live(router, "four", "strong")
        for body in (asked("five"), asked("six", stream=True), asked("seven", "strong")):
            assert (await over_http(router, "/v1/chat/completions", **body)).is_success
        message = asked("eight", max_tokens=64)
        assert (await over_http(router, "/v1/messages", **message)).is_success
        assert (await over_http(router, "/v1/responses", model="cheap", input="9")).is_success
        assert (await over_http(router, "/v1/chat/completions", "no", **asked("x"))).is_error
        with pytest.raises(grpc.aio.AioRpcError):
            await router.complete("ten", arm="none")
        told = await read(router)
    cheap, strong = 6, 3
    assert [len(wires[0].asked) for wires in arms.values()] == [cheap, strong]
    for arm, calls, usd in (("cheap", cheap, CHEAP_USD), ("strong", strong, STRONG_USD)):
        assert of(told, "attempts_total", arm=arm, outcome="accepted", why="passed") == calls
        assert of(told, "attempt_seconds_count", deployment=f"{arm}0") == calls
        assert of(told, "cost_usd_total", arm=arm) == pytest.approx(calls * usd)
        kinds = {"input": 70, "cached": 30, "written": 0, "output": 30, "reasoning": 20}
        for kind, tokens in kinds.items():
            assert of(told, "tokens_total", arm=arm, kind=kind) == calls * tokens, kind
        model = {"gen_ai_request_model": arms[arm][0].model, "gen_ai_operation_name": "chat"}
        model["gen_ai_provider_name"] = "openai"
        usage = "gen_ai_client_token_usage"
        assert of(told, f"{usage}_sum", gen_ai_token_type="input", **model) == calls * INPUT
        assert of(told, f"{usage}_sum", gen_ai_token_type="output", **model) == calls * OUTPUT
        duration = "gen_ai_client_operation_duration_seconds"
        assert of(told, f"{duration}_count", error_type="", **model) == calls
        assert 0 < of(told, f"{duration}_sum", **model) < 60
    assert of(told, "first_token_seconds_count", deployment="cheap0") == 2
    assert of(told, "first_token_seconds_count", deployment="strong0") == 1
    paid_usd = cheap * CHEAP_USD + strong * STRONG_USD
    assert of(told, "tenant_cost_usd_total", tenant="test") == pytest.approx(paid_usd)
    assert of(told, "answered_cost_usd_total") == pytest.approx(paid_usd)
    # Pinned to an arm, no other was permitted; its input would have been read anew.
    dearest_usd = cheap * (100 * 1.0 + 50 * 10.0) / 1e6 + strong * STRONG_USD
    assert of(told, "dearest_cost_usd_total") == pytest.approx(dearest_usd)
    served = {"Complete": 2, "StreamComplete": 2, "ChatCompletions": 3}
    for method, calls in (served | {"Messages": 1, "Responses": 1}).items():
        assert of(told, "request_seconds_count", method=method, code="OK") == calls, method
    refused = {"method": "ChatCompletions", "code": "UNAUTHENTICATED"}
    assert of(told, "request_seconds_count", **refused) == 1
    assert of(told, "request_seconds_count", method="Complete", code="INVALID_REQUEST") == 1


@on_uvloop
async def test_savings_count_every_attempt_and_answers_out_of_the_cache(tmp_path: Path) -> None:
    arms = two_arms()
    arms["cheap"].insert(0, Wire(ill, price=STRONG_PRICE))
    async with routed(tmp_path, arms, sections=PLANS, server=TOLD) as router:
        first = await over_http(router, "/v1/chat/completions", **asked("one", "auto"))
        assert first.headers["x-router-cost-usd"]
        for _ in range(2):
            await router.complete("two")
        told = await read(router)
        decided = await router.stub.Decide(
            router_pb2.DecideRequest(chat=chat("three")), metadata=router.metadata
        )
        settled = router_pb2.ReportOutcomeRequest(
            decision_id=decided.receipt.decision_id,
            latency_ms=300,
            input_tokens=1_000,
            output_tokens=100,
        )
        charged = await router.stub.ReportOutcome(settled, metadata=router.metadata)
        after = await read(router)
    assert of(told, "cache_total", status="miss") == 2
    assert of(told, "cache_total", status="exact") == 1
    called = len(arms["cheap"][1].asked) * CHEAP_USD + len(arms["strong"][0].asked) * STRONG_USD
    assert of(told, "answered_cost_usd_total") == pytest.approx(called)
    assert of(told, "dearest_cost_usd_total") == pytest.approx(3 * STRONG_USD)
    failed = len(arms["cheap"][0].asked)
    where = {"deployment": "cheap0", "outcome": "failed", "why": "provider_unavailable"}
    assert of(told, "attempts_total", **where) == failed
    kind = {"error_type": "provider_unavailable"}
    assert of(told, "gen_ai_client_operation_duration_seconds_count", **kind) == failed
    assert of(told, "decisions_total") == 2
    # What a caller of Decide pays is spend, and no answer of the router's.
    grown = {name: of(after, name) - of(told, name) for name in ("cost_usd_total",)}
    assert grown["cost_usd_total"] == pytest.approx(charged.cost_usd)
    assert charged.cost_usd > 0
    assert of(after, "answered_cost_usd_total") == of(told, "answered_cost_usd_total")
    assert of(after, "decisions_total") == 3


@on_uvloop
async def test_budgets_and_feedback_are_told_at_both_doors(tmp_path: Path) -> None:
    async with routed(tmp_path, two_arms(), sections=PLANS, server=TOLD) as router:
        limits = TenantLimits(daily_usd=1.0, monthly_usd=2.0)
        await router.storage.tenants.create(Tenant("spender", limits), hash_key("ar_s"))
        done = await over_http(router, "/v1/chat/completions", "ar_s", **asked("one"))
        left = {"day": 1.0 - CHEAP_USD, "month": 2.0 - CHEAP_USD}

        async def is_told() -> bool:
            told = await read(router)
            found = {
                p: of(told, "tenant_budget_left_usd", tenant="spender", period=p) for p in left
            }
            return found == pytest.approx(left)

        await until(is_told)
        before = await read(router)
        said = {"decision_id": done.headers["x-router-decision-id"], "quality": 0.5}
        assert (await over_http(router, "/v1/feedback", "ar_s", **said)).is_success
        told = await read(router)
    assert of(before, "feedback_total") == of(before, "last_feedback_timestamp_seconds") == 0
    assert of(told, "feedback_total", kind="explicit") == 1
    assert of(told, "last_feedback_timestamp_seconds") > 1.7e9


WEIGHED = f"{PLANS}\npolicy: {{weights: {{quality: 0.5, cost: 0, latency: 0, failure: 0}}}}"


@on_uvloop
async def test_quality_and_reward_are_those_of_the_feedback(tmp_path: Path) -> None:
    qualities = (0.25, 0.75, 1.0)
    arms = two_arms()
    async with routed(tmp_path, arms, sections=WEIGHED, learns=True) as router:
        plans = list[str]()
        for number, quality in enumerate(qualities):
            done = await router.complete(f"number {number}")
            plans.append(done.receipt.plan)
            await router.feedback(done.receipt.decision_id, quality)
        wanted = {
            plan: sum(q for p, q in zip(plans, qualities, strict=True) if p == plan)
            for plan in plans
        }

        async def are_learned() -> bool:
            told = await read(router, router.learner_metrics_port)
            return of(told, "quality_count") == len(qualities)

        await until(are_learned)
        told = await read(router, router.learner_metrics_port)
    for plan, quality in wanted.items():
        assert of(told, "quality_sum", plan=plan) == pytest.approx(quality)
        assert of(told, "reward_count", plan=plan) == plans.count(plan)
        assert of(told, "reward_sum", plan=plan) == pytest.approx(0.5 * quality)
    assert of(told, "last_feedback_timestamp_seconds") > 1.7e9


class Slow(Wire):
    """Answers when it is let go."""

    def __init__(self, **more: Any) -> None:
        super().__init__(answers, **more)
        self.go = asyncio.Event()

    async def _write(self, *given: Any) -> None:
        await self.go.wait()
        await super()._write(*given)


@on_uvloop
async def test_calls_under_way_are_those_of_both_doors(tmp_path: Path) -> None:
    slow = Slow()
    async with routed(tmp_path, {"cheap": [slow]}, server=TOLD) as router:
        waiting = [
            asyncio.create_task(router.complete("one")),
            asyncio.create_task(over_http(router, "/v1/chat/completions", **asked("two"))),
        ]

        async def are(number: int) -> bool:
            return of(await read(router), "in_flight_calls") == number

        await until(lambda: are(2))
        slow.go.set()
        await asyncio.gather(*waiting)
        await until(lambda: are(0))
        told = await read(router)
    assert of(told, "loop_lag_seconds_count") > 0
    queues = {dict(labels)["queue"] for name, labels in told if name == "queue_depth"}
    assert queues == {"embedding", "checks", "conversion"}
    assert of(told, "build_info") == 1
    assert of(told, "process_resident_memory_bytes") > 1e7
    assert of(told, "circuit_state", deployment="cheap0") == 0


ODD = 'odd"name}\n\\{x="y"} 7'


@on_uvloop
async def test_what_callers_write_never_becomes_a_series(tmp_path: Path) -> None:
    one_plan = {"cheap": two_arms()["cheap"]}  # so that chance decides nothing
    async with routed(tmp_path, one_plan, sections="", server=TOLD) as router:
        for number in range(TENANTS):
            await router.tenant(f"known-{number}")
            await over_http(router, "/v1/chat/completions", f"ar_known-{number}", **asked("hi"))
        await odd_calls(router, f"{ODD}first")
        before = await read(router)
        for number in range(12):
            await odd_calls(router, f"{ODD}{number}")
        after = await read(router)
    grown = set(after) - set(before)
    assert not grown
    values = {text for _, labels in after for _, text in labels}
    assert not any("odd" in text for text in values)
    tenants = {dict(labels)["tenant"] for name, labels in after if name == "tenant_cost_usd_total"}
    assert tenants == {*(f"known-{number}" for number in range(TENANTS)), "_other"}


async def odd_calls(router: Router, odd: str) -> None:
    """Say the odd word wherever a caller may say one."""
    key = f"ar_{odd.encode().hex()}"
    await router.storage.tenants.create(Tenant(odd), hash_key(key))
    assert (await over_http(router, "/v1/chat/completions", key, **asked("hi"))).is_success
    metadata = {"task": odd, "session_id": odd, "user_id": odd}
    for path, body in (
        ("/v1/chat/completions", asked("hi", odd)),
        ("/v1/chat/completions", asked("hi", user=odd, metadata=metadata)),
        ("/v1/messages", asked("hi", odd, max_tokens=9)),
        ("/v1/responses", {"model": odd, "input": "hi"}),
        ("/v1/feedback", {"decision_id": odd, "quality": 1}),
        ("/v1/decisions", asked("hi", odd)),
        (f"/{odd.encode().hex()}", {}),
        (f"/v1/decisions/{odd.encode().hex()}/outcome", {"failure": odd}),
    ):
        await over_http(router, path, **body)
    calls = (
        router.complete("hi", arm=odd),
        router.complete("hi", session_id=odd, no_cache=True),
        router.complete("hi", task=odd, no_cache=True),
        router.feedback(odd, 1.0),
        router.decision(odd),
    )
    for call in calls:
        with suppress(grpc.aio.AioRpcError, ValueError):
            await call
    decided = await router.stub.Decide(
        router_pb2.DecideRequest(chat=chat("hi")), metadata=router.metadata
    )
    for failure in (odd, "other"):
        told = router_pb2.ReportOutcomeRequest(
            decision_id=decided.receipt.decision_id, failure=failure
        )
        with suppress(grpc.aio.AioRpcError):
            await router.stub.ReportOutcome(told, metadata=router.metadata)
