"""The responses door, asked by the official client over real HTTP."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import openai
import pydantic
import pytest

from tests.e2e.http_doors import (
    CALLS,
    QUESTION,
    SCHEMA,
    calls,
    door,
    openai_client,
    post,
    raw,
    says,
)
from tests.e2e.test_http_messages import THINKING, thinks
from tests.e2e.wire import Wire, on_uvloop

TOOL: Any = {"type": "function", "name": "weather", "parameters": SCHEMA, "strict": True}
PIXEL = "data:image/png;base64,iVBORw0KGgo="


class Town(pydantic.BaseModel):
    city: str


@pytest.fixture(autouse=True)
def _model(model_dir: Path) -> None:
    """The router finds it where it was fetched to."""


@on_uvloop
async def test_whole_streamed_and_parsed(tmp_path: Path) -> None:
    async with door(tmp_path, Wire(says('{"city": "Oslo"}'))) as router, openai_client(router) as c:
        done = await c.responses.create(model="auto", input="Where?", instructions="Be brief.")
        assert done.output_text == '{"city": "Oslo"}'
        assert done.status == "completed"
        assert done.usage is not None
        assert done.usage.total_tokens == 17
        async with c.responses.stream(model="a", input="Where?") as stream:
            kinds = [event.type async for event in stream]
            last = await stream.get_final_response()
        assert last.output_text == '{"city":"Oslo"}'
        assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
        parsed = await c.responses.parse(model="auto", input="Where?", text_format=Town)
        assert parsed.output_parsed == Town(city="Oslo")


@on_uvloop
async def test_calls_whole_and_streamed(tmp_path: Path) -> None:
    async with door(tmp_path, Wire(calls)) as router, openai_client(router) as client:
        done = await client.responses.create(model="a", input=QUESTION, tools=[TOOL])
        made = [(i.call_id, i.arguments) for i in done.output if i.type == "function_call"]
        assert made == list(CALLS)
        async with client.responses.stream(model="a", input=QUESTION, tools=[TOOL]) as stream:
            last = await stream.get_final_response()
        made = [(i.call_id, i.arguments) for i in last.output if i.type == "function_call"]
        assert made == list(CALLS)


@on_uvloop
async def test_what_is_sent_reaches_the_provider(tmp_path: Path) -> None:
    wire = Wire(says(), options=", images: yes")
    asked: Any = [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "What?"},
                {"type": "input_image", "image_url": PIXEL, "detail": "low"},
            ],
        },
        {"type": "message", "role": "assistant", "content": "I look."},
        {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"},
        {"type": "function_call", "call_id": "c2", "name": "weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "Rain."},
        {"type": "function_call_output", "call_id": "c2", "output": "Sun."},
        {"role": "user", "content": "Now?"},
    ]
    async with door(tmp_path, wire) as router, openai_client(router) as client:
        await client.responses.create(
            model="a",
            input=asked,
            instructions="Be brief.",
            tools=[TOOL],
            tool_choice="required",
            temperature=0.5,
            max_output_tokens=99,
        )
    got = wire.asked[-1].body
    roles = [message["role"] for message in got["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "tool", "user"]
    assert [call["id"] for call in got["messages"][2]["tool_calls"]] == ["c1", "c2"]
    assert got["messages"][1]["content"][1]["image_url"] == {"url": PIXEL, "detail": "low"}
    assert got["tools"][0]["function"] == {
        "name": "weather",
        "parameters": SCHEMA,
        "strict": True,
    }
    assert (got["tool_choice"], got["temperature"], got["max_tokens"]) == ("required", 0.5, 99)


@pytest.mark.parametrize("stream", [True, False])
@on_uvloop
async def test_reasoning_goes_back_through_a_loop_of_tools(tmp_path: Path, *, stream: bool) -> None:
    wire = Wire(thinks, provider="anthropic")
    async with door(tmp_path, wire) as router, openai_client(router) as client:
        first = await _answer(client, QUESTION, stream=stream)
        result = {"type": "function_call_output", "call_id": "c1", "output": "Rain."}
        items = [*QUESTION, *(item.model_dump() for item in first.output), result]
        done = await _answer(client, items, stream=stream)
        assert done.output_text == "Rain."
    assert wire.asked[-1].body["messages"][1]["content"][0] == THINKING


async def _answer(client: openai.AsyncOpenAI, asked: Any, *, stream: bool) -> Any:
    if not stream:
        return await client.responses.create(model="a", input=asked, tools=[TOOL])
    async with client.responses.stream(model="a", input=asked, tools=[TOOL]) as events:
        return await events.get_final_response()


@on_uvloop
async def test_errors_are_the_clients_own(tmp_path: Path) -> None:
    async with door(tmp_path, Wire(says())) as router, openai_client(router) as client:
        with pytest.raises(openai.BadRequestError) as stored:
            await client.responses.create(model="auto", input="x", previous_response_id="r")
        assert stored.value.param == "previous_response_id"
        with pytest.raises(openai.BadRequestError) as searched:
            await client.responses.create(model="auto", input="x", tools=[{"type": "web_search"}])
        assert searched.value.param == "tools[0].type"
        got = await raw(router, post("/v1/responses", b'{"model":"auto","input":3}'))
        assert json.loads(got.partition(b"\r\n\r\n")[2])["error"]["param"] == "input"
