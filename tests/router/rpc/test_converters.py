"""Requests reach the core and answers reach the caller, field by field."""

from __future__ import annotations

from adaptive_router.v1 import chat_pb2, router_pb2
from google.protobuf import json_format

from router.domain.chat import (
    ChatRequest,
    Format,
    ImagePart,
    Message,
    OpaquePart,
    ResponseFormat,
    Role,
    Sampling,
    TextPart,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolChoice,
    ToolMode,
)
from router.domain.records import FeedbackReport, OutcomeReport
from router.domain.requests import RoutingOptions, WeightOverrides
from tests.router.rpc.wire import DONE, GOOD, TENANT, Wire, chat, user

SCHEMA = '{"type": "object"}'
FULL = chat_pb2.ChatRequest(
    messages=[
        chat_pb2.Message(role=chat_pb2.ROLE_SYSTEM, text="Be brief."),
        chat_pb2.Message(
            role=chat_pb2.ROLE_USER,
            parts=[
                chat_pb2.Part(text="What is this?"),
                chat_pb2.Part(
                    image_url=chat_pb2.ImageUrl(url="https://a.example/b", detail="high")
                ),
            ],
        ),
        chat_pb2.Message(
            role=chat_pb2.ROLE_ASSISTANT,
            tool_calls=[chat_pb2.ToolCall(id="c1", name="look", arguments='{"at": 1}')],
            opaque=[chat_pb2.OpaquePart(provider="anthropic", model="m", data=b"\x00s")],
        ),
        chat_pb2.Message(role=chat_pb2.ROLE_TOOL, text="a cat", tool_call_id="c1"),
    ],
    tools=[chat_pb2.Tool(name="look", description="Looks.", parameters=SCHEMA)],
    tool_choice=chat_pb2.ToolChoice(name="look"),
    response_format=chat_pb2.ResponseFormat(
        kind=chat_pb2.ResponseFormat.KIND_JSON_SCHEMA, schema=SCHEMA, name="seen"
    ),
    temperature=0.0,
    top_p=0.5,
    max_output_tokens=100,
    stop=["END"],
    seed=-3,
)
READ = ChatRequest(
    messages=(
        Message(Role.SYSTEM, (TextPart("Be brief."),)),
        Message(Role.USER, (TextPart("What is this?"), ImagePart("https://a.example/b", "high"))),
        Message(
            Role.ASSISTANT,
            (OpaquePart("anthropic", "m", b"\x00s"),),
            (ToolCall("c1", "look", '{"at": 1}'),),
        ),
        Message(Role.TOOL, (TextPart("a cat"),), (), "c1"),
    ),
    tools=(Tool("look", "Looks.", SCHEMA),),
    tool_choice=ToolChoice(ToolMode.REQUIRED, "look"),
    response_format=ResponseFormat(Format.JSON_SCHEMA, SCHEMA, "seen"),
    sampling=Sampling(0.0, 0.5, 100, ("END",), -3),
)


async def test_a_whole_request_reaches_the_service(wire: Wire) -> None:
    routing = router_pb2.RoutingOptions(
        arm="cheap",
        max_cost_usd=0.5,
        max_latency_ms=900,
        weights=router_pb2.Weights(quality=0.0, latency=2.0),
        session_id="s",
        idempotency_key="k",
        no_cache=True,
    )
    await wire.send("Complete", router_pb2.CompleteRequest(chat=FULL, routing=routing))
    (call,) = wire.service.calls
    assert call.tenant == TENANT
    assert call.chat == READ
    assert call.options == RoutingOptions(
        arm="cheap",
        max_cost_usd=0.5,
        max_latency_ms=900,
        weights=WeightOverrides(quality=0.0, latency=2.0),
        session_id="s",
        idempotency_key="k",
        no_cache=True,
    )


async def test_what_is_not_sent_is_left_to_the_defaults(wire: Wire) -> None:
    await wire.send("Decide", router_pb2.DecideRequest(chat=chat(user("hi"))))
    (call,) = wire.service.calls
    assert call.chat == ChatRequest((Message(Role.USER, (TextPart("hi"),)),))
    assert call.options == RoutingOptions()


async def test_reports_reach_the_service(wire: Wire) -> None:
    outcome = router_pb2.ReportOutcomeRequest(
        decision_id="d2",
        latency_ms=1.5,
        input_tokens=3,
        output_tokens=4,
        failure="timeout",
        cached_input_tokens=2,
        cache_write_tokens=1,
        reasoning_tokens=4,
    )
    (reported,) = await wire.send("ReportOutcome", outcome)
    accepted = router_pb2.FeedbackRequest(decision_id="d3", accepted=False)
    (fed,) = await wire.send("Feedback", accepted)
    await wire.send("Feedback", GOOD["Feedback"])
    of_session = router_pb2.FeedbackRequest(session_id="s", quality=0.5, correction=True)
    (credited,) = await wire.send("Feedback", of_session)
    assert wire.service.reports == [
        (TENANT, "d2", OutcomeReport(1.5, 3, 4, "timeout", 2, 1, 4)),
        (TENANT, "d3", FeedbackReport(None, accepted=False)),
        (TENANT, "d1", FeedbackReport(0.5, None)),
        (TENANT, "s", FeedbackReport(0.5, None, correction=True)),
    ]
    assert (reported.already_recorded, reported.cost_usd) == (True, 0.25)
    assert (fed.already_recorded, fed.decisions) == (True, 1)
    assert (credited.already_recorded, credited.decisions) == (False, 3)


RECEIPT = {
    "decision_id": "d1",
    "plan": "ladder",
    "arm": "reasoning",
    "deployment": "big",
    "model": "b",
    "propensity": 0.75,
    "explored": True,
    "policy": "adaptive",
    "policy_version": "7",
    "attempts": [
        {
            "arm": "cheap",
            "deployment": "mini",
            "model": "m",
            "outcome": "ATTEMPT_OUTCOME_ESCALATED",
            "why": "empty",
            "latency_ms": 12.5,
            "input_tokens": "10",
            "output_tokens": "1",
            "cost_usd": 0.25,
        },
        {
            "arm": "reasoning",
            "deployment": "big",
            "model": "b",
            "outcome": "ATTEMPT_OUTCOME_ACCEPTED",
            "why": "passed",
            "latency_ms": 80.0,
            "input_tokens": "10",
            "output_tokens": "40",
            "cost_usd": 0.5,
        },
    ],
    "cache": "CACHE_STATUS_MISS",
    "cost_usd": 0.75,
    "quota_left": {"requests": "9", "daily_usd": 1.5},
}


def told(message: object) -> dict[str, object]:
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


async def test_an_answer_tells_all(wire: Wire) -> None:
    (answer,) = await wire.send("Complete", GOOD["Complete"])
    assert told(answer) == {
        "answer": {
            "text": "Forty-two.",
            "tool_calls": [{"id": "c1", "name": "look", "arguments": '{"at": 1}'}],
            "finish_reason": "FINISH_REASON_TOOL_CALLS",
            "input_tokens": "10",
            "output_tokens": "40",
            "opaque": [{"provider": "gemini", "model": "m", "data": "AHM="}],
        },
        "receipt": RECEIPT,
    }


async def test_a_directive_names_the_rungs(wire: Wire) -> None:
    (directive,) = await wire.send("Decide", GOOD["Decide"])
    assert told(directive) == {"receipt": RECEIPT, "rungs": ["cheap", "reasoning"]}


async def test_a_decision_tells_why(wire: Wire) -> None:
    (decision,) = await wire.send("GetDecision", GOOD["GetDecision"])
    assert told(decision) == {
        "receipt": {**RECEIPT, "quota_left": {}},
        "plans": [
            {
                "plan": "ladder",
                "probability": 0.75,
                "expected_quality": 0.9,
                "expected_cost_usd": 0.002,
                "expected_utility": 0.8,
            },
            {
                "plan": "cheap",
                "probability": 0.25,
                "expected_quality": 0.5,
                "expected_cost_usd": 0.001,
                "expected_utility": 0.4,
            },
        ],
        "weights": {"quality": 1.0, "cost": 0.1, "latency": 0.2, "failure": 0.3},
        "feature_version": "ctx-1",
        "created_unix_ms": "1700000000000",
        "settled": True,
        "feedback_quality": 0.5,
    }


async def test_a_stream_keeps_its_order_and_ends_with_the_receipt(wire: Wire) -> None:
    pieces = (ToolCallDelta(0, "c1", "look", '{"a'), ToolCallDelta(0, arguments='t": 1}'))
    wire.service.items = (*wire.service.items[:2], *pieces, DONE)
    items = await wire.send("StreamComplete", GOOD["StreamComplete"])
    assert [told(item) for item in items] == [
        {"text_delta": "Forty-"},
        {"text_delta": "two."},
        {"tool_call_delta": {"id": "c1", "name": "look", "arguments": '{"a'}},
        {"tool_call_delta": {"arguments": 't": 1}'}},
        {
            "done": {
                "finish_reason": "FINISH_REASON_TOOL_CALLS",
                "input_tokens": "10",
                "output_tokens": "40",
                "receipt": RECEIPT,
                "opaque": [{"provider": "gemini", "model": "m", "data": "AHM="}],
            }
        },
    ]
