"""Calls are sent again where that is safe, wait as they are told, and end at their deadline."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
import pytest_asyncio
from adaptive_router.v1 import router_pb2
from adaptive_router_client import NEVER, AsyncClient, Client, Retry, Routing, Stream, errors

from router.domain import errors as told
from tests.clients.scripted import PATIENCE_S, Either, Plain, answer, done, serving, text_of

RUNNING = told.IdempotencyRunning("wait", retry_after_ms=100)
PENDING = told.DecisionPending("wait", retry_after_ms=100)
OVERLOADED = told.Overloaded("busy", retry_after_ms=1_500)
QUOTA = told.QuotaExceeded("much", quota="q", subject="t", retry_after_ms=2_000)
NO_USE = told.QuotaExceeded("much", quota="q", subject="t", retry_after_ms=None)
STOPPING = told.ShuttingDown("stops", retry_after_ms=100)
STORE = told.StorageUnavailable("away", retry_after_ms=100)
FAILED = told.AllAttemptsFailed("none", retry_after_ms=100)
BROKEN = grpc.StatusCode.UNAVAILABLE
UNPAID = (OVERLOADED, QUOTA)
MAYBE_PAID = (STOPPING, STORE, FAILED, BROKEN)
UNKEYED = Routing(idempotency_key="")

Made = Callable[..., Either]


def named(case: Any) -> str:
    return case.reason if isinstance(case, told.RouterError) else getattr(case, "name", str(case))


@pytest_asyncio.fixture(params=["threads", "asyncio"])
async def either(request: pytest.FixtureRequest) -> AsyncIterator[Made]:
    made: list[Either] = []

    def make(port: int, **settings: Any) -> Either:
        made.append(Either(request.param, port, **settings))
        return made[-1]

    yield make
    for one in made:
        await one.close()


@pytest.mark.parametrize("refusal", [*UNPAID, *MAYBE_PAID, RUNNING], ids=named)
async def test_a_call_with_a_key_is_sent_again_with_the_same_key(
    either: Made, refusal: Any
) -> None:
    async with serving(refusal, answer()) as script:
        assert (await either(script.port).ask("complete", "hi")).text == "yes"
        first, second = script.asked
        assert first.routing.idempotency_key
        assert first == second


@pytest.mark.parametrize("refusal", MAYBE_PAID, ids=named)
async def test_what_may_have_been_paid_is_not_sent_again_without_a_key(
    either: Made, refusal: Any
) -> None:
    async with serving(refusal, answer()) as script:
        with pytest.raises(errors.RouterError):
            await either(script.port).ask("complete", "hi", UNKEYED)
        assert len(script.asked) == 1


@pytest.mark.parametrize("refusal", UNPAID, ids=named)
async def test_what_was_not_begun_is_sent_again_without_a_key(either: Made, refusal: Any) -> None:
    async with serving(refusal, answer()) as script:
        client = either(script.port)
        assert (await client.ask("complete", "hi", UNKEYED)).text == "yes"
        assert [asked.routing.idempotency_key for asked in script.asked] == ["", ""]
        named_s = refusal.retry_after_ms / 1_000
        assert client.waits == [pytest.approx(named_s, rel=0.21)]
        assert client.waits[0] >= named_s


REPEATABLE = {
    "feedback": router_pb2.FeedbackResponse(decisions=1),
    "decision": router_pb2.GetDecisionResponse(settled=True),
}


@pytest.mark.parametrize("refusal", [PENDING, STORE, STOPPING, BROKEN, OVERLOADED], ids=named)
@pytest.mark.parametrize("name", ["feedback", "decision"])
async def test_what_is_recorded_once_is_sent_until_it_is(
    either: Made, refusal: Any, name: str
) -> None:
    async with serving(refusal, refusal, REPEATABLE[name]) as script:
        await either(script.port).ask(name, "d1")
        assert len(script.asked) == 3
        assert script.asked[0] == script.asked[2]


@pytest.mark.parametrize(
    "refusal",
    [
        NO_USE,
        told.DecisionNotFound("x"),
        told.FeedbackConflict("x"),
        told.InvalidRequest(told.FieldViolation("quality", "in [0, 1]")),
        told.Unauthenticated("x"),
        told.RouterError("x"),
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
    ],
    ids=named,
)
async def test_what_no_waiting_mends_is_not_sent_again(either: Made, refusal: Any) -> None:
    async with serving(refusal) as script:
        with pytest.raises(errors.RouterError) as raised:
            await either(script.port).ask("feedback", "d1")
        assert len(script.asked) == 1
        assert raised.value.reason == named(refusal)


async def test_it_is_sent_five_times_and_waits_longer_each_time(either: Made) -> None:
    async with serving(BROKEN) as script:
        client = either(script.port)
        with pytest.raises(errors.Unavailable):
            await client.ask("complete", "hi")
        assert len(script.asked) == 5
        for waited_s, most_s in zip(client.waits, (0.5, 1, 2, 4), strict=True):
            assert most_s / 2 <= waited_s <= most_s


async def test_being_under_way_does_not_count_as_a_try(either: Made) -> None:
    async with serving(*[RUNNING] * 9, answer()) as script:
        assert (await either(script.port).ask("complete", "hi")).text == "yes"
        assert len(script.asked) == 10


async def test_never_is_never(either: Made) -> None:
    async with serving(RUNNING, answer()) as script:
        with pytest.raises(errors.IdempotencyRunning):
            await either(script.port, retry=NEVER).ask("complete", "hi")
        assert len(script.asked) == 1


async def test_a_wait_that_would_pass_the_deadline_is_not_begun(either: Made) -> None:
    async with serving(QUOTA, answer()) as script:
        client = either(script.port)
        with pytest.raises(errors.QuotaExceeded) as raised:
            await client.ask("complete", "hi", timeout_s=1.9)
        assert raised.value.retry_after_s == 2
        assert client.waits == []


async def test_the_deadline_is_one_for_all_times_it_is_sent(either: Made) -> None:
    """The server answers none of them."""
    async with serving([None]) as script:
        client = either(script.port, retry=Retry(calls=9))
        began_s = asyncio.get_running_loop().time()
        with pytest.raises(errors.DeadlineExceeded) as raised:
            await client.texts("hi", timeout_s=0.5)
        assert asyncio.get_running_loop().time() - began_s < 5
        assert len(script.asked) == 1
        assert raised.value.idempotency_key == script.asked[0].routing.idempotency_key


@pytest.mark.parametrize("refusal", [OVERLOADED, STOPPING, BROKEN], ids=named)
async def test_a_stream_is_begun_again_before_its_first_delta(either: Made, refusal: Any) -> None:
    async with serving(refusal, [text_of("a"), text_of("b"), done()]) as script:
        texts, whole = await either(script.port).texts("hi")
        assert (texts, whole.text, whole.decision_id) == (["a", "b"], "ab", "d1")
        assert script.asked[0] == script.asked[1]


async def test_a_stream_that_has_begun_is_never_begun_again(either: Made) -> None:
    async with serving([text_of("a"), STOPPING]) as script:
        with pytest.raises(errors.ShuttingDown):
            await either(script.port).texts("hi")
        assert len(script.asked) == 1


async def test_another_thread_may_end_a_stream() -> None:
    def read(client: Client, begun: threading.Event, streams: list[Stream]) -> str:
        with client.stream("hi") as stream:
            streams.append(stream)
            assert next(stream.texts) == "a"
            begun.set()
            with pytest.raises(errors.RouterError) as raised:
                list(stream.texts)
            return raised.value.reason

    async with serving([text_of("a"), None]) as script:
        begun, streams = threading.Event(), list[Stream]()
        with Client(f"127.0.0.1:{script.port}") as client:
            reader = asyncio.create_task(asyncio.to_thread(read, client, begun, streams))
            assert await asyncio.to_thread(begun.wait, PATIENCE_S)
            streams[0].close()
            async with asyncio.timeout(PATIENCE_S / 2):
                assert await reader == "CANCELLED"
                await script.left.wait()
        assert len(script.asked) == 1


async def test_a_stream_without_its_end_has_failed(either: Made) -> None:
    async with serving([text_of("a")]) as script:
        with pytest.raises(errors.StreamBroken):
            await either(script.port).texts("hi")


async def test_a_port_that_is_closed_for_now_is_tried_again_for_any_call(either: Made) -> None:
    """Nothing was sent, so that even what has no key is safe."""
    with socket.socket() as kept:
        kept.bind(("127.0.0.1", 0))
        port = kept.getsockname()[1]
    client = either(port, options=[("grpc.initial_reconnect_backoff_ms", 100)])
    with pytest.raises(errors.Unreachable):
        await client.ask("complete", "hi", UNKEYED)
    assert len(client.waits) == 4


@pytest.mark.parametrize(
    ("text", "is_unsent"),
    [
        ("failed to connect to all addresses; last error: refused", True),
        ("DNS resolution failed for nowhere:1", True),
        ("errors resolving nowhere:1: [...]", True),
        ("Socket closed", False),
        ("GOAWAY received", False),
        ("recvmsg: failed to connect to all addresses", False),
    ],
)
async def test_only_known_words_of_grpc_say_that_nothing_was_sent(
    either: Made, *, text: str, is_unsent: bool
) -> None:
    async with serving(Plain(text)) as script:
        with pytest.raises(errors.Unavailable) as raised:
            await either(script.port, retry=NEVER).ask("complete", "hi")
        assert isinstance(raised.value, errors.Unreachable) == is_unsent


async def test_every_sending_has_the_key_and_what_the_caller_adds(either: Made) -> None:
    seen = iter(("first", "second"))
    async with serving(OVERLOADED, answer()) as script:
        client = either(script.port, more=lambda: [("traceparent", next(seen))])
        await client.ask("complete", "hi")
        assert [told["traceparent"] for told in script.metadata] == ["first", "second"]
        assert {told["authorization"] for told in script.metadata} == {"Bearer ar_x"}
        assert "adaptive-router-client/" in script.metadata[0]["user-agent"]


def test_a_key_that_gRPC_would_print_is_refused_unseen() -> None:  # noqa: N802 - its name
    with pytest.raises(ValueError, match="key") as raised:
        Either("threads", 1).client.__class__("127.0.0.1:1", key="secret\n")
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("target", ["", "http://127.0.0.1:8480", "https://router", " 127.0.0.1:1"])
def test_an_address_that_grpc_would_look_up_in_vain_is_refused_at_once(target: str) -> None:
    for kind in (Client, AsyncClient):
        with pytest.raises(ValueError, match="target: write HOST:PORT"):
            kind(target)


@pytest.mark.parametrize("target", ["dns:///router:8480", "ipv4:127.0.0.1:1", "unix:///tmp/none"])
def test_any_other_name_is_left_to_grpc(target: str) -> None:
    Client(target).close()
