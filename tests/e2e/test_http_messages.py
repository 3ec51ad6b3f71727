"""The messages door, asked by Anthropic's official client over real HTTP."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import anthropic
import pytest

from tests.e2e.http_doors import (
    CALLS,
    PATIENCE_S,
    QUESTION,
    SCHEMA,
    Held,
    anthropic_client,
    calls,
    door,
    post,
    raw,
    says,
)
from tests.e2e.wire import Asked, Reply, Wire, events, on_uvloop, whole

PIXEL = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
TOOL: Any = {"name": "weather", "description": "Tells it.", "input_schema": SCHEMA}
THINKING = {"type": "thinking", "thinking": "Hm.", "signature": "sig"}
PLAIN: Any = {"model": "auto", "max_tokens": 50, "messages": QUESTION}


@pytest.fixture(autouse=True)
def _model(model_dir: Path) -> None:
    """The router finds it where it was fetched to."""


def thinks(asked: Asked) -> Reply:
    """Claude thinks, then calls; once it has the result it answers."""
    turn: list[Any] = [{"type": "text", "text": "Rain."}]
    if "tool_result" not in json.dumps(asked.body):
        turn = [
            THINKING,
            {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "x"}},
        ]
    stop = "tool_use" if len(turn) > 1 else "end_turn"
    usage = {"input_tokens": 10, "output_tokens": 5}
    message = {"id": "m", "type": "message", "role": "assistant", "model": "m", "usage": usage}
    if not asked.streams:
        return whole(message | {"content": turn, "stop_reason": stop})
    begun: list[Any] = [{"type": "message_start", "message": message | {"content": []}}]
    for index, block in enumerate(turn):
        begun += [
            {"type": "content_block_start", "index": index, "content_block": block},
            {"type": "content_block_stop", "index": index},
        ]
    ended = {"type": "message_delta", "delta": {"stop_reason": stop}, "usage": usage}
    return events(*begun, ended, {"type": "message_stop"})


@on_uvloop
async def test_whole_with_its_receipt(tmp_path: Path) -> None:
    async with door(tmp_path, Wire(says())) as router, anthropic_client(router) as client:
        raw_ = await client.messages.with_raw_response.create(**PLAIN)
        done = await raw_.parse()
        assert done.content[0].text == "Forty-two."  # type: ignore[union-attr]
        assert (done.stop_reason, done.role) == ("end_turn", "assistant")
        assert (done.usage.input_tokens, done.usage.output_tokens) == (12, 5)
        found = await router.decision(raw_.headers["x-router-decision-id"])
        assert found.receipt.arm == raw_.headers["x-router-arm"]


@on_uvloop
async def test_a_stream_of_text(tmp_path: Path) -> None:
    async with door(tmp_path, Wire(says("One two"))) as router, anthropic_client(router) as client:
        async with client.messages.stream(**PLAIN) as stream:
            kinds = [event.type async for event in stream]
            done = await stream.get_final_message()
        assert done.content[0].text == "Onetwo"  # type: ignore[union-attr]
        assert done.usage.output_tokens == 5
        assert (kinds[0], kinds[-1]) == ("message_start", "message_stop")


@on_uvloop
async def test_calls_whole_and_streamed(tmp_path: Path) -> None:
    expected = [(id_, json.loads(arguments)) for id_, arguments in CALLS]
    async with door(tmp_path, Wire(calls)) as router, anthropic_client(router) as client:
        done = await client.messages.create(**PLAIN, tools=[TOOL])
        assert [(b.id, b.input) for b in done.content if b.type == "tool_use"] == expected
        assert done.stop_reason == "tool_use"
        async with client.messages.stream(**PLAIN, tools=[TOOL]) as stream:
            streamed = await stream.get_final_message()
        assert [(b.id, b.input) for b in streamed.content if b.type == "tool_use"] == expected


@on_uvloop
async def test_what_is_sent_reaches_the_provider(tmp_path: Path) -> None:
    wire = Wire(thinks, provider="anthropic", options=", images: yes")
    sent: dict[str, Any] = {
        "max_tokens": 77,
        "system": "Be brief.",
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is it?"},
                    {"type": "image", "source": PIXEL},
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "I look."},
                    {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "x"}},
                    {"type": "tool_use", "id": "c2", "name": "weather", "input": {"city": "y"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "c1", "content": "Rain."},
                    {"type": "tool_result", "tool_use_id": "c2", "content": "Sun."},
                    {"type": "text", "text": "And now?"},
                ],
            },
        ],
        "tools": [TOOL],
        "tool_choice": {"type": "tool", "name": "weather"},
        "stop_sequences": ["END"],
    }
    older = {"temperature": 0.25}
    async with door(tmp_path, wire) as router, anthropic_client(router) as client:
        await client.messages.create(model="a", **sent, extra_body=older)
    got = wire.asked[-1].body
    sent |= older
    assert {name: got[name] for name in sent} == sent


@pytest.mark.parametrize("stream", [True, False])
@on_uvloop
async def test_thinking_goes_back_through_a_loop_of_tools(tmp_path: Path, *, stream: bool) -> None:
    wire = Wire(thinks, provider="anthropic")
    async with door(tmp_path, wire) as router, anthropic_client(router) as client:
        first = await _answer(client, stream=stream, **PLAIN, tools=[TOOL])
        result = {"type": "tool_result", "tool_use_id": "c1", "content": "Rain."}
        turns = [
            *QUESTION,
            {"role": "assistant", "content": [b.model_dump() for b in first.content]},
            {"role": "user", "content": [result]},
        ]
        again = PLAIN | {"messages": turns}
        done = await _answer(client, stream=stream, **again, tools=[TOOL])
        assert done.content[0].text == "Rain."
    assert wire.asked[-1].body["messages"][1]["content"][0] == THINKING


async def _answer(client: anthropic.AsyncAnthropic, *, stream: bool, **asked: Any) -> Any:
    if not stream:
        return await client.messages.create(**asked)
    async with client.messages.stream(**asked) as events_:
        return await events_.get_final_message()


@on_uvloop
async def test_what_coding_agents_send(tmp_path: Path) -> None:
    """A long system prompt in blocks with cache marks, thirty tools, thinking, metadata."""
    mark = {"cache_control": {"type": "ephemeral"}}
    tools = [TOOL | {"name": f"tool_{i}"} for i in range(30)]
    asked: dict[str, Any] = {
        "model": "a",
        "max_tokens": 4_000,
        "system": [
            {"type": "text", "text": "You are an agent. " * 500},
            {"type": "text", "text": "Rules. " * 500} | mark,
        ],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Mend it."} | mark]},
        ],
        "tools": [*tools[:-1], tools[-1] | mark],
        "thinking": {"type": "enabled", "budget_tokens": 2_000},
        "metadata": {"user_id": "u_1"},
    }
    wire = Wire(thinks, provider="anthropic")
    async with door(tmp_path, wire) as router, anthropic_client(router) as client:
        done = await client.messages.create(**asked)
        assert done.stop_reason == "tool_use"
    got = wire.asked[-1].body
    assert [tool["name"] for tool in got["tools"]] == [tool["name"] for tool in tools]
    assert "Rules. " * 500 in json.dumps(got["system"])


@on_uvloop
async def test_errors_are_the_clients_own(tmp_path: Path) -> None:
    async with door(tmp_path, Wire(says())) as router, anthropic_client(router) as client:
        with pytest.raises(anthropic.NotFoundError):
            await client.messages.create(**PLAIN | {"model": "claude"})
        with pytest.raises(anthropic.BadRequestError) as bad:
            await client.messages.create(**PLAIN | {"max_tokens": 0})
        assert bad.value.body["error"]["type"] == "invalid_request_error"  # type: ignore[index]
        async with anthropic_client(router, api_key="wrong") as stranger:
            with pytest.raises(anthropic.AuthenticationError):
                await stranger.messages.create(**PLAIN)
        got = await raw(router, post("/v1/messages", b"{"))
        assert json.loads(got.partition(b"\r\n\r\n")[2])["type"] == "error"


@on_uvloop
async def test_tokens_are_counted_and_models_listed(tmp_path: Path) -> None:
    wire = Wire(says())
    async with door(tmp_path, wire) as router, anthropic_client(router) as client:
        counted = await client.messages.count_tokens(model="auto", messages=QUESTION)
        assert counted.input_tokens > 0
        assert "a" in [model.id async for model in client.models.list()]
    assert not wire.asked


@on_uvloop
async def test_who_leaves_ends_the_providers_call(tmp_path: Path) -> None:
    wire = Held(says())
    async with door(tmp_path, wire) as router, anthropic_client(router) as client:
        asking = asyncio.create_task(_answer(client, stream=True, **PLAIN))
        async with asyncio.timeout(PATIENCE_S):
            await wire.began.wait()
            await asyncio.sleep(0.05)
            asking.cancel()
            left_s = time.monotonic()
            await wire.left.wait()
        await asyncio.gather(asking, return_exceptions=True)
    assert wire.left_s - left_s < 0.1
