"""Every mistake is an INVALID_ARGUMENT that names its field; the server goes on."""

from __future__ import annotations

import math

import grpc
import pytest
from adaptive_router.v1 import chat_pb2, router_pb2
from google.protobuf.message import Message

from tests.router.rpc.wire import GOOD, METADATA, Wire, chat, complete, details, refused, user

INVALID = grpc.StatusCode.INVALID_ARGUMENT
NONE = chat_pb2.TOOL_MODE_NONE
REQUIRED = chat_pb2.TOOL_MODE_REQUIRED
LOOK = chat_pb2.Tool(name="look")


def said(*messages: chat_pb2.Message, **more: object) -> router_pb2.CompleteRequest:
    return router_pb2.CompleteRequest(chat=chat(*messages, **more))


def part(**content: object) -> router_pb2.CompleteRequest:
    return said(chat_pb2.Message(role=chat_pb2.ROLE_USER, parts=[chat_pb2.Part(**content)]))


def image(url: str, detail: str = "") -> router_pb2.CompleteRequest:
    return part(image_url=chat_pb2.ImageUrl(url=url, detail=detail))


def form(**fields: object) -> router_pb2.CompleteRequest:
    return said(response_format=chat_pb2.ResponseFormat(**fields))


def schema(text: str) -> router_pb2.CompleteRequest:
    return form(kind=chat_pb2.ResponseFormat.KIND_JSON_SCHEMA, schema=text)


def choice(*tools: chat_pb2.Tool, **fields: object) -> router_pb2.CompleteRequest:
    return said(tools=tools, tool_choice=chat_pb2.ToolChoice(**fields))


def called(arguments: str = "{}", name: str = "look") -> router_pb2.CompleteRequest:
    call = chat_pb2.ToolCall(id="c", name=name, arguments=arguments)
    return said(chat_pb2.Message(role=chat_pb2.ROLE_ASSISTANT, tool_calls=[call]), user())


def weights(**values: float) -> router_pb2.CompleteRequest:
    return complete(weights=router_pb2.Weights(**values))


def outcome(**fields: object) -> router_pb2.ReportOutcomeRequest:
    told = {"decision_id": "d1", "latency_ms": 1.0, "input_tokens": 1}
    return router_pb2.ReportOutcomeRequest(**{**told, **fields})


def feedback(**fields: object) -> router_pb2.FeedbackRequest:
    return router_pb2.FeedbackRequest(**{"decision_id": "d1", **fields})


def of_session(session_id: str, **fields: object) -> router_pb2.FeedbackRequest:
    return router_pb2.FeedbackRequest(session_id=session_id, **fields)


MESSAGES = [
    (router_pb2.CompleteRequest(), {"chat.messages"}),
    (said(user("")), {"chat.messages"}),
    (said(user(" \n ")), {"chat.messages"}),
    (said(*[user()] * 1_025), {"chat.messages"}),
    (said(chat_pb2.Message(role=chat_pb2.ROLE_SYSTEM, text="x")), {"chat.messages"}),
    (said(user(), chat_pb2.Message(role=chat_pb2.ROLE_ASSISTANT, text="x")), {"chat.messages"}),
    (said(chat_pb2.Message(text="x"), user()), {"chat.messages[0].role"}),
    (said(chat_pb2.Message(role=99, text="x"), user()), {"chat.messages[0].role"}),
    (said(user(parts=[chat_pb2.Part(text="y")])), {"chat.messages[0].parts"}),
    (said(user(tool_call_id="c")), {"chat.messages[0].tool_call_id"}),
    (
        said(user(), chat_pb2.Message(role=chat_pb2.ROLE_TOOL, text="4")),
        {"chat.messages[1].tool_call_id"},
    ),
    (said(user(tool_calls=[chat_pb2.ToolCall(id="c", name="n")])), {"chat.messages[0].tool_calls"}),
    (said(user(opaque=[chat_pb2.OpaquePart()])), {"chat.messages[0].opaque"}),
    (part(), {"chat.messages[0].parts[0]", "chat.messages"}),
    (image("file:///etc/passwd"), {"chat.messages[0].parts[0].image_url.url"}),
    (image("data:text/html,x"), {"chat.messages[0].parts[0].image_url.url"}),
    (image("https://a.example/b", "huge"), {"chat.messages[0].parts[0].image_url.detail"}),
    (called("{"), {"chat.messages[0].tool_calls[0].arguments"}),
    (called("[1]"), {"chat.messages[0].tool_calls[0].arguments"}),
    (called("[" * 100_000), {"chat.messages[0].tool_calls[0].arguments"}),
    (called(name=""), {"chat.messages[0].tool_calls[0]"}),
]
TOOLS = [
    (said(tools=[chat_pb2.Tool(name="no spaces")]), {"chat.tools[0].name"}),
    (said(tools=[LOOK, LOOK]), {"chat.tools[1].name"}),
    (said(tools=[chat_pb2.Tool(name=f"t{i}") for i in range(129)]), {"chat.tools"}),
    (said(tools=[chat_pb2.Tool(name="t", parameters="{")]), {"chat.tools[0].parameters"}),
    (choice(LOOK, name="ghost"), {"chat.tool_choice.name"}),
    (choice(LOOK, name="look", mode=NONE), {"chat.tool_choice.mode"}),
    (choice(mode=REQUIRED), {"chat.tool_choice.mode"}),
    (choice(mode=99), {"chat.tool_choice.mode"}),
]
FORMATS = [
    (schema(""), {"chat.response_format.schema"}),
    (schema("not json"), {"chat.response_format.schema"}),
    (schema("[]"), {"chat.response_format.schema"}),
    (schema('{"type": "nonsense"}'), {"chat.response_format.schema"}),
    (schema('{"$ref": "https://a.example/x"}'), {"chat.response_format.schema"}),
    (schema('{"x": "' + "x" * 65_536 + '"}'), {"chat.response_format.schema"}),
    (form(schema="{}"), {"chat.response_format.schema"}),
    (form(kind=99), {"chat.response_format.kind"}),
    (form(name="no spaces"), {"chat.response_format.name"}),
]
SAMPLING = [
    (said(temperature=-0.1), {"chat.temperature"}),
    (said(temperature=2.1), {"chat.temperature"}),
    (said(temperature=math.nan), {"chat.temperature"}),
    (said(top_p=0.0), {"chat.top_p"}),
    (said(top_p=1.1), {"chat.top_p"}),
    (said(top_p=math.nan), {"chat.top_p"}),
    (said(max_output_tokens=0), {"chat.max_output_tokens"}),
    (said(max_output_tokens=1_000_001), {"chat.max_output_tokens"}),
    (said(stop=["a"] * 9), {"chat.stop"}),
    (said(stop=["a", ""]), {"chat.stop[1]"}),
    (said(stop=["a" * 257]), {"chat.stop[0]"}),
]
ROUTING = [
    (complete(arm="a" * 129), {"routing.arm"}),
    (complete(session_id="s" * 129), {"routing.session_id"}),
    (complete(idempotency_key="k" * 129), {"routing.idempotency_key"}),
    (complete(max_cost_usd=0.0), {"routing.max_cost_usd"}),
    (complete(max_cost_usd=-1.0), {"routing.max_cost_usd"}),
    (complete(max_cost_usd=math.inf), {"routing.max_cost_usd"}),
    (complete(max_latency_ms=0), {"routing.max_latency_ms"}),
    (weights(quality=-0.1), {"routing.weights.quality"}),
    (weights(cost=10.1), {"routing.weights.cost"}),
    (weights(latency=math.inf), {"routing.weights.latency"}),
    (weights(failure=math.nan), {"routing.weights.failure"}),
]
OUTCOMES = [
    (outcome(decision_id=""), {"decision_id"}),
    (outcome(decision_id="../d1"), {"decision_id"}),
    (outcome(decision_id="x" * 65), {"decision_id"}),
    (outcome(latency_ms=0.0), {"latency_ms"}),
    (outcome(input_tokens=0), {"output_tokens"}),
    (outcome(latency_ms=-1.0), {"latency_ms"}),
    (outcome(latency_ms=math.nan), {"latency_ms"}),
    (outcome(latency_ms=math.inf), {"latency_ms"}),
    (outcome(input_tokens=2**63), {"input_tokens"}),
    (outcome(output_tokens=2**63), {"output_tokens"}),
    (outcome(failure="the prompt was ..."), {"failure"}),
    (outcome(input_tokens=10, cached_input_tokens=11), {"cached_input_tokens"}),
    (outcome(input_tokens=10, cache_write_tokens=11), {"cache_write_tokens"}),
    (
        outcome(input_tokens=10, cached_input_tokens=6, cache_write_tokens=5),
        {"cache_write_tokens"},
    ),
    (outcome(output_tokens=10, reasoning_tokens=2**63), {"reasoning_tokens"}),
]
FEEDBACK = [
    (feedback(), {"quality"}),
    (feedback(quality=-0.1), {"quality"}),
    (feedback(quality=1.1), {"quality"}),
    (feedback(quality=math.nan), {"quality"}),
    (feedback(quality=math.inf, accepted=True), {"quality"}),
    (feedback(decision_id="a b", quality=2.0), {"decision_id", "quality"}),
    (feedback(session_id="s", quality=0.5), {"session_id"}),
    (of_session("", quality=0.5), {"decision_id"}),
    (of_session("s"), {"quality"}),
    (of_session("s", quality=math.nan), {"quality"}),
    (of_session("s", quality=1.5, accepted=True), {"quality"}),
    (of_session("s" * 129, quality=0.5), {"session_id"}),
    (of_session("s" * 1_000_000, quality=0.5), {"session_id"}),
]
DECISIONS = [
    (router_pb2.GetDecisionRequest(decision_id=text), {"decision_id"}) for text in ("", "a b")
]

BAD: dict[str, list[tuple[Message, set[str]]]] = {
    "Complete": [*MESSAGES, *TOOLS, *FORMATS, *SAMPLING, *ROUTING],
    "ReportOutcome": OUTCOMES,
    "Feedback": FEEDBACK,
    "GetDecision": DECISIONS,
}


@pytest.mark.parametrize("method", BAD)
async def test_each_mistake_names_its_field_and_the_server_goes_on(wire: Wire, method: str) -> None:
    for request, fields in BAD[method]:
        error = await refused(wire.send(method, request))
        assert error.code() is INVALID, fields
        found = details(error)
        assert set(found) == {"ErrorInfo", "BadRequest"}
        assert found["ErrorInfo"].domain == "adaptive-router"
        assert found["ErrorInfo"].reason == "INVALID_REQUEST"
        violations = found["BadRequest"].field_violations
        assert {v.field for v in violations} == fields
        assert all(v.description for v in violations)
    assert not wire.service.calls
    assert not wire.service.reports
    assert len(await wire.send(method, GOOD[method])) == 1


@pytest.mark.parametrize("kind", [router_pb2.StreamCompleteRequest, router_pb2.DecideRequest])
async def test_the_other_chat_methods_refuse_the_same(wire: Wire, kind: type[Message]) -> None:
    method = kind.DESCRIPTOR.name.removesuffix("Request")
    error = await refused(wire.send(method, kind(chat=chat(user("")))))
    assert error.code() is INVALID
    assert not wire.service.calls
    assert await wire.send(method, GOOD[method])


async def test_all_mistakes_come_at_once(wire: Wire) -> None:
    request = said(user("x" * 400_001), temperature=3.0, stop=[""], tools=[LOOK, LOOK])
    request.routing.weights.cost = 11.0
    request.routing.max_latency_ms = 0
    violations = details(await refused(wire.send("Complete", request)))["BadRequest"]
    assert {v.field for v in violations.field_violations} == {
        "chat.messages",
        "chat.temperature",
        "chat.stop[0]",
        "chat.tools[1].name",
        "routing.weights.cost",
        "routing.max_latency_ms",
    }


async def test_a_prompt_that_is_only_too_long_has_a_reason_of_its_own(wire: Wire) -> None:
    error = await refused(wire.send("Complete", said(user("x" * 400_001))))
    assert error.code() is INVALID
    assert details(error)["ErrorInfo"].reason == "PROMPT_TOO_LONG"
    assert await wire.send("Complete", said(user("x" * 400_000)))


async def test_schemas_are_bounded_together(wire: Wire) -> None:
    text = '{"description": "' + "x" * 60_000 + '"}'
    tools = [chat_pb2.Tool(name=f"t{i}", parameters=text) for i in range(3)]
    found = details(await refused(wire.send("Complete", said(tools=tools))))
    assert {v.field for v in found["BadRequest"].field_violations} == {"chat.tools"}
    assert await wire.send("Complete", said(tools=tools[:2]))


@pytest.mark.parametrize("body", [b"\xff\xff\xff", b"\x0a\x05ab", b"GET / HTTP/1.1"])
@pytest.mark.parametrize("method", ["Complete", "StreamComplete"])
async def test_a_body_that_is_no_message(wire: Wire, method: str, body: bytes) -> None:
    path = f"/adaptive_router.v1.RouterService/{method}"
    error = await refused(wire.channel.unary_unary(path)(body, metadata=METADATA))
    assert error.code() is INVALID
    assert "protobuf" in error.details()
    assert details(error)["BadRequest"].field_violations[0].field == "request"
    assert not wire.service.calls
    assert await wire.send("Complete", GOOD["Complete"])


@pytest.mark.parametrize(
    "request_",
    [
        said(temperature=0.0, top_p=1.0, max_output_tokens=1, seed=-1, stop=["a"] * 8),
        said(temperature=2.0),
        weights(quality=0.0, cost=10.0),
        complete(max_cost_usd=1e-6, max_latency_ms=1),
        image("data:image/png;base64,AA=="),
        image("http://a.example/b.png", "low"),
        schema("true"),
        schema('{"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}}'),
        choice(LOOK, name="look"),
        called(""),
    ],
)
async def test_what_is_just_in_bounds_is_let_in(wire: Wire, request_: Message) -> None:
    await wire.send("Complete", request_)
    assert len(wire.service.calls) == 1


async def test_many_mistakes_are_told_as_far_as_they_fit(wire: Wire) -> None:
    """GRPC metadata is bounded: a status that outgrows it would reach nobody."""
    tools = [chat_pb2.Tool(name=f"no good name {n}") for n in range(100)]
    error = await refused(wire.send("Complete", said(user(), tools=tools)))
    assert error.code() is INVALID
    told = details(error)["BadRequest"].field_violations
    assert 10 <= len(told) < 100
    assert "more" in told[-1].description
