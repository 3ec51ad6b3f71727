"""Every mistake has a status and says what to change; the server goes on."""

from __future__ import annotations

import math
from collections.abc import Iterator

import grpc
import pytest
from adaptive_router.v1 import chat_pb2, router_pb2
from google.rpc import error_details_pb2

from tests.e2e.conftest import Router, chat, request
from tests.e2e.details import detail, fields, reason

USER = chat_pb2.ROLE_USER
SCHEMA_KIND = chat_pb2.ResponseFormat.KIND_JSON_SCHEMA
INVALID = grpc.StatusCode.INVALID_ARGUMENT


def said(*messages: chat_pb2.Message, **more: object) -> router_pb2.CompleteRequest:
    return router_pb2.CompleteRequest(chat=chat_pb2.ChatRequest(messages=messages, **more))


def user(text: str = "hi", **more: object) -> chat_pb2.Message:
    return chat_pb2.Message(role=USER, text=text, **more)


def schema(text: str) -> router_pb2.CompleteRequest:
    form = chat_pb2.ResponseFormat(kind=SCHEMA_KIND, schema=text)
    return said(user(), response_format=form)


def weights(**values: float) -> router_pb2.CompleteRequest:
    return request("hi", weights=router_pb2.Weights(**values))


BAD = [
    (router_pb2.CompleteRequest(), "chat.messages"),
    (said(user("  ")), "chat.messages"),
    (said(chat_pb2.Message(role=USER)), "chat.messages"),
    (said(chat_pb2.Message(role=chat_pb2.ROLE_SYSTEM, text="x")), "chat.messages"),
    (said(user(), chat_pb2.Message(role=chat_pb2.ROLE_ASSISTANT, text="x")), "chat.messages"),
    (said(chat_pb2.Message(text="x"), user()), "chat.messages[0].role"),
    (said(user(parts=[chat_pb2.Part(text="y")])), "chat.messages[0].parts"),
    (said(user(tool_call_id="c")), "chat.messages[0].tool_call_id"),
    (said(user("x" * 400_001)), "chat.messages"),
    (said(user(), temperature=2.5), "chat.temperature"),
    (said(user(), temperature=math.nan), "chat.temperature"),
    (said(user(), top_p=-0.1), "chat.top_p"),
    (said(user(), max_output_tokens=0), "chat.max_output_tokens"),
    (said(user(), stop=["a"] * 9), "chat.stop"),
    (said(user(), tools=[chat_pb2.Tool(name="no spaces")]), "chat.tools[0].name"),
    (said(user(), tools=[chat_pb2.Tool(name="t", parameters="{")]), "chat.tools[0].parameters"),
    (said(user(), tools=[chat_pb2.Tool(name="t")] * 2), "chat.tools[1].name"),
    (
        said(user(), tool_choice=chat_pb2.ToolChoice(name="ghost")),
        "chat.tool_choice.name",
    ),
    (schema("not json"), "chat.response_format.schema"),
    (schema('{"type": "nonsense"}'), "chat.response_format.schema"),
    (schema('{"$ref": "https://example.com/x"}'), "chat.response_format.schema"),
    (schema('{"not": ' * 40 + "{}" + "}" * 40), "chat.response_format.schema"),
    (request("hi", arm="ghost"), "routing.arm"),
    (request("hi", max_cost_usd=-1.0), "routing.max_cost_usd"),
    (request("hi", max_latency_ms=0), "routing.max_latency_ms"),
    (request("hi", session_id="s" * 129), "routing.session_id"),
    (weights(cost=11.0), "routing.weights.cost"),
    (weights(quality=-0.1), "routing.weights.quality"),
    (weights(latency=math.inf), "routing.weights.latency"),
]


async def test_each_mistake_names_its_field_and_the_server_goes_on(
    router: Router, texts: Iterator[str]
) -> None:
    for bad, field in BAD:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await router.stub.Complete(bad, metadata=router.metadata)
        assert caught.value.code() is INVALID, field
        violations = detail(caught.value, error_details_pb2.BadRequest()).field_violations
        assert field in {v.field for v in violations}
        assert all(v.description for v in violations)
    assert (await router.complete(next(texts))).answer.text


async def test_all_mistakes_of_a_request_come_at_once(router: Router) -> None:
    bad = said(user(), temperature=3.0, top_p=2.0, stop=[""])
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await router.stub.Complete(bad, metadata=router.metadata)
    assert fields(caught.value) == {"chat.temperature", "chat.top_p", "chat.stop[0]"}


@pytest.mark.parametrize("quality", [-0.1, 1.1, math.nan, math.inf, None])
async def test_quality_is_a_number_from_0_to_1(
    router: Router, texts: Iterator[str], quality: float | None
) -> None:
    decision_id = (await router.complete(next(texts))).receipt.decision_id
    said_ = router_pb2.FeedbackRequest(decision_id=decision_id, quality=quality)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await router.stub.Feedback(said_, metadata=router.metadata)
    assert caught.value.code() is INVALID
    assert fields(caught.value) == {"quality"}
    assert not (await router.feedback(decision_id, 1.0)).already_recorded


@pytest.mark.parametrize(
    ("decision_id", "code"),
    [("nope", grpc.StatusCode.NOT_FOUND), ("", INVALID), ("a b", INVALID), ("x" * 65, INVALID)],
)
async def test_an_unknown_decision(
    router: Router, texts: Iterator[str], decision_id: str, code: grpc.StatusCode
) -> None:
    for call in (lambda: router.feedback(decision_id, 1.0), lambda: router.decision(decision_id)):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call()
        assert caught.value.code() is code
        if code is INVALID:
            assert fields(caught.value) == {"decision_id"}
        else:
            assert reason(caught.value) == "DECISION_NOT_FOUND"
    assert (await router.complete(next(texts))).answer.text


async def test_a_message_over_the_size_limit(router: Router, texts: Iterator[str]) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await router.stub.Complete(said(user("x" * 5_000_000)), metadata=router.metadata)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "larger than max" in (caught.value.details() or "")  # gRPC's own words
    assert (await router.complete(next(texts))).answer.text


async def test_decide_takes_no_idempotency_key(router: Router) -> None:
    routing = router_pb2.RoutingOptions(idempotency_key="k")
    asked = router_pb2.DecideRequest(chat=chat("hi"), routing=routing)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await router.stub.Decide(asked, metadata=router.metadata)
    assert caught.value.code() is INVALID
