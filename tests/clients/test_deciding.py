"""A block that a decision was made for ends with one report of what came of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest
from adaptive_router.v1 import router_pb2
from adaptive_router_client import (
    AsyncClient,
    Client,
    DecisionUnderWay,
    NothingReported,
    Outcome,
    Routing,
    errors,
    failure_of,
)

from router.domain import errors as told
from tests.clients.scripted import PATIENCE_S, Script, serving
from tests.e2e.conftest import KEY, Router

DECIDED = router_pb2.DecideResponse(
    receipt=router_pb2.Receipt(decision_id="d1", arm="cheap", deployment="cheap-1", model="m"),
    rungs=["cheap"],
)
RECORDED = router_pb2.ReportOutcomeResponse(cost_usd=0.5)
Body = Callable[[DecisionUnderWay], None]


def in_a_thread(port: int, body: Body) -> DecisionUnderWay:
    with Client(f"127.0.0.1:{port}") as client, client.decide("hi") as decision:
        body(decision)
    return decision


async def on_a_loop(port: int, body: Body) -> DecisionUnderWay:
    async with AsyncClient(f"127.0.0.1:{port}") as client, client.decide("hi") as decision:
        body(decision)
    return decision


@pytest.fixture(params=["threads", "asyncio"])
def decide(request: pytest.FixtureRequest) -> Callable[[int, Body], Any]:
    if request.param == "asyncio":
        return on_a_loop
    return lambda port, body: asyncio.to_thread(in_a_thread, port, body)


def reported(script: Script) -> router_pb2.ReportOutcomeRequest:
    (asked,) = script.asked[1:]
    return asked


async def test_a_success_is_reported_with_its_tokens_and_latency(decide: Any) -> None:
    async with serving(DECIDED, RECORDED) as script:
        decision = await decide(script.port, lambda d: d.succeeded(input_tokens=7, output_tokens=3))
        said = reported(script)
        assert (said.decision_id, said.failure) == ("d1", "")
        assert (said.input_tokens, said.output_tokens) == (7, 3)
        assert 0 < said.latency_ms < PATIENCE_S * 1_000
        assert (decision.model, decision.rungs) == ("m", ("cheap",))
        assert decision.recorded.cost_usd == 0.5


async def test_a_decision_takes_no_key() -> None:
    async with serving(DECIDED, RECORDED) as script:
        routing = Routing(idempotency_key="k", task="t")
        async with (
            AsyncClient(f"127.0.0.1:{script.port}") as client,
            client.decide("hi", routing) as decision,
        ):
            decision.cancel()
        assert script.asked[0].routing == router_pb2.RoutingOptions(task="t")


async def test_the_first_word_counts(decide: Any) -> None:
    def body(decision: DecisionUnderWay) -> None:
        decision.succeeded(input_tokens=7, output_tokens=3, latency_ms=12)
        raise KeyError("after the answer")

    async with serving(DECIDED, RECORDED) as script:
        with pytest.raises(KeyError):
            await decide(script.port, body)
        assert (reported(script).failure, reported(script).latency_ms) == ("", 12)


def answered(status: int) -> httpx.HTTPStatusError:
    request = httpx.Request("POST", "http://127.0.0.1/")
    return httpx.HTTPStatusError("x", request=request, response=httpx.Response(status))


FAILURES = [
    (TimeoutError(), "timeout"),
    (httpx.ReadTimeout("x"), "timeout"),
    (httpx.ConnectTimeout("x"), "timeout"),
    (answered(408), "timeout"),
    (answered(504), "timeout"),
    (answered(429), "rate_limited"),
    (answered(500), "unavailable"),
    (answered(529), "unavailable"),
    (ConnectionResetError(), "unavailable"),
    (httpx.ConnectError("x"), "unavailable"),
    (httpx.ReadError("x"), "unavailable"),
    (httpx.RemoteProtocolError("x"), "unavailable"),
    (answered(400), "refused"),
    (answered(401), "refused"),
    (json.JSONDecodeError("x", "", 0), "malformed"),
    (UnicodeDecodeError("utf-8", b"", 0, 1, "x"), "malformed"),
    (KeyboardInterrupt(), "cancelled"),
    (asyncio.CancelledError(), "cancelled"),
    (KeyError("x"), "other"),
    (FileNotFoundError("x"), "other"),
]


@pytest.mark.parametrize(
    ("error", "failure"), FAILURES, ids=[f"{type(e).__name__}-{f}" for e, f in FAILURES]
)
def test_exceptions_of_models_clients_are_failures(error: BaseException, failure: str) -> None:
    assert failure_of(error) == failure


@pytest.mark.parametrize("error", [TimeoutError("x"), answered(429), KeyError("x")])
async def test_an_exception_is_reported_and_goes_on(decide: Any, error: Exception) -> None:
    def body(_: DecisionUnderWay) -> None:
        raise error

    async with serving(DECIDED, RECORDED) as script:
        with pytest.raises(type(error)) as raised:
            await decide(script.port, body)
        assert str(raised.value) == str(error)
        assert reported(script).failure == failure_of(error)


async def test_an_interrupt_is_reported(decide: Any) -> None:
    def body(_: DecisionUnderWay) -> None:
        raise asyncio.CancelledError

    async with serving(DECIDED, RECORDED) as script:
        with pytest.raises(asyncio.CancelledError):
            await decide(script.port, body)
        assert reported(script).failure == "cancelled"


async def test_silence_is_reported_as_cancelled_and_raised(decide: Any) -> None:
    async with serving(DECIDED, RECORDED) as script:
        with pytest.raises(NothingReported):
            await decide(script.port, lambda _: None)
        assert reported(script).failure == "cancelled"


async def test_a_detached_decision_is_reported_by_its_caller(decide: Any) -> None:
    async with serving(DECIDED, RECORDED) as script:
        decision = await decide(script.port, DecisionUnderWay.detach)
        assert script.asked[1:] == []
        async with AsyncClient(f"127.0.0.1:{script.port}") as client:
            await client.report_outcome(decision, Outcome(9.0, 1, 2))
        assert reported(script) == router_pb2.ReportOutcomeRequest(
            decision_id="d1", latency_ms=9, input_tokens=1, output_tokens=2
        )


async def test_a_report_that_is_refused_does_not_take_the_answer(
    decide: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(DECIDED, told.OutcomeConflict("settled")) as script:
        decision = await decide(script.port, lambda d: d.succeeded(input_tokens=1, output_tokens=1))
        assert decision.recorded is None
        assert "OUTCOME_CONFLICT" in caplog.text


async def test_a_decision_that_fails_runs_no_block(decide: Any) -> None:
    async with serving(told.NoEligiblePlan("none")) as script:
        with pytest.raises(errors.NoEligiblePlan):
            await decide(script.port, lambda _: pytest.fail("it ran"))
        assert len(script.asked) == 1


async def test_a_task_that_is_cancelled_twice_is_reported() -> None:
    """The report is a task of the client's: `close` waits for it."""
    async with serving(DECIDED, RECORDED) as script:
        client, began = AsyncClient(f"127.0.0.1:{script.port}"), asyncio.Event()

        async def work() -> None:
            async with client.decide("hi"):
                began.set()
                await asyncio.sleep(PATIENCE_S)

        task = asyncio.create_task(work())
        await began.wait()
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await client.close()
        assert reported(script).failure == "cancelled"


@pytest.fixture
def learns() -> bool:
    return False


@dataclass(frozen=True)
class Charge:
    said: Outcome
    is_charged: bool


SUCCESS = Outcome(latency_ms=80.0, input_tokens=1_000, output_tokens=100)


@pytest.mark.parametrize(
    "charge",
    [
        Charge(SUCCESS, is_charged=True),
        Charge(replace(SUCCESS, failure="malformed"), is_charged=True),
        Charge(Outcome(failure="timeout"), is_charged=False),
        Charge(Outcome(failure="cancelled"), is_charged=False),
    ],
    ids=["success", "paid failure", "timeout", "cancelled"],
)
async def test_a_router_takes_the_report_once(router: Router, charge: Charge) -> None:
    async with AsyncClient(f"127.0.0.1:{router.port}", key=KEY) as client:
        async with client.decide("Name three primes.") as decision:
            decision.detach()
        first = await client.report_outcome(decision, charge.said)
        assert (first.cost_usd > 0) == charge.is_charged
        again = await client.report_outcome(decision, charge.said)
        assert (again.already_recorded, again.cost_usd) == (True, first.cost_usd)
        kept = await client.decision(decision)
        (attempt,) = kept.receipt.attempts
        assert kept.settled
        assert attempt.why == (charge.said.failure or "reported")
