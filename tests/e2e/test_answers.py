"""A caller gets its answer, plan by plan."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress

import grpc
import pytest
from adaptive_router.v1 import chat_pb2, router_pb2
from google.rpc import error_details_pb2

from demo.world import Reply
from tests.e2e.conftest import GOOD, Router, chat, until
from tests.e2e.details import detail

WEAK = Reply("", 0.0, 100, 1)


@pytest.fixture
def plans() -> str:
    return "{ladder: [cheap, reasoning]}"


@pytest.fixture
def learns() -> bool:
    return False


async def test_an_answer_comes_with_its_receipt(router: Router, texts: Iterator[str]) -> None:
    done = await router.complete(next(texts))
    receipt = done.receipt
    assert done.answer.text == GOOD.text
    assert (receipt.plan, receipt.arm, receipt.deployment) == ("ladder", "cheap", "cheap-1")
    assert receipt.propensity == pytest.approx(1.0)
    (attempt,) = receipt.attempts
    assert attempt.outcome == router_pb2.ATTEMPT_OUTCOME_ACCEPTED
    assert receipt.cost_usd == pytest.approx(150 * 0.1 / 1e6)
    assert receipt.cache == router_pb2.CACHE_STATUS_MISS


async def test_a_weak_answer_escalates_and_both_are_charged(
    router: Router, texts: Iterator[str]
) -> None:
    router.upstreams["cheap"].find = lambda _: WEAK
    receipt = (await router.complete(next(texts))).receipt
    assert receipt.arm == "reasoning"
    assert [a.why for a in receipt.attempts] == ["empty", "passed"]
    assert receipt.cost_usd == pytest.approx((101 * 0.1 + 150 * 2.0) / 1e6)


async def test_an_ill_provider_is_failed_over_then_left_alone_then_probed(
    router: Router, texts: Iterator[str]
) -> None:
    router.upstreams["cheap"].down = True
    first = (await router.complete(next(texts))).receipt
    assert first.arm == "fallback"
    assert first.attempts[0].why == "provider_unavailable"
    await router.complete(next(texts))

    async def is_left_alone() -> bool:
        arms = [a.arm for a in (await router.complete(next(texts))).receipt.attempts]
        return arms == ["fallback"]

    await until(is_left_alone)
    router.upstreams["cheap"].down = False

    async def is_back() -> bool:
        return (await router.complete(next(texts))).receipt.arm == "cheap"

    await until(is_back)


async def test_any_arm_stands_in_when_the_fallback_is_ill_too(
    router: Router, texts: Iterator[str]
) -> None:
    router.upstreams["cheap"].down = router.upstreams["fallback"].down = True
    receipt = (await router.complete(next(texts))).receipt
    assert [a.arm for a in receipt.attempts] == ["cheap", "fallback", "reasoning"]
    assert receipt.arm == "reasoning"


async def test_a_weak_answer_is_kept_when_no_stronger_one_can_be_had(
    router: Router, texts: Iterator[str]
) -> None:
    router.upstreams["cheap"].find = lambda _: Reply("I'm sorry, but no.", 0.0, 10, 5)
    router.upstreams["reasoning"].down = router.upstreams["fallback"].down = True
    done = await router.complete(next(texts))
    assert done.answer.text == "I'm sorry, but no."
    assert done.receipt.arm == "cheap"


async def test_nobody_answers(router: Router, texts: Iterator[str]) -> None:
    for upstream in router.upstreams.values():
        upstream.down = True
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await router.complete(next(texts))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    info = detail(caught.value, error_details_pb2.ErrorInfo())
    assert info.reason == "ALL_ATTEMPTS_FAILED"
    detail(caught.value, error_details_pb2.RetryInfo())
    decision = await router.decision(info.metadata["decision_id"])
    assert {a.outcome for a in decision.receipt.attempts} == {router_pb2.ATTEMPT_OUTCOME_FAILED}


async def test_json_that_breaks_its_schema_escalates(router: Router) -> None:
    router.upstreams["cheap"].find = lambda _: Reply('{"n": "x"}', 0.0, 10, 5)
    router.upstreams["reasoning"].find = lambda _: Reply('{"n": 4}', 1.0, 10, 5)
    form = chat_pb2.ResponseFormat(
        kind=chat_pb2.ResponseFormat.KIND_JSON_SCHEMA,
        schema='{"type": "object", "properties": {"n": {"type": "integer"}}}',
    )
    asked = router_pb2.CompleteRequest(chat=chat("Count.", response_format=form))
    done = await router.stub.Complete(asked, metadata=router.metadata)
    assert done.answer.text == '{"n": 4}'
    assert done.receipt.attempts[0].why == "schema_mismatch"


async def test_a_pinned_arm_answers_alone(router: Router, texts: Iterator[str]) -> None:
    receipt = (await router.complete(next(texts), arm="reasoning")).receipt
    assert (receipt.arm, receipt.explored) == ("reasoning", False)
    router.upstreams["reasoning"].down = True
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await router.complete(next(texts), arm="reasoning")
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_limits_are_kept(router: Router, texts: Iterator[str]) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await router.complete(next(texts), max_cost_usd=1e-8)
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert detail(caught.value, error_details_pb2.ErrorInfo()).reason == "NO_ELIGIBLE_PLAN"


async def stream(
    router: Router, text: str
) -> tuple[list[str], router_pb2.StreamCompleteResponse.Done]:
    asked = router_pb2.StreamCompleteRequest(chat=chat(text))
    items = [item async for item in router.stub.StreamComplete(asked, metadata=router.metadata)]
    return [item.text_delta for item in items[:-1]], items[-1].done


async def test_a_gated_stream_shows_only_what_passed(router: Router, texts: Iterator[str]) -> None:
    router.upstreams["cheap"].find = lambda _: Reply("I'm sorry, but no.", 0.0, 10, 5)
    router.upstreams["reasoning"].find = lambda _: Reply("word " * 30, 1.0, 10, 30)
    deltas, done = await stream(router, next(texts))
    assert "".join(deltas) == "word " * 30
    assert len(deltas) > 1
    assert done.receipt.arm == "reasoning"
    assert done.output_tokens == 30


async def test_a_stream_that_is_left_is_charged_and_recorded(
    router: Router, texts: Iterator[str]
) -> None:
    router.upstreams["cheap"].find = lambda _: WEAK
    router.upstreams["reasoning"].find = lambda _: Reply("word " * 200, 1.0, 10, 4_000)
    router.upstreams["reasoning"].profile = type(router.upstreams["reasoning"].profile)(
        2, 2, first_token_ms=0, token_ms=2, failure_rate=0
    )
    call = router.stub.StreamComplete(
        router_pb2.StreamCompleteRequest(chat=chat(next(texts))), metadata=router.metadata
    )
    assert (await call.read()).text_delta
    call.cancel()

    async def was_recorded() -> bool:
        events = await router.storage.events.read("0", 100, 0)
        whys = [a.why for _, event in events for a in event.record.attempts]
        return whys == ["empty", "caller_cancelled"]

    await until(was_recorded)


async def test_idempotent_requests_are_answered_and_charged_once(
    router: Router, texts: Iterator[str]
) -> None:
    text = next(texts)
    first = await router.complete(text, idempotency_key="k1", no_cache=True)
    again = await router.complete(text, idempotency_key="k1", no_cache=True)
    assert again.receipt.decision_id == first.receipt.decision_id
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await router.complete(next(texts), idempotency_key="k1", no_cache=True)
    assert caught.value.code() is grpc.StatusCode.ALREADY_EXISTS


async def test_the_deadline_bounds_the_whole(router: Router, texts: Iterator[str]) -> None:
    slow = type(router.upstreams["cheap"].profile)(1, 1, 5_000, 0, 0)
    for upstream in router.upstreams.values():
        upstream.profile = slow
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await router.complete(next(texts), max_latency_ms=150)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_callers_own_haste_closes_no_provider(router: Router, texts: Iterator[str]) -> None:
    """Two failures open a circuit here; the hurried caller alone is sent elsewhere in the end."""
    profile = router.upstreams["cheap"].profile
    router.upstreams["cheap"].profile = type(profile)(1, 1, 200, 0, 0)
    for _ in range(3):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await router.complete(next(texts), max_latency_ms=60)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    with suppress(grpc.aio.AioRpcError):  # what is quick enough when the machine is not busy
        assert (await router.complete(next(texts), max_latency_ms=60)).receipt.arm != "cheap"
    assert (await router.complete(next(texts))).receipt.arm == "cheap"


@pytest.mark.slow
async def test_a_slow_reader_is_no_slow_upstream(router: Router, texts: Iterator[str]) -> None:
    router.upstreams["cheap"].find = lambda _: WEAK
    # More than the buffers between here and there hold, so that the router has to wait.
    router.upstreams["reasoning"].find = lambda _: Reply("word " * 200_000, 1.0, 10, 100)
    call = router.stub.StreamComplete(
        router_pb2.StreamCompleteRequest(chat=chat(next(texts))), metadata=router.metadata
    )
    began_s = asyncio.get_running_loop().time()
    items = aiter(call)
    await anext(items)
    await asyncio.sleep(1.0)
    *_, last = [item async for item in items]
    assert last.done.receipt.attempts[1].why == "passed"
    took_ms = (asyncio.get_running_loop().time() - began_s) * 1_000
    assert last.done.receipt.attempts[1].latency_ms < took_ms - 800


async def test_a_left_stream_answers_its_retry(router: Router, texts: Iterator[str]) -> None:
    """The answer was there and paid for when its caller left while it was handed out."""
    router.upstreams["cheap"].find = lambda _: Reply("word " * 200_000, 1.0, 10, 100)
    options = router_pb2.RoutingOptions(idempotency_key="k2")
    asked = router_pb2.StreamCompleteRequest(chat=chat(next(texts)), routing=options)
    call = router.stub.StreamComplete(asked, metadata=router.metadata)
    await call.read()
    call.cancel()
    retry = router_pb2.CompleteRequest(chat=asked.chat, routing=options)

    async def has_ended() -> bool:
        try:
            await router.stub.Complete(retry, metadata=router.metadata)
        except grpc.aio.AioRpcError as error:
            return detail(error, error_details_pb2.ErrorInfo()).reason != "IDEMPOTENCY_RUNNING"
        return True

    await until(has_ended)
    done = await router.stub.Complete(retry, metadata=router.metadata)
    assert len(done.answer.text) == 1_000_000
    assert len(await router.storage.events.read("0", 100, 0)) == 1


async def test_a_failed_request_frees_its_key(router: Router, texts: Iterator[str]) -> None:
    text = next(texts)
    for upstream in router.upstreams.values():
        upstream.down = True
    with pytest.raises(grpc.aio.AioRpcError):
        await router.complete(text, idempotency_key="k3")
    for upstream in router.upstreams.values():
        upstream.down = False

    async def is_answered() -> bool:
        try:
            return bool((await router.complete(text, idempotency_key="k3")).answer.text)
        except grpc.aio.AioRpcError:
            return False

    await until(is_answered)
