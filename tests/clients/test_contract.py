"""The typed layer has what the contract and the router's errors have, no less and no more."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

import grpc
import pytest
from adaptive_router.v1 import router_pb2 as the_routers
from adaptive_router_client import calls, errors, results, values
from adaptive_router_client.convert import decode, encode
from adaptive_router_client.stubs import admin_pb2, chat_pb2, router_pb2

ROOT = Path(__file__).parents[2]
OWN_REASONS = {"", "UNAVAILABLE", "UNREACHABLE", "STREAM_BROKEN"}
MESSAGES: dict[type, Any] = {
    values.Message: chat_pb2.Message,
    values.Part: chat_pb2.Part,
    values.ImageUrl: chat_pb2.ImageUrl,
    values.ToolCall: chat_pb2.ToolCall,
    values.OpaquePart: chat_pb2.OpaquePart,
    values.Tool: chat_pb2.Tool,
    values.ToolChoice: chat_pb2.ToolChoice,
    values.ResponseFormat: chat_pb2.ResponseFormat,
    values.Chat: chat_pb2.ChatRequest,
    values.Weights: router_pb2.Weights,
    values.Routing: router_pb2.RoutingOptions,
    calls.Said: router_pb2.FeedbackRequest,
    results.Answer: chat_pb2.Answer,
    results.Completion: router_pb2.CompleteResponse,
    results.Receipt: router_pb2.Receipt,
    results.Attempt: router_pb2.Attempt,
    results.QuotaLeft: router_pb2.QuotaLeft,
    results.Turn: router_pb2.Turn,
    results.ToolCallDelta: router_pb2.ToolCallDelta,
    results.StreamEnd: router_pb2.StreamCompleteResponse.Done,
    results.Decided: router_pb2.DecideResponse,
    results.OutcomeRecorded: router_pb2.ReportOutcomeResponse,
    results.FeedbackRecorded: router_pb2.FeedbackResponse,
    results.Decision: router_pb2.GetDecisionResponse,
    results.PlanEstimate: router_pb2.PlanEstimate,
    results.Judgement: router_pb2.Judgement,
    results.StepTaken: router_pb2.StepTaken,
    results.StepProbability: router_pb2.StepProbability,
}
ENUMS = {
    "FinishReason": chat_pb2.FinishReason,
    "CacheStatus": router_pb2.CacheStatus,
    "AttemptOutcome": router_pb2.AttemptOutcome,
    "Step": router_pb2.Step,
}


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
def test_a_dataclass_has_the_fields_of_its_message(kind: type) -> None:
    of_the_message = {field.name for field in MESSAGES[kind].DESCRIPTOR.fields}
    assert {field.name for field in fields(kind)} == of_the_message  # type: ignore[arg-type]


def test_an_outcome_has_every_field_of_its_request_but_the_id() -> None:
    of_the_message = {f.name for f in router_pb2.ReportOutcomeRequest.DESCRIPTOR.fields}
    assert {field.name for field in fields(calls.Outcome)} == of_the_message - {"decision_id"}


@pytest.mark.parametrize("name", ENUMS)
def test_words_are_those_of_the_enum(name: str) -> None:
    prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", name).upper() + "_"
    words = {word.removeprefix(prefix).lower() for word in ENUMS[name].keys()}  # noqa: SIM118 - no dict
    assert set(get_args(getattr(results, name))) == words | {"unknown"}


def test_every_method_of_the_service_has_a_call() -> None:
    paths = {
        getattr(calls, name).path.rpartition("/")[2]
        for name in vars(calls)
        if name.isupper()
        if isinstance(getattr(calls, name), calls.Method)
    }
    assert paths == {method.name for method in calls.SERVICE.methods}


@pytest.mark.parametrize("file", [admin_pb2, chat_pb2, router_pb2], ids=lambda file: file.__name__)
def test_other_languages_have_a_package_of_their_own(file: Any) -> None:
    told = file.DESCRIPTOR.GetOptions()
    assert told.go_package == "github.com/adaptive-router/adaptive-router/go/routerv1"
    assert (told.java_package, told.java_multiple_files) == ("io.github.adaptiverouter.v1", True)


def rows() -> dict[str, tuple[str, bool]]:
    """Status, and whether a wait may be named, by reason, as the page of errors says."""
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    found = re.findall(r"^\| `([A-Z_]+)` \| \d+ \| `([A-Z_]+)` \| ([^|]*)\|", page, re.MULTILINE)
    return {reason: (status, "RetryInfo" in details) for status, reason, details in found}


def test_every_reason_has_a_class() -> None:
    assert set(errors.tree()) - OWN_REASONS == set(rows())
    assert len(rows()) > 20


@pytest.mark.parametrize("reason", rows())
def test_what_the_router_names_a_wait_for_may_pass(reason: str) -> None:
    assert rows()[reason][1] == errors.tree()[reason].PASSES


def test_only_what_refuses_at_the_door_is_unpaid() -> None:
    unpaid = {reason for reason, kind in errors.tree().items() if kind.UNPAID}
    assert unpaid == {"OVERLOADED", "QUOTA_EXCEEDED", "UNREACHABLE"}


def test_a_status_without_a_reason_of_its_own_is_the_base() -> None:
    for code in grpc.StatusCode:
        found = errors.error_of("x", errors.Details(code.name, code.name))
        assert found.reason == code.name


WHOLE = values.Chat(
    messages=(
        values.system("s"),
        values.user("look", "http://127.0.0.1/a.png"),
        values.Message(
            "assistant",
            tool_calls=(values.ToolCall("c1", "f", "{}"),),
            opaque=(values.OpaquePart("p", "m", b"\x00\xff"),),
        ),
        values.tool_result(values.ToolCall("c1", "f", "{}"), "4"),
    ),
    tools=(values.Tool("f", "d", "{}"),),
    tool_choice=values.ToolChoice("required"),
    response_format=values.ResponseFormat("json_schema", "{}", "n"),
    temperature=0.0,
    top_p=0.5,
    max_output_tokens=9,
    stop=("a", "b"),
    seed=-1,
)


def test_a_request_comes_through_whole() -> None:
    message = chat_pb2.ChatRequest()
    encode(WHOLE, message)
    assert message.HasField("temperature")
    assert message.messages[3].role == chat_pb2.ROLE_TOOL
    assert message.tool_choice.mode == chat_pb2.TOOL_MODE_REQUIRED
    assert message.response_format.kind == chat_pb2.ResponseFormat.KIND_JSON_SCHEMA
    assert decode(values.Chat, message) == WHOLE


def test_what_is_not_set_stays_unset() -> None:
    message = chat_pb2.ChatRequest()
    encode(values.chat_of("hi"), message)
    assert message == chat_pb2.ChatRequest(messages=[chat_pb2.Message(role=2, text="hi")])


def test_a_word_that_the_contract_lacks_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="role: 'robot'"):
        encode(values.Message("robot", "x"), chat_pb2.Message())  # type: ignore[arg-type]


def test_an_enum_value_of_a_newer_router_is_unknown() -> None:
    newer = router_pb2.Receipt.FromString(the_routers.Receipt(cache=99).SerializeToString())
    assert decode(results.Receipt, newer).cache == "unknown"


def test_hints_of_every_dataclass_can_be_read() -> None:
    for kind in MESSAGES:
        assert get_type_hints(kind)
