"""The responses door in front of a provider of responses: both go through untouched."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai.types import responses
from pydantic import TypeAdapter

from tests.e2e.conftest import KEY
from tests.e2e.http_doors import QUESTION, SCHEMA, door, openai_client, url
from tests.e2e.shapes import Json, Shape, exact, names, recorded
from tests.e2e.test_http_shapes import ROOM, sent
from tests.e2e.wire import Asked, Reply, Wire, events, on_uvloop, whole

TOOL: Any = {"type": "function", "name": "weather", "parameters": SCHEMA, "strict": True}
REASONING: Json = {
    "type": "reasoning",
    "id": "rs_7",
    "summary": [{"type": "summary_text", "text": "Look."}],
    "encrypted_content": "gAAA==",
}
CITED = {"type": "url_citation", "url": "https://x.invalid", "title": "T"}
CITED |= {"start_index": 0, "end_index": 5}  # type: ignore[dict-item]
SAID: Json = {
    "type": "message",
    "id": "msg_7",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "I look.", "annotations": [CITED], "logprobs": []}],
}
CALL: Json = {
    "type": "function_call",
    "id": "fc_7",
    "call_id": "c1",
    "name": "weather",
    "arguments": '{"city": "x"}',
    "status": "completed",
}
USAGE: Json = {
    "input_tokens": 12,
    "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 17,
}
RESPONSE: Json = {
    "id": "resp_77",
    "object": "response",
    "created_at": 1_700_000_000,
    "status": "completed",
    "error": None,
    "incomplete_details": None,
    "instructions": "Be brief.",
    "model": "m",
    "output": [REASONING, SAID, CALL],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "service_tier": "flex",
    "x_own": {"a": 1},
    "usage": USAGE,
}


@pytest.fixture(autouse=True)
def _model(model_dir: Path) -> None:
    """The router finds it where it was fetched to."""


def responds(asked: Asked) -> Reply:
    if not asked.streams:
        return whole(RESPONSE)
    begun = RESPONSE | {"status": "in_progress", "output": [], "usage": None}
    told: list[Json] = [{"type": "response.created", "response": begun}]
    for index, item in enumerate(RESPONSE["output"]):
        told += _events(index, copy.deepcopy(item))
    told.append({"type": "response.completed", "response": RESPONSE})
    return events(*({"sequence_number": i} | each for i, each in enumerate(told)))


def _events(index: int, item: Json) -> list[Json]:
    place, at = {"output_index": index}, {"output_index": index, "item_id": item["id"]}
    opened, pieces = copy.deepcopy(item), list[Json]()
    if item["type"] == "message":
        opened |= {"content": [], "status": "in_progress"}
        part, at = item["content"][0], at | {"content_index": 0}
        texts = part["text"][:2], part["text"][2:]
        empty = part | {"text": "", "annotations": []}
        pieces = [
            {"type": "response.content_part.added", "part": empty} | at,
            *(
                {"type": "response.output_text.delta", "delta": text, "logprobs": []} | at
                for text in texts
            ),
            {"type": "response.output_text.annotation.added", "annotation": CITED}
            | {"annotation_index": 0}
            | at,
            {"type": "response.output_text.done", "text": part["text"], "logprobs": []} | at,
            {"type": "response.content_part.done", "part": part} | at,
        ]
    elif item["type"] == "function_call":
        opened |= {"arguments": "", "status": "in_progress"}
        kind, arguments = "response.function_call_arguments", item["arguments"]
        pieces = [
            {"type": f"{kind}.delta", "delta": arguments[:3]} | at,
            {"type": f"{kind}.delta", "delta": arguments[3:]} | at,
            {"type": f"{kind}.done", "arguments": arguments, "name": item["name"]} | at,
        ]
    return [
        {"type": "response.output_item.added", "item": opened} | place,
        *pieces,
        {"type": "response.output_item.done", "item": item} | place,
    ]


def due(shape: Shape, got: Json) -> Json:
    """Returns what the provider is due: all but what docs/api.md lists."""
    body = {n: v for n, v in shape.body.items() if n != "stream" or v}
    limit = body.get("max_output_tokens") or got["max_output_tokens"]
    return {"store": False} | body | {"model": "m", "max_output_tokens": limit}


@pytest.mark.parametrize("name", names("/v1/responses"))
@on_uvloop
async def test_recorded_responses_arrive_as_they_were_sent(tmp_path: Path, name: str) -> None:
    wire, shape = Wire(responds, provider="responses", options=ROOM), recorded(name)
    async with door(tmp_path, wire) as router:
        got = (await sent(router, wire, shape)).body
    assert exact(got) == exact(due(shape, got))


@pytest.mark.parametrize("stream", [False, True])
@on_uvloop
async def test_a_response_comes_back_as_it_was_written(tmp_path: Path, *, stream: bool) -> None:
    """And goes back so, in the next turn of its loop of tools."""
    wire = Wire(responds, provider="responses")
    async with door(tmp_path, wire) as router, openai_client(router) as client:
        done = await _asked(client, QUESTION, stream=stream)
        told = done.model_dump(exclude_none=True)
        assert told["id"] == "resp_77"
        assert told["x_own"] == {"a": 1}
        assert told["usage"] == USAGE
        assert told["router"]["arm"] == "a"
        reasoning, said, call = told["output"]
        assert reasoning == REASONING | {"router_model": "m"}
        assert {n: v for n, v in said.items() if n != "content"} == {
            n: v for n, v in SAID.items() if n != "content"
        }
        part = said["content"][0]
        assert (part["text"], part["annotations"]) == ("I look.", [CITED])
        assert {name: call[name] for name in CALL} == CALL
        result = {"type": "function_call_output", "call_id": "c1", "output": "Rain."}
        items = [*QUESTION, reasoning, SAID, CALL, result]
        await _asked(client, items, stream=stream)
    assert wire.asked[-1].body["input"] == [*QUESTION, REASONING, SAID, CALL, result]


async def _asked(client: openai.AsyncOpenAI, items: Any, *, stream: bool) -> Any:
    if not stream:
        return await client.responses.create(model="a", input=items, tools=[TOOL])
    async with client.responses.stream(model="a", input=items, tools=[TOOL]) as events_:
        return await events_.get_final_response()


@pytest.mark.parametrize("cached", [False, True])
@on_uvloop
async def test_events_hold_to_the_letter(tmp_path: Path, *, cached: bool) -> None:
    """Live they are the provider's own; out of the cache they say the same."""
    wire = Wire(responds, provider="responses")
    asked: Json = {"model": "auto", "input": QUESTION, "tools": [TOOL], "stream": True}
    async with (
        door(tmp_path, wire, sections=f"cache: {{enabled: {str(cached).lower()}}}") as router,
        httpx.AsyncClient() as client,
    ):
        given = {"authorization": f"Bearer {KEY}"}
        for _ in range(2):
            got = await client.post(url(router) + "/v1/responses", json=asked, headers=given)
    assert len(wire.asked) == (1 if cached else 2)
    found = [json.loads(line[6:]) for line in got.text.splitlines() if line.startswith("data: {")]
    for each in found:
        TypeAdapter(responses.ResponseStreamEvent).validate_python(each)
    assert [each["sequence_number"] for each in found] == [*range(len(found))]
    last = found[-1]["response"]
    assert found[-1]["type"] == "response.completed"
    assert (last["id"] == "resp_77") is not cached
    assert last["output"] == [REASONING | {"router_model": "m"}, SAID, CALL]
    text = "".join(e["delta"] for e in found if e["type"] == "response.output_text.delta")
    assert text == "I look."


@on_uvloop
async def test_why_a_response_ended_or_failed(tmp_path: Path) -> None:
    cut = RESPONSE | {"status": "incomplete", "output": [SAID]}
    cut |= {"incomplete_details": {"reason": "max_output_tokens"}}
    failed = RESPONSE | {"status": "failed", "output": [], "usage": None}
    failed |= {"error": {"code": "server_error", "message": "x"}}
    left = [cut, failed]
    wire = Wire(lambda _: whole(left.pop(0)), provider="responses")
    async with door(tmp_path, wire) as router, openai_client(router) as client:
        done = await client.responses.create(model="a", input=QUESTION)
        assert done.status == "incomplete"
        assert done.incomplete_details is not None
        assert done.incomplete_details.reason == "max_output_tokens"
        with pytest.raises(openai.APIStatusError):
            await client.responses.create(model="a", input=QUESTION)
