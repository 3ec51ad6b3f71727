"""Options beside the chat: passed on, translated where another protocol has a word, or refused."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import KEY, Router
from tests.e2e.http_doors import PATIENCE_S, QUESTION, SCHEMA, door, says, url
from tests.e2e.test_http_answers import message
from tests.e2e.wire import Answers, Asked, Json, Reply, Wire, on_uvloop, whole

CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"
FUNCTION: Json = {"name": "weather", "parameters": SCHEMA}
CHAT_TOOLS = {"tools": [{"type": "function", "function": FUNCTION}]}
CLAUDE_TOOLS = {"tools": [{"name": "weather", "input_schema": SCHEMA}]}
RESPONSE_TOOLS: Json = {"tools": [{"type": "function"} | FUNCTION | {"strict": True}]}
THOUGHT = message([{"type": "text", "text": "Yes."}], "end_turn")


def gemini(_: Asked) -> Reply:
    content = {"parts": [{"text": "Yes."}], "role": "model"}
    usage = {"promptTokenCount": 3, "candidatesTokenCount": 2}
    candidate = {"content": content, "finishReason": "STOP"}
    return whole({"candidates": [candidate], "usageMetadata": usage})


ANSWERS: dict[str, Answers] = {"openai": says(), "anthropic": THOUGHT, "gemini": gemini}


@pytest.fixture(autouse=True)
def _model(model_dir: Path) -> None:
    """The router finds it where it was fetched to."""


async def asked(router: Router, path: str, body: Json, **headers: str) -> httpx.Response:
    given = {"authorization": f"Bearer {KEY}"} | {
        n.replace("_", "-"): v for n, v in headers.items()
    }
    if path == RESPONSES:
        body = {"model": "a", "input": QUESTION} | body
    else:
        limit = {"max_tokens": 50_000} if path == MESSAGES else {}
        body = {"model": "a", "messages": QUESTION} | limit | body
    async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
        return await client.post(url(router) + path, json=body, headers=given)


ALIKE: Json = {"verbosity": "low", "service_tier": "flex", "store": False, "user": "u"}
TRANSLATED: list[tuple[str, str, Json, Json, tuple[str, ...]]] = [
    (
        CHAT,
        "anthropic",
        {"reasoning_effort": "medium", "parallel_tool_calls": False, "user": "u", "top_k": 4}
        | {"logit_bias": {"1": 2}, "seed": 3, "x_own": 1, "store": True}
        | CHAT_TOOLS,
        {
            "thinking": {"type": "enabled", "budget_tokens": 8_192},
            "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
            "metadata": {"user_id": "u"},
            "top_k": 4,
        },
        ("reasoning_effort", "parallel_tool_calls", "user", "logit_bias", "x_own", "store"),
    ),
    (
        CHAT,
        "gemini",
        {"reasoning_effort": "low", "presence_penalty": 0.5, "frequency_penalty": 1, "top_k": 4}
        | {"user": "u", "x_own": 1},
        {
            "generationConfig": {
                "presencePenalty": 0.5,
                "frequencyPenalty": 1,
                "topK": 4,
                "thinkingConfig": {"thinkingBudget": 2_048},
            }
        },
        ("reasoning_effort", "user", "x_own"),
    ),
    (
        MESSAGES,
        "openai",
        {"thinking": {"type": "enabled", "budget_tokens": 20_000}, "top_k": 4, "x_own": 1}
        | {"metadata": {"user_id": "u"}, "service_tier": "auto"}
        | {"tool_choice": {"type": "any", "disable_parallel_tool_use": True}}
        | CLAUDE_TOOLS,
        {
            "reasoning_effort": "high",
            "parallel_tool_calls": False,
            "user": "u",
            "tool_choice": "required",
        },
        ("thinking", "metadata", "top_k", "service_tier", "x_own"),
    ),
    (
        MESSAGES,
        "openai",
        {"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}},
        {"reasoning_effort": "high"},
        ("thinking", "output_config"),
    ),
    (
        MESSAGES,
        "gemini",
        {"thinking": {"type": "enabled", "budget_tokens": 2_000}, "top_k": 4},
        {"generationConfig": {"topK": 4, "thinkingConfig": {"thinkingBudget": 2_048}}},
        ("thinking", "top_k"),
    ),
    (
        RESPONSES,
        "openai",
        {"reasoning": {"effort": "high", "summary": "auto"}, "text": {"verbosity": "low"}}
        | {"service_tier": "flex", "store": False, "user": "u", "top_logprobs": 2}
        | {"parallel_tool_calls": False, "truncation": "auto", "include": [], "x_own": 1}
        | RESPONSE_TOOLS,
        ALIKE
        | {
            "reasoning_effort": "high",
            "logprobs": True,
            "top_logprobs": 2,
            "parallel_tool_calls": False,
            "tools": [{"type": "function", "function": FUNCTION | {"strict": True}}],
        },
        ("reasoning", "text", "truncation", "include", "x_own", "input"),
    ),
    (
        RESPONSES,
        "anthropic",
        {"reasoning": {"effort": "minimal"}, "parallel_tool_calls": False} | RESPONSE_TOOLS,
        {
            "thinking": {"type": "enabled", "budget_tokens": 2_048},
            "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
        },
        ("reasoning", "parallel_tool_calls"),
    ),
    (CHAT, "anthropic", {"parallel_tool_calls": False}, {}, ("tool_choice",)),
]


@pytest.mark.parametrize(("path", "provider", "body", "got", "missing"), TRANSLATED)
@on_uvloop
async def test_another_protocol_gets_what_has_a_meaning_there(
    tmp_path: Path, *, path: str, provider: str, body: Json, got: Json, missing: tuple[str, ...]
) -> None:
    wire = Wire(ANSWERS[provider], provider=provider, options=", max_output_tokens: 60000")
    async with door(tmp_path, wire) as router:
        answer = await asked(router, path, {"max_tokens": 50_000} | body)
        assert answer.status_code == 200, answer.text
    (call,) = wire.asked
    found = call.body
    if "generationConfig" in got:
        limit = {"maxOutputTokens": found["generationConfig"]["maxOutputTokens"]}
        got = got | {"generationConfig": got["generationConfig"] | limit}
    assert {name: found.get(name) for name in got} == got
    assert not {*missing} & {*found}
    assert "x_own" not in json.dumps(found)


UNSERVED: list[tuple[str, Json]] = [
    (CHAT, {"n": 2}),
    (CHAT, {"best_of": 3}),
    (CHAT, {"models": ["x", "y"]}),
    (CHAT, {"route": "fallback"}),
    (CHAT, {"fallbacks": ["x"]}),
    (CHAT, {"functions": [FUNCTION]}),
    (CHAT, {"audio": {"voice": "x", "format": "wav"}}),
    (CHAT, {"modalities": ["text", "audio"]}),
    (CHAT, {"web_search_options": {"x": 1}}),
    (MESSAGES, {"mcp_servers": [{"type": "url", "url": "https://x.invalid", "name": "x"}]}),
    (MESSAGES, {"container": "c_1"}),
    (RESPONSES, {"previous_response_id": "r"}),
    (RESPONSES, {"conversation": "c"}),
    (RESPONSES, {"background": True}),
    (RESPONSES, {"prompt": {"id": "p"}}),
]


@on_uvloop
async def test_what_would_change_the_routing_is_named(tmp_path: Path) -> None:
    wire = Wire(says())
    async with door(tmp_path, wire) as router:
        for path, body in UNSERVED:
            refused = await asked(router, path, body)
            (name,) = body
            assert refused.status_code == 400, name
            error = refused.json()["error"]
            assert name in (error.get("param"), *error["message"].replace(":", " ").split())
    assert not wire.asked


@on_uvloop
async def test_options_are_no_part_of_anothers_answer(tmp_path: Path) -> None:
    """The same words with another option are another request, in the cache and under a key."""
    wire = Wire(says())
    options: list[Json] = [
        {},
        {"reasoning_effort": "high"},
        {"reasoning_effort": "low"},
        {"logit_bias": {"1": 2}},
        {"user": "u"},
        {"x_own": {"a": [1]}},
        {"x_own": {"a": [2]}},
        {"metadata": {"team": "x"}},
        {"messages": [QUESTION[0] | {"name": "ann"}]},
    ]
    async with door(tmp_path, wire, sections="cache: {enabled: true}") as router:
        for _ in range(2):
            for each in options:
                answer = await asked(router, CHAT, {"model": "auto"} | each)
                assert answer.status_code == 200, answer.text
        assert len(wire.asked) == len(options)
        # The order of keys, null and what is for the router alone make no other request.
        for same in ({"x_own": None}, {"metadata": {"router_session": "s"}}, {"stream": False}):
            answer = await asked(router, CHAT, {"model": "auto"} | same)
            assert answer.headers["x-router-cache"] == "exact"
        other = await asked(router, MESSAGES, {"model": "auto", "max_tokens": 9})
        assert other.status_code == 200
        assert len(wire.asked) == len(options) + 1
        first = await asked(router, CHAT, {"user": "u"}, idempotency_key="k")
        again = await asked(router, CHAT, {"user": "v"}, idempotency_key="k")
        assert (first.status_code, again.status_code) == (200, 422)


@pytest.mark.parametrize(
    "name", ["reasoning_effort", "verbosity", "prediction", "metadata", "store", "top_k", "user"]
)
@on_uvloop
async def test_a_provider_that_refuses_an_option_answers_without(tmp_path: Path, name: str) -> None:
    def picky(call: Asked) -> Reply:
        if name not in call.body:
            return says()(call)
        told = {"message": f"Unrecognized request argument supplied: {name}"}
        return whole({"error": told | {"type": "invalid_request_error", "param": name}}, 400)

    wire, option = Wire(picky), {name: {"a": "b"} if name == "metadata" else "low"}
    async with door(tmp_path, wire) as router:
        for _ in range(2):
            answer = await asked(router, CHAT, option)
            assert answer.status_code == 200, answer.text
    assert [name in call.body for call in wire.asked] == [True, False, False]


@on_uvloop
async def test_the_deployments_own_options_are_stronger(tmp_path: Path) -> None:
    own = ", parameters: {reasoning_effort: low, x_own: {b: 1}}, omit: [store]"
    wire = Wire(says(), options=own)
    async with door(tmp_path, wire) as router:
        sent = {"reasoning_effort": "high", "x_own": {"a": 1}, "store": True, "user": "u"}
        assert (await asked(router, CHAT, sent)).status_code == 200
        thinking = {"thinking": {"type": "enabled", "budget_tokens": 9_000}}
        assert (await asked(router, MESSAGES, thinking)).status_code == 200
    first, second = (call.body for call in wire.asked)
    assert (first["reasoning_effort"], second["reasoning_effort"]) == ("low", "low")
    assert first["x_own"] == {"b": 1}
    assert "store" not in first
    assert first["user"] == "u"


MARK = {"cache_control": {"type": "ephemeral"}}
MARKED: Json = {
    "system": [{"type": "text", "text": "Be brief."} | MARK],
    "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"} | MARK]}],
}


@pytest.mark.parametrize(
    ("options", "sent", "marks"),
    [
        ("", MARKED, 2),
        (", prompt_caching: automatic", MARKED, 2),
        (", prompt_caching: automatic", {"system": "Be brief."}, 2),
        (", prompt_caching: automatic", {"system": [{"type": "text", "text": "Be brief."}]}, 2),
        (", omit: [cache_control]", MARKED, 0),
    ],
)
@on_uvloop
async def test_breakpoints_are_the_callers_where_it_sets_any(
    tmp_path: Path, options: str, sent: Json, marks: int
) -> None:
    wire = Wire(THOUGHT, provider="anthropic", options=options)
    async with door(tmp_path, wire) as router:
        answer = await asked(router, MESSAGES, sent)
        assert answer.status_code == 200, answer.text
    assert json.dumps(wire.asked[-1].body).count("cache_control") == marks


@on_uvloop
async def test_marks_that_a_server_refuses_are_taken_out(tmp_path: Path) -> None:
    def picky(call: Asked) -> Reply:
        if "cache_control" not in json.dumps(call.body):
            return THOUGHT(call)
        told = "messages.0.content.0.cache_control: Extra inputs are not permitted"
        return whole({"error": {"type": "invalid_request_error", "message": told}}, 400)

    wire = Wire(picky, provider="anthropic")
    async with door(tmp_path, wire) as router:
        answer = await asked(router, MESSAGES, MARKED)
        assert answer.status_code == 200, answer.text
    assert len(wire.asked) == 2


@on_uvloop
async def test_betas_of_caller_and_deployment_are_joined(tmp_path: Path) -> None:
    wire = Wire(THOUGHT, provider="anthropic", options=", headers: {anthropic-beta: BETA}")
    told = {"environment": {"BETA": "own-1"}}
    async with door(tmp_path, wire, **told) as router:
        answer = await asked(router, MESSAGES, {}, anthropic_beta="new-2")
        assert answer.status_code == 200, answer.text
        await asked(router, MESSAGES, {})
    betas = [call.headers["anthropic-beta"] for call in wire.asked]
    assert betas == ["own-1,new-2", "own-1"]


@on_uvloop
async def test_thinking_fits_the_routers_own_limit(tmp_path: Path) -> None:
    """A deployment that writes less than the caller asked for has room for half as much."""
    wire = Wire(THOUGHT, provider="anthropic", options=", max_output_tokens: 4000")
    async with door(tmp_path, wire) as router:
        thinking = {"thinking": {"type": "enabled", "budget_tokens": 31_999}}
        answer = await asked(router, MESSAGES, thinking)
        assert answer.status_code == 200, answer.text
    (call,) = wire.asked
    assert call.body["max_tokens"] == 4_000
    assert call.body["thinking"]["budget_tokens"] == 2_000


ODD: list[tuple[str, bytes, int]] = [
    (CHAT, b'"x_own": "\\ud800"', 400),
    (CHAT, b'"x_own": {"\\udc00": 1}', 400),
    (CHAT, b'"x_own": 1e400', 200),
    (CHAT, b'"x_own": 123456789012345678901234567890', 200),
    (CHAT, b'"x_own": ' + b"[" * 70 + b"]" * 70, 400),
    (CHAT, b'"logit_bias": [], "prediction": 3, "reasoning_effort": {"a": 1}', 200),
    (MESSAGES, b'"thinking": [], "output_config": null, "metadata": {"user_id": 3}', 200),
    (MESSAGES, b'"thinking": {"type": 3, "budget_tokens": "x"}', 200),
    (MESSAGES, b'"system": [{"type": "text", "text": "x", "cache_control": "y"}]', 200),
    (RESPONSES, b'"reasoning": 3, "include": [3], "user": {}', 200),
    (RESPONSES, b'"tools": [{"type": "function", "name": "x", "strict": "y"}]', 200),
    (MESSAGES, b'"tools": [{"name": "x", "input_schema": {"title": "\\ud800"}}]', 400),
    (MESSAGES, b'"tools": [{"name": "x", "input_schema": {"maximum": 1e400}}]', 200),
]


@pytest.mark.parametrize("provider", ["openai", "anthropic", "gemini"])
@on_uvloop
async def test_odd_options_end_nothing(tmp_path: Path, provider: str) -> None:
    wire = Wire(ANSWERS[provider], provider=provider)
    async with door(tmp_path, wire) as router, httpx.AsyncClient(timeout=PATIENCE_S) as client:
        for path, odd, status in ODD:
            field = b'"input": "Hi"' if path == RESPONSES else b'"messages": [%s]' % _question()
            limit = b'"max_tokens": 99, ' if path == MESSAGES else b""
            body = b'{"model": "a", ' + limit + field + b", " + odd + b"}"
            given = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
            got = await client.post(url(router) + path, content=body, headers=given)
            assert got.status_code == status, (odd, got.text)


def _question() -> bytes:
    return json.dumps(QUESTION[0]).encode()
