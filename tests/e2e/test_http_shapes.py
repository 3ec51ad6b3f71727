"""Nothing is lost on the way through: what a client sent is what its protocol's provider gets.

Held byte for byte after decoding JSON, for recorded shapes of coding agents and for requests by
chance. What the router changes on purpose is all in `due`, which docs/api.md lists.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import KEY, Router
from tests.e2e.http_doors import PATIENCE_S, door, says, url
from tests.e2e.shapes import PATHS, Dice, Json, Shape, due, exact, names, recorded
from tests.e2e.test_http_messages import thinks
from tests.e2e.test_http_options import gemini
from tests.e2e.wire import Answers, Wire, on_uvloop

ROOM = ", images: yes, context_window_tokens: 1000000, max_output_tokens: 64000"
CHAT, MESSAGES = names(PATHS["chat"]), names(PATHS["messages"])
BY_CHANCE = 60


@pytest.fixture(autouse=True)
def _model(model_dir: Path) -> None:
    """The router finds it where it was fetched to."""


async def sent(router: Router, wire: Wire, shape: Shape) -> Any:
    """Returns the provider's view of a request that was answered."""
    before = len(wire.asked)
    headers = {"authorization": f"Bearer {KEY}"} | shape.headers
    async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
        body = shape.body | {"model": "a"}
        got = await client.post(url(router) + shape.path, json=body, headers=headers)
        assert got.status_code == 200, got.text
    assert len(wire.asked) == before + 1
    return wire.asked[-1]


def test_every_door_has_recorded_shapes() -> None:
    assert len(CHAT) >= 4
    assert len(MESSAGES) >= 3


@pytest.mark.parametrize("name", CHAT)
@on_uvloop
async def test_recorded_chats_arrive_as_they_were_sent(tmp_path: Path, name: str) -> None:
    wire = Wire(says('{"city": "Oslo"}'), options=ROOM)
    async with door(tmp_path, wire) as router:
        got = (await sent(router, wire, recorded(name))).body
    assert exact(got) == exact(due(recorded(name), got))


@pytest.mark.parametrize("name", MESSAGES)
@on_uvloop
async def test_recorded_messages_arrive_as_they_were_sent(tmp_path: Path, name: str) -> None:
    wire, shape = Wire(thinks, provider="anthropic", options=ROOM), recorded(name)
    async with door(tmp_path, wire) as router:
        asked = await sent(router, wire, shape)
    assert exact(asked.body) == exact(due(shape, asked.body))
    assert asked.headers.get("anthropic-beta") == shape.headers.get("anthropic-beta")


@pytest.mark.parametrize("seed", range(3))
@on_uvloop
async def test_chats_by_chance_arrive_as_they_were_sent(tmp_path: Path, seed: int) -> None:
    wire, dice = Wire(says(), options=ROOM), Dice(seed)
    async with door(tmp_path, wire) as router:
        for _ in range(BY_CHANCE):
            shape = dice.chat()
            got = (await sent(router, wire, shape)).body
            assert exact(got) == exact(due(shape, got)), shape.body


@pytest.mark.parametrize("seed", range(3))
@on_uvloop
async def test_messages_by_chance_arrive_as_they_were_sent(tmp_path: Path, seed: int) -> None:
    wire, dice = Wire(thinks, provider="anthropic", options=ROOM), Dice(seed)
    async with door(tmp_path, wire) as router:
        for _ in range(BY_CHANCE):
            shape = dice.messages()
            got = (await sent(router, wire, shape)).body
            assert exact(got) == exact(due(shape, got)), shape.body


RESPONSES = names("/v1/responses")


def as_chat(body: Json, got: Json) -> Json:
    """Returns what a provider of chat completions is due for a request of responses."""
    wanted = body.get("text", {}).get("format")
    named: Json = {n: wanted[n] for n in ("name", "schema", "strict")} if wanted else {}
    choice = body.get("tool_choice")
    if isinstance(choice, dict):
        choice = {"type": "function", "function": {"name": choice["name"]}}
    due_: Json = {
        "model": "m",
        "messages": [*_chat_messages(body)],
        "tools": [
            {"type": "function", "function": {n: v for n, v in tool.items() if n != "type"}}
            for tool in body["tools"]
        ],
        "tool_choice": None if choice == "auto" else choice,
        "max_tokens": body.get("max_output_tokens") or got["max_tokens"],
        "response_format": {"type": "json_schema", "json_schema": named} if wanted else None,
        "reasoning_effort": body.get("reasoning", {}).get("effort"),
        "verbosity": body.get("text", {}).get("verbosity"),
        "logprobs": True if body.get("top_logprobs") else None,
    }
    alike = ("temperature", "top_p", "top_logprobs", "user", "service_tier", "metadata", "store")
    alike += ("parallel_tool_calls", "prompt_cache_key")
    due_ |= {name: body.get(name) for name in alike}
    if body.get("stream"):
        due_ |= {"stream": True, "stream_options": {"include_usage": True}}
    return {name: value for name, value in due_.items() if value is not None}


def _chat_messages(body: Json) -> Iterator[Json]:
    if "instructions" in body:
        yield {"role": "system", "content": body["instructions"]}
    turn: Json = {}
    for item in body["input"]:
        if item.get("type") == "function_call":
            function = {"name": item["name"], "arguments": item["arguments"]}
            called = {"id": item["call_id"], "type": "function", "function": function}
            turn.setdefault("tool_calls", []).append(called)
            continue
        if item.get("role") == "assistant":
            turn = {"role": "assistant", "content": _said(item["content"])} | turn
            continue
        if item.get("type") == "reasoning":
            continue
        if turn:
            yield turn
            turn = {}
        if item.get("type") == "function_call_output":
            told = _said(item["output"])
            yield {"role": "tool", "tool_call_id": item["call_id"], "content": told}
        else:
            role = {"developer": "system"}.get(item["role"], item["role"])
            yield {"role": role, "content": _said(item["content"])}
    if turn:
        yield turn


def _said(content: Any) -> Any:
    if isinstance(content, str):
        return content
    parts = [
        {"type": "text", "text": part["text"]}
        if "text" in part
        else {
            "type": "image_url",
            "image_url": {"url": part["image_url"], "detail": part["detail"]},
        }
        for part in content
    ]
    return parts if any("image_url" in part for part in parts) else _joined(parts)


def _joined(parts: list[Json]) -> str:
    return "\n".join(part["text"] for part in parts)


@pytest.mark.parametrize("name", RESPONSES)
@on_uvloop
async def test_recorded_responses_arrive_as_chat_completions(tmp_path: Path, name: str) -> None:
    wire = Wire(says('{"city": "Oslo"}'), options=ROOM)
    async with door(tmp_path, wire) as router:
        got = (await sent(router, wire, recorded(name))).body
    assert exact(got) == exact(as_chat(recorded(name).body, got))


HIDDEN = ("thinking", "signature", "data", "encrypted_content", "reasoning_content", "summary")
"""Of other protocols: what a model thought is read by its own alone."""
SAID = ("text", "name", "description", "content", "arguments", "instructions", "url", "output")


def texts(value: Any, *, said: bool = False) -> Iterator[str]:
    """Yields the texts of a request that every model is to read."""
    if isinstance(value, str):
        yield from [value.strip()] if said and value.strip() else []
    elif isinstance(value, list):
        for each in value:
            yield from texts(each, said=said)
    elif isinstance(value, dict):
        for name, each in value.items():
            if name not in (*HIDDEN, "prediction", "json_schema", "text_format", "format"):
                yield from texts(each, said=name in SAID and not isinstance(each, dict))


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from strings(each)


ANSWERS: dict[str, Answers] = {"openai": says("{}"), "anthropic": thinks, "gemini": gemini}


@pytest.mark.parametrize("provider", ANSWERS)
@pytest.mark.parametrize("name", [*CHAT, *MESSAGES, *RESPONSES])
@on_uvloop
async def test_no_words_are_lost_to_any_provider(tmp_path: Path, name: str, provider: str) -> None:
    wire, shape = Wire(ANSWERS[provider], provider=provider, options=ROOM), recorded(name)
    async with door(tmp_path, wire) as router:
        got = (await sent(router, wire, shape)).body
    body = {n: v for n, v in shape.body.items() if n not in ("model", "user", "metadata")}
    found = [*strings(got), json.dumps(got, ensure_ascii=False)]
    for text in texts(body):
        known = text.removeprefix("data:image/png;base64,")
        if not text.startswith("{") and known not in ("Tool_0", "ann"):
            assert any(known in each for each in found), text
