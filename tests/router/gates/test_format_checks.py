from __future__ import annotations

import json

import pytest

from router.domain.chat import (
    Answer,
    ChatRequest,
    FinishReason,
    Format,
    Message,
    ResponseFormat,
    Role,
    Sampling,
    TextPart,
    Tool,
    ToolCall,
    ToolChoice,
    ToolMode,
    Usage,
)
from router.gates.format_checks import FormatCheckSettings, judge, judge_aside
from router.runtime.fair_queue import CheckPool

SCHEMA = '{"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}'
ASK = ChatRequest((Message(Role.USER, (TextPart("Count."),)),))
SETTINGS = FormatCheckSettings(min_mean_logprob=-1.0)


def answer(text: str = "Four.", finish: FinishReason = FinishReason.STOP, **more: object) -> Answer:
    return Answer(text, finish, Usage(1, 1), "m", **more)  # type: ignore[arg-type]


def asking(**more: object) -> ChatRequest:
    return ChatRequest(ASK.messages, **more)  # type: ignore[arg-type]


WANTS_OBJECT = asking(response_format=ResponseFormat(Format.JSON_OBJECT))
WANTS_SCHEMA = asking(response_format=ResponseFormat(Format.JSON_SCHEMA, SCHEMA))
MUST_CALL = asking(
    tools=(Tool("add", parameters=SCHEMA),), tool_choice=ToolChoice(ToolMode.REQUIRED)
)


@pytest.mark.parametrize(
    ("chat", "given", "why"),
    [
        (ASK, answer(), ""),
        (ASK, answer("  "), "empty"),
        (ASK, answer("I'm sorry, but I can't help with that."), "refusal"),
        (ASK, answer("I\u2019m sorry but no."), "refusal"),
        (ASK, answer("fine", refusal=True), "refusal"),
        (ASK, answer("Four. " * 60 + "As an AI"), ""),
        (ASK, answer(finish=FinishReason.LENGTH), "cut_off"),
        (asking(sampling=Sampling(max_output_tokens=5)), answer(finish=FinishReason.LENGTH), ""),
        (ASK, answer(finish=FinishReason.CONTENT_FILTER), "filtered"),
        (ASK, answer(mean_logprob=-1.5), "low_logprob"),
        (ASK, answer(mean_logprob=-0.5), ""),
        (WANTS_OBJECT, answer('{"n": 1}'), ""),
        (WANTS_OBJECT, answer("[1]"), "json_invalid"),
        (WANTS_OBJECT, answer('{"n": '), "json_invalid"),
        (WANTS_OBJECT, answer("[" * 100_000), "json_invalid"),
        (WANTS_OBJECT, answer('{"n": NaN}'), "json_invalid"),
        (WANTS_SCHEMA, answer('{"n": 1}'), ""),
        (WANTS_SCHEMA, answer('{"n": "one"}'), "schema_mismatch"),
        (MUST_CALL, answer("4"), "tool_call_missing"),
        (MUST_CALL, answer("", tool_calls=(ToolCall("1", "add", '{"n": 1}'),)), ""),
        (MUST_CALL, answer("", tool_calls=(ToolCall("1", "add", "{}"),)), "tool_call_invalid"),
        (MUST_CALL, answer("", tool_calls=(ToolCall("1", "sub", "{}"),)), "tool_call_invalid"),
        (MUST_CALL, answer("", tool_calls=(ToolCall("1", "add", "n=1"),)), "tool_call_invalid"),
        (
            MUST_CALL,
            answer("", tool_calls=(ToolCall("1", "add", '{"n": -Infinity}'),)),
            "tool_call_invalid",
        ),
    ],
)
def test_check_gives_its_verdict(chat: ChatRequest, given: Answer, why: str) -> None:
    assert judge(chat, given, SETTINGS) == why


def test_check_passes_when_refusals_are_switched_off() -> None:
    lenient = FormatCheckSettings(refusals=False)
    assert judge(ASK, answer("As an AI, I think four."), lenient) == ""
    assert judge(ASK, answer(mean_logprob=-9.0), lenient) == ""


def test_schema_check_ignores_regular_expressions() -> None:
    """Run, each of these would take longer than the universe has."""
    slow, text = "^(a+)+$", "a" * 200 + "!"
    schemas = (
        {"properties": {"n": {"pattern": slow}}},
        {"patternProperties": {slow: {}}, "additionalProperties": False},
        {"allOf": [{"patternProperties": {slow: {}}}], "unevaluatedProperties": False},
    )
    for schema in schemas:
        form = ResponseFormat(Format.JSON_SCHEMA, json.dumps(schema))
        assert judge(asking(response_format=form), answer(json.dumps({"n": text})), SETTINGS) == ""
        assert judge(asking(response_format=form), answer(json.dumps({text: 1})), SETTINGS) == ""


def test_schema_check_refuses_additional_properties() -> None:
    closed = '{"properties": {"n": {}}, "additionalProperties": false}'
    form = ResponseFormat(Format.JSON_SCHEMA, closed)
    assert judge(asking(response_format=form), answer('{"m": 1}'), SETTINGS) == "schema_mismatch"


def test_schema_check_fails_when_numbers_break_it() -> None:
    form = ResponseFormat(Format.JSON_SCHEMA, '{"multipleOf": 0.1}')
    for text in ("1e999", "9" * 400):
        assert judge(asking(response_format=form), answer(text), SETTINGS) == "schema_mismatch"


DRAFT = "https://json-schema.org/draft/2020-12/schema"
TWICE = {"properties": {"a": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}}}
NESTED = '{"a": ' * 28 + "{}" + "}" * 28
MIXED = json.dumps([x for i in range(200_000) for x in (i, str(i))])


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        (TWICE, NESTED),
        ({"$schema": DRAFT, **TWICE}, NESTED),
        ({"uniqueItems": True}, MIXED),
        ({"contains": True, "unevaluatedItems": False}, MIXED),
        ({"items": {"enum": list(range(200_000, 230_000))}}, MIXED),
        ({"anyOf": [*[{"type": "number"}] * 20_000, True]}, MIXED),
        ({"anyOf": [*[False] * 40_000, {"type": "number"}, True]}, MIXED),
        ({"not": {"$ref": "#"}}, "1"),
    ],
)
def test_schema_check_fails_when_it_takes_too_long(schema: object, text: str) -> None:
    form = ResponseFormat(Format.JSON_SCHEMA, json.dumps(schema))
    assert judge(asking(response_format=form), answer(text), SETTINGS) == "schema_mismatch"


def test_schema_check_shares_its_steps_among_all_calls() -> None:
    chat = asking(tools=(Tool("add", parameters='{"properties": {"n": {"items": {}}}}'),))
    call = ToolCall("1", "add", json.dumps({"n": [0] * 1_000}))
    assert judge(chat, answer("", tool_calls=(call,)), SETTINGS) == ""
    assert judge(chat, answer("", tool_calls=(call,) * 1_000), SETTINGS) == "tool_call_invalid"


def test_schema_check_ignores_dialects_inside_a_schema() -> None:
    slow = {"allOf": [{"$schema": DRAFT, "pattern": "^(a+)+$"}]}
    form = ResponseFormat(Format.JSON_SCHEMA, json.dumps(slow))
    text = json.dumps("a" * 200 + "!")
    assert judge(asking(response_format=form), answer(text), SETTINGS) == ""


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('[1, true, "1", [], {}, null, 0, false, [1], [true]]', ""),
        ("[1, 1.0]", "schema_mismatch"),
        ('[{"a": 1, "b": [2]}, "x", {"b": [2.0], "a": 1}]', "schema_mismatch"),
    ],
)
def test_schema_check_finds_equal_items_not_unique(text: str, why: str) -> None:
    form = ResponseFormat(Format.JSON_SCHEMA, '{"uniqueItems": true}')
    assert judge(asking(response_format=form), answer(text), SETTINGS) == why


MANY = json.dumps([{"n": i} for i in range(4_000)])


async def test_what_takes_time_is_judged_on_a_thread_with_the_same_verdict() -> None:
    checks = CheckPool()
    try:
        for chat, said, aside in (
            (ASK, answer(), False),
            (WANTS_OBJECT, answer('{"n": 1}'), False),
            (WANTS_OBJECT, answer(MANY), True),
            (WANTS_SCHEMA, answer('{"n": 1}'), True),
            (WANTS_SCHEMA, answer('{"n": "one"}'), True),
        ):
            before = checks.done
            verdict = await judge_aside(checks, "t", chat, said, SETTINGS)
            assert verdict == judge(chat, said, SETTINGS)
            assert checks.done - before == aside
    finally:
        checks.close()
