"""The exact JSON that one full conversation becomes in each protocol."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from router.adapters.providers.anthropic import Anthropic
from router.adapters.providers.gemini import NO_SIGNATURE, Gemini
from router.adapters.providers.openai import OpenAI
from router.adapters.providers.sending.call_ids import PRINTED, CallIds
from router.adapters.providers.sending.hosts import resolved
from router.domain.catalog import BodyRules, Deployment, Price
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
    ToolChoice,
    ToolMode,
)

CLAUDE = resolved(Deployment("there", "anthropic", "http://localhost", "model-1", Price(1, 1)))
NOTHING = {"type": "object", "properties": {}}
AGAIN = CallIds(PRINTED, {"c1"}).of("c1")
"""The id of a call whose own an earlier turn has used."""
HERE = Deployment("here", "any", "http://localhost", "model-1", Price(1, 1), max_output_tokens=99)
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
CLOSED = SCHEMA | {"required": ["a"], "additionalProperties": False}
USER = Message(Role.USER, (TextPart("Add these."),))
CHAT = ChatRequest(
    messages=(
        Message(Role.SYSTEM, (TextPart("Be brief."),)),
        Message(Role.USER, (TextPart("Look:"), ImagePart("https://x.example/cat.png", "low"))),
        Message(Role.ASSISTANT, (TextPart("So:"),), (ToolCall("c1", "add", '{"a": 1}'),)),
        Message(Role.TOOL, (TextPart("one"),), tool_call_id="c1"),
        Message(
            Role.ASSISTANT,
            tool_calls=(ToolCall("c1", "mul", '{"a": 2}'), ToolCall("c2", "add", "")),
        ),
        Message(Role.TOOL, (TextPart("two"),), tool_call_id="c1"),
        Message(Role.TOOL, (TextPart("three"),), tool_call_id="c2"),
    ),
    tools=(Tool("add", "Adds.", json.dumps(SCHEMA)), Tool("mul")),
    tool_choice=ToolChoice(ToolMode.REQUIRED, "add"),
    response_format=ResponseFormat(Format.JSON_SCHEMA, json.dumps(SCHEMA), "sum"),
    sampling=Sampling(temperature=1.5, top_p=0.9, max_output_tokens=77, stop=("END",), seed=3),
)


def _openai_call(call_id: str, name: str, arguments: str) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function}


def test_openai() -> None:
    image = {"url": "https://x.example/cat.png", "detail": "low"}
    assert OpenAI().body(HERE, CHAT, stream=True) == {
        "model": "model-1",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Look:"},
                    {"type": "image_url", "image_url": image},
                ],
            },
            {
                "role": "assistant",
                "content": "So:",
                "tool_calls": [_openai_call("c1", "add", '{"a": 1}')],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "one"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    _openai_call(AGAIN, "mul", '{"a": 2}'),
                    _openai_call("c2", "add", "{}"),
                ],
            },
            {"role": "tool", "tool_call_id": AGAIN, "content": "two"},
            {"role": "tool", "tool_call_id": "c2", "content": "three"},
        ],
        "tools": [
            {
                "type": "function",
                "function": {"name": "add", "description": "Adds.", "parameters": SCHEMA},
            },
            {"type": "function", "function": {"name": "mul", "parameters": NOTHING}},
        ],
        "tool_choice": {"type": "function", "function": {"name": "add"}},
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "sum", "schema": SCHEMA, "strict": False},
        },
        "temperature": 1.5,
        "top_p": 0.9,
        "stop": ["END"],
        "seed": 3,
        "max_tokens": 77,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_anthropic() -> None:
    """One turn per role in a row, no seed, its highest temperature without top_p."""
    body = Anthropic().body(CLAUDE, CHAT, stream=True)
    wish = body.pop("system")
    assert wish.startswith("Be brief.\n\n")
    assert wish.endswith(json.dumps(SCHEMA))
    source = {"type": "url", "url": "https://x.example/cat.png"}
    assert body == {
        "model": "model-1",
        "max_tokens": 77,
        "messages": [
            {
                "role": "user",
                "content": [{"type": "text", "text": "Look:"}, {"type": "image", "source": source}],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "So:"},
                    {"type": "tool_use", "id": "c1", "name": "add", "input": {"a": 1}},
                ],
            },
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "one"}],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "tool_use", "id": AGAIN, "name": "mul", "input": {"a": 2}},
                    {"type": "tool_use", "id": "c2", "name": "add", "input": {}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": AGAIN, "content": "two"},
                    {"type": "tool_result", "tool_use_id": "c2", "content": "three"},
                ],
            },
        ],
        "tools": [
            {"name": "add", "description": "Adds.", "input_schema": SCHEMA},
            {"name": "mul", "input_schema": NOTHING},
        ],
        "tool_choice": {"type": "tool", "name": "add"},
        "temperature": 1.0,
        "stop_sequences": ["END"],
        "stream": True,
    }


def _gemini_call(name: str, args: dict[str, Any]) -> dict[str, Any]:
    return {"functionCall": {"name": name, "args": args}, "thoughtSignature": NO_SIGNATURE}


def _gemini_result(name: str, result: str) -> dict[str, Any]:
    return {"functionResponse": {"name": name, "response": {"result": result}}}


def test_gemini() -> None:
    """A result carries the name that its id has at that point of the conversation.

    Beside tools the schema stands in the system instruction.
    """
    body = Gemini().body(HERE, CHAT, stream=False)
    wish = body.pop("systemInstruction")["parts"][0]["text"]
    assert wish.startswith("Be brief.\n\n")
    assert wish.endswith(json.dumps(SCHEMA))
    assert body == {
        "contents": [
            {
                "role": "user",
                "parts": [
                    {"text": "Look:"},
                    {"fileData": {"mimeType": "image/png", "fileUri": "https://x.example/cat.png"}},
                ],
            },
            {"role": "model", "parts": [{"text": "So:"}, _gemini_call("add", {"a": 1})]},
            {"role": "user", "parts": [_gemini_result("add", "one")]},
            {"role": "model", "parts": [_gemini_call("mul", {"a": 2}), _gemini_call("add", {})]},
            {
                "role": "user",
                "parts": [_gemini_result("mul", "two"), _gemini_result("add", "three")],
            },
        ],
        "tools": [
            {
                "functionDeclarations": [
                    {"name": "add", "description": "Adds.", "parametersJsonSchema": SCHEMA},
                    {"name": "mul"},
                ]
            }
        ],
        "toolConfig": {
            "functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["add"]},
        },
        "generationConfig": {
            "temperature": 1.5,
            "topP": 0.9,
            "maxOutputTokens": 77,
            "stopSequences": ["END"],
            "seed": 3,
        },
    }


def test_images_within_the_url() -> None:
    url = "data:image/png;base64,aGk="
    chat = ChatRequest((Message(Role.USER, (ImagePart(url),)),))
    anthropic = Anthropic().body(HERE, chat, stream=False)["messages"][0]["content"]
    source = {"type": "base64", "media_type": "image/png", "data": "aGk="}
    assert anthropic == [{"type": "image", "source": source}]
    gemini = Gemini().body(HERE, chat, stream=False)["contents"][0]["parts"]
    assert gemini == [{"inlineData": {"mimeType": "image/png", "data": "aGk="}}]


@pytest.mark.parametrize(
    ("mode", "openai", "anthropic", "gemini"),
    [
        (ToolMode.AUTO, None, None, None),
        (ToolMode.NONE, "none", "none", "NONE"),
        (ToolMode.REQUIRED, "required", "any", "ANY"),
    ],
)
def test_which_tools_may_be_called(
    mode: ToolMode, openai: str | None, anthropic: str | None, gemini: str | None
) -> None:
    chat = ChatRequest((USER,), (Tool("add"),), ToolChoice(mode))
    assert OpenAI().body(HERE, chat, stream=False).get("tool_choice") == openai
    said = Anthropic().body(HERE, chat, stream=False).get("tool_choice") or {}
    assert said.get("type") == anthropic
    config = Gemini().body(HERE, chat, stream=False).get("toolConfig") or {}
    assert config.get("functionCallingConfig", {}).get("mode") == gemini


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (CLOSED, True),
        (SCHEMA, False),
        ({"type": "object", "properties": {"a": CLOSED}, "required": ["a"]}, False),
        (CLOSED | {"properties": {"a": {"type": "array", "items": SCHEMA}}}, False),
        (CLOSED | {"properties": {"a": {"type": "array", "items": CLOSED}}}, True),
        (CLOSED | {"required": []}, False),
    ],
)
def test_strict_mode_only_where_it_is_taken(schema: dict[str, Any], *, strict: bool) -> None:
    wanted = ResponseFormat(Format.JSON_SCHEMA, json.dumps(schema))
    body = OpenAI().body(HERE, ChatRequest((USER,), response_format=wanted), stream=False)
    assert body["response_format"]["json_schema"]["strict"] is strict


def test_any_json_object() -> None:
    chat = ChatRequest((USER,), response_format=ResponseFormat(Format.JSON_OBJECT))
    asked = OpenAI().body(HERE, chat, stream=False)["response_format"]
    assert asked == {"type": "json_object"}
    assert "JSON" in Anthropic().body(HERE, chat, stream=False)["system"]
    config = Gemini().body(HERE, chat, stream=False)["generationConfig"]
    assert config == {"responseMimeType": "application/json"}


def test_limits_by_the_name_the_server_takes() -> None:
    own = Deployment("own", "openai", "https://api.openai.com/v1", "model-1", Price(1, 1))
    chat = ChatRequest((USER,), sampling=Sampling(max_output_tokens=5))
    assert OpenAI().body(resolved(own), chat, stream=False)["max_completion_tokens"] == 5
    assert OpenAI().body(HERE, chat, stream=False)["max_tokens"] == 5
    # Anthropic demands a limit.
    assert Anthropic().body(HERE, ChatRequest((USER,)), stream=False)["max_tokens"] == 99


def test_log_probabilities_where_the_deployment_has_them() -> None:
    able = Deployment("able", "openai", "http://localhost", "m", Price(1, 1), logprobs=True)
    assert OpenAI().body(able, CHAT, stream=False)["logprobs"] is True
    assert "logprobs" not in OpenAI().body(HERE, CHAT, stream=False)


def test_names_that_gemini_refuses_are_the_caller_s_again_in_the_answer() -> None:
    chat = ChatRequest((USER,), (Tool("3d_view"), Tool("_plain")), ToolChoice(name="3d_view"))
    body = Gemini().body(HERE, chat, stream=False)
    assert body["tools"] == [{"functionDeclarations": [{"name": "_3d_view"}, {"name": "_plain"}]}]
    assert body["toolConfig"]["functionCallingConfig"]["allowedFunctionNames"] == ["_3d_view"]
    parts = [{"functionCall": {"name": name}} for name in ("_3d_view", "_plain", "other")]
    whole = {"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}]}
    assembler = Gemini().assembler(HERE, chat)
    list(assembler.whole(json.dumps(whole).encode()))
    assert [c.name for c in assembler.finish().tool_calls] == ["3d_view", "_plain", "other"]


EPHEMERAL = {"type": "ephemeral"}
CACHING = replace(CLAUDE, prompt_caching=True)


def marks(value: Any) -> int:
    if isinstance(value, list):
        return sum(map(marks, value))
    if isinstance(value, dict):
        return ("cache_control" in value) + sum(map(marks, value.values()))
    return 0


def test_nothing_is_marked_where_no_message_says_anything() -> None:
    blank = ChatRequest((Message(Role.USER, (TextPart(" "),)),))
    assert Anthropic().body(CACHING, blank, stream=False) == Anthropic().body(
        CLAUDE, blank, stream=False
    )


def test_anthropic_is_told_to_cache_tools_system_and_conversation() -> None:
    plain, body = (Anthropic().body(d, CHAT, stream=False) for d in (CLAUDE, CACHING))
    assert marks(plain) == 0
    assert marks(body) == 3
    assert body["tools"][-1] == plain["tools"][-1] | {"cache_control": EPHEMERAL}
    text = {"type": "text", "text": plain["system"], "cache_control": EPHEMERAL}
    assert body["system"] == [text]
    last = plain["messages"][-1]["content"]
    assert last[-1]["type"] == "tool_result"
    assert body["messages"][-1]["content"] == [*last[:-1], last[-1] | {"cache_control": EPHEMERAL}]
    assert body["messages"][:-1] == plain["messages"][:-1]


def test_anthropic_caches_for_an_hour_where_it_is_asked_to() -> None:
    chat = ChatRequest((USER,))
    body = Anthropic().body(replace(CACHING, cache_ttl_s=3_600), chat, stream=False)
    (block,) = body["messages"][0]["content"]
    assert block["cache_control"] == {"type": "ephemeral", "ttl": "1h"}
    assert "system" not in body
    assert "tools" not in body


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (BodyRules(omit=("cache_control",)), 0),
        (BodyRules(omit=("cache_control.ttl",)), 3),
        (BodyRules(parameters='{"cache_control": {"type": "ephemeral"}}'), 1),
        (BodyRules(parameters='{"thinking": {"type": "enabled", "budget_tokens": 1024}}'), 3),
    ],
)
def test_what_a_deployment_says_of_caching_is_stronger(rules: BodyRules, expected: int) -> None:
    there = replace(CACHING, cache_ttl_s=3_600, rules=rules)
    body = Anthropic().body(there, replace(CHAT, tool_choice=ToolChoice()), stream=False)
    assert marks(body) == expected
    assert ("ttl" in json.dumps(body)) is (expected == 3 and "cache_control.ttl" not in rules.omit)


def test_thinking_is_never_the_block_that_is_cached() -> None:
    """An assistant's words may come last, with what was thought behind them."""
    data = b'{"blocks": [{"thinking": "hm", "signature": "s", "characters": 0}], "unasked": true}'
    own = OpaquePart("anthropic", "model-1", data)
    said = Message(Role.ASSISTANT, (TextPart("So:"), own))
    body = Anthropic().body(CACHING, ChatRequest((USER, said)), stream=False)
    thought, text = body["messages"][-1]["content"]
    assert (thought["type"], marks(thought)) == ("thinking", 0)
    assert (text["type"], text["cache_control"]) == ("text", EPHEMERAL)


@pytest.mark.parametrize("dialect", [OpenAI(), Gemini()])
def test_providers_that_cache_by_themselves_are_told_nothing(dialect: Any) -> None:
    here = replace(HERE, prompt_caching=True)
    told = dialect.body(here, CHAT, stream=False)
    assert told == dialect.body(HERE, CHAT, stream=False)
