"""Answers come back whole: what a provider's own client would see reaches the official clients."""

from __future__ import annotations

import asyncio
import copy
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest
from openai.types import chat, responses
from pydantic import TypeAdapter

from tests.e2e.conftest import KEY
from tests.e2e.http_doors import (
    QUESTION,
    SCHEMA,
    anthropic_client,
    calls,
    door,
    openai_client,
    says,
    url,
)
from tests.e2e.test_http_messages import PLAIN, TOOL
from tests.e2e.wire import Asked, Json, Reply, Wire, asked_live, events, on_uvloop, routed, whole

FUNCTION: Json = {"name": "weather", "parameters": SCHEMA}
LOGPROBS = [
    {"token": t, "logprob": -0.25, "bytes": [65], "top_logprobs": []} for t in ("Forty", "-two.")
]
CITED = {"type": "url_citation", "url_citation": {"url": "https://x.invalid"}}
CITED["url_citation"] |= {"title": "T", "start_index": 0, "end_index": 5}  # type: ignore[operator]
USAGE: Json = {
    "prompt_tokens": 12,
    "completion_tokens": 5,
    "total_tokens": 17,
    "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 2, "accepted_prediction_tokens": 1},
}
AROUND: Json = {
    "id": "chatcmpl-77",
    "created": 1_700_000_000,
    "system_fingerprint": "fp_1",
    "service_tier": "flex",
    "x_own": {"a": 1},
}


@pytest.fixture(autouse=True)
def _model(model_dir: Path) -> None:
    """The router finds it where it was fetched to."""


def reasons(asked: Asked) -> Reply:
    """An answer with all that chat completions may hold."""
    message: Json = {"role": "assistant", "content": "Forty-two.", "annotations": [CITED]}
    message |= {"reasoning_content": "Let me think.", "refusal": None}
    told: Json = {"content": LOGPROBS, "refusal": None}
    if not asked.streams:
        choice = {"index": 0, "message": message, "logprobs": told, "finish_reason": "stop"}
        return whole(AROUND | {"model": "m", "choices": [choice], "usage": USAGE})
    deltas: list[tuple[Json, Any]] = [
        ({"role": "assistant", "content": ""}, None),
        ({"reasoning_content": "Let me "}, None),
        ({"reasoning_content": "think."}, None),
        ({"content": "Forty"}, {"content": LOGPROBS[:1], "refusal": None}),
        ({"content": "-two."}, {"content": LOGPROBS[1:], "refusal": None}),
        ({"annotations": [CITED]}, None),
    ]
    chunks = [_chunk(delta, logprobs) for delta, logprobs in deltas]
    return events(
        *chunks, _chunk({}, None, "stop"), AROUND | {"choices": [], "usage": USAGE}, done=True
    )


def _chunk(delta: Json, logprobs: Any, finish: str | None = None) -> Json:
    choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
    return AROUND | {"object": "chat.completion.chunk", "model": "m", "choices": [choice]}


def refuses(asked: Asked) -> Reply:
    if not asked.streams:
        message = {"role": "assistant", "content": None, "refusal": "I can't."}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return whole({"choices": [choice], "usage": USAGE})
    pieces = [_chunk({"refusal": piece}, None) for piece in ("I ", "can't.")]
    return events(*pieces, _chunk({}, None, "stop"), {"choices": [], "usage": USAGE}, done=True)


@pytest.mark.parametrize("stream", [False, True])
@on_uvloop
async def test_a_chats_own_fields(tmp_path: Path, *, stream: bool) -> None:
    async with door(tmp_path, Wire(reasons)) as router, openai_client(router) as client:
        done = await _chat(client, stream=stream, logprobs=True)
        again = await _chat(client, stream=stream, logprobs=True)
    for each in (done, again):
        assert each.id == "chatcmpl-77"
        assert (each.created, each.system_fingerprint) == (1_700_000_000, "fp_1")
        assert each.service_tier == "flex"
        assert each.model_extra["x_own"] == {"a": 1}
        message, logprobs = each.choices[0].message, each.choices[0].logprobs
        assert message.content == "Forty-two."
        assert message.model_extra["reasoning_content"] == "Let me think."
        assert [told.model_dump(exclude_none=True) for told in logprobs.content] == LOGPROBS
        assert message.annotations[0].model_dump() == CITED if not stream else True
        usage = each.usage.model_dump(exclude_none=True)
        assert usage["prompt_tokens_details"] == USAGE["prompt_tokens_details"]
        assert usage["completion_tokens_details"] == USAGE["completion_tokens_details"]


async def _chat(client: openai.AsyncOpenAI, *, stream: bool, **more: Any) -> Any:
    asked: Any = {"model": "a", "messages": QUESTION} | more
    if not stream:
        return await client.chat.completions.create(**asked)
    options: Any = {"include_usage": True}
    async with client.chat.completions.stream(**asked, stream_options=options) as events_:
        return await events_.get_final_completion()


@pytest.mark.parametrize("stream", [False, True])
@on_uvloop
async def test_what_was_reasoned_goes_back_to_its_model_alone(
    tmp_path: Path, *, stream: bool
) -> None:
    first, other = Wire(reasons), Wire(reasons, model="other")
    async with (
        routed(tmp_path, {"a": [first], "b": [other]}, server=", http_port: 0") as router,
        openai_client(router) as client,
    ):
        done = await _chat(client, stream=stream)
        told = done.choices[0].message.model_dump(exclude_none=True)
        assert told["router_model"] == "m"
        own = {
            name: told[name] for name in ("role", "content", "reasoning_content", "router_model")
        }
        foreign = {n: v for n, v in own.items() if n != "router_model"}
        turns = [*QUESTION, own, *QUESTION, foreign, *QUESTION]
        for arm in ("a", "b"):
            await _chat(client, stream=stream, messages=turns, model=arm)
    said = [wire.asked[-1].body["messages"] for wire in (first, other)]
    assert [m.get("reasoning_content") for m in said[0][1::2]] == ["Let me think."] * 2
    assert [m.get("reasoning_content") for m in said[1][1::2]] == [None, "Let me think."]
    assert "router_model" not in json.dumps(said)


@on_uvloop
async def test_annotations_of_a_stream(tmp_path: Path) -> None:
    async with door(tmp_path, Wire(reasons)) as router, openai_client(router) as client:
        stream = await client.chat.completions.create(model="a", messages=QUESTION, stream=True)
        chunks = [chunk async for chunk in stream]
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    extras = [delta.model_extra or {} for delta in deltas]
    assert [told["annotations"] for told in extras if "annotations" in told] == [[CITED]]
    assert {chunk.id for chunk in chunks} == {"chatcmpl-77"}
    order = [
        "reasoning" if "reasoning_content" in told else "text" if delta.content else ""
        for delta, told in zip(deltas, extras, strict=True)
    ]
    assert [kind for kind in order if kind] == ["reasoning", "reasoning", "text", "text"]


@pytest.mark.parametrize("stream", [False, True])
@on_uvloop
async def test_a_refusal_is_no_content(tmp_path: Path, *, stream: bool) -> None:
    async with door(tmp_path, Wire(refuses)) as router, openai_client(router) as client:
        done = await _chat(client, stream=stream)
        assert (done.choices[0].message.refusal, done.choices[0].message.content) == (
            "I can't.",
            None if not stream else done.choices[0].message.content,
        )
        assert not done.choices[0].message.content


@on_uvloop
async def test_an_answer_out_of_the_cache_has_an_id_of_its_own(tmp_path: Path) -> None:
    wire = Wire(reasons)
    async with (
        door(tmp_path, wire, sections="cache: {enabled: true}") as router,
        openai_client(router) as client,
    ):
        first, *later = [
            await client.chat.completions.create(model="auto", messages=QUESTION) for _ in range(2)
        ]
        options: Any = {"model": "auto", "messages": QUESTION}
        async with client.chat.completions.stream(**options) as events_:
            later.append(await events_.get_final_completion())
    assert len(wire.asked) == 1
    assert first.id == "chatcmpl-77"
    for each in later:
        assert each.id != first.id
        extra = each.choices[0].message.model_extra
        assert extra is not None
        assert extra["reasoning_content"] == "Let me think."


@pytest.mark.parametrize("usage", [True, False])
@on_uvloop
async def test_usage_of_an_answer_that_is_told_again_stands_in_one_chunk(
    tmp_path: Path, *, usage: bool
) -> None:
    """Clients add up what the chunks count."""
    asked: Any = {"model": "auto", "messages": QUESTION}
    async with (
        door(tmp_path, Wire(says()), sections="cache: {enabled: true}") as router,
        openai_client(router) as client,
    ):
        await client.chat.completions.create(**asked)
        stream = await client.chat.completions.create(
            **asked, stream=True, stream_options={"include_usage": usage}
        )
        counted = [chunk.usage async for chunk in stream if chunk.usage]
    assert [each.total_tokens for each in counted] == [17] * usage


FIRST = {"type": "thinking", "thinking": "Hm, let me see.", "signature": "sig+1/=="}
HIDDEN = {"type": "redacted_thinking", "data": "EmwKA=="}
SECOND = {"type": "thinking", "thinking": "And then?", "signature": "sig2"}
TURN: list[Json] = [
    FIRST,
    {"type": "text", "text": "I look."},
    HIDDEN,
    SECOND,
    {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "x"}},
]
COUNTED: Json = {
    "input_tokens": 10,
    "output_tokens": 5,
    "cache_read_input_tokens": 7,
    "cache_creation_input_tokens": 3,
    "cache_creation": {"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 2},
    "service_tier": "standard",
}


def message(turn: list[Json], stop: str, **more: Any) -> Any:
    """Answers of Anthropic's upstream. more: fields beside the reason of the end."""

    def answer(asked: Asked) -> Reply:
        about: Json = {"id": "msg_77", "type": "message", "role": "assistant", "model": "m"}
        ends = {"stop_reason": stop} | more
        edits = {"context_management": {"applied_edits": []}}
        if not asked.streams:
            return whole(about | edits | {"content": turn, "usage": COUNTED} | ends)
        begins = about | {"content": [], "stop_reason": None, "usage": COUNTED}
        told: list[Json] = [{"type": "message_start", "message": begins}]
        for index, block in enumerate(turn):
            told += _pieces(index, copy.deepcopy(block))
        end = {"type": "message_delta", "delta": ends, "usage": COUNTED} | edits
        return events(*told, end, {"type": "message_stop"})

    return answer


def _pieces(index: int, block: Json) -> list[Json]:
    deltas: list[Json] = []
    if block["type"] == "thinking":
        half = len(block["thinking"]) // 2
        texts = block["thinking"][:half], block["thinking"][half:]
        deltas = [{"type": "thinking_delta", "thinking": text} for text in texts]
        deltas.append({"type": "signature_delta", "signature": block["signature"]})
        block |= {"thinking": "", "signature": ""}
    elif block["type"] == "text":
        deltas = [{"type": "text_delta", "text": block["text"]}]
        block["text"] = ""
    elif block["type"] == "tool_use":
        deltas = [{"type": "input_json_delta", "partial_json": '{"city": "x"}'}]
        block["input"] = {}
    place = {"index": index}
    return [
        {"type": "content_block_start", "content_block": block} | place,
        *({"type": "content_block_delta", "delta": delta} | place for delta in deltas),
        {"type": "content_block_stop"} | place,
    ]


async def _message(client: anthropic.AsyncAnthropic, *, stream: bool, **more: Any) -> Any:
    asked: Any = PLAIN | {"model": "a", "tools": [TOOL]} | more
    if not stream:
        return await client.messages.create(**asked)
    async with client.messages.stream(**asked) as events_:
        return await events_.get_final_message()


def bare(blocks: list[Any]) -> list[Json]:
    """Returns blocks as their provider wrote them."""
    every = [block.model_dump(exclude_none=True) for block in blocks]
    return [{n: v for n, v in each.items() if n != "router_model"} for each in every]


@pytest.mark.parametrize("stream", [False, True])
@on_uvloop
async def test_a_messages_own_fields_and_its_way_back(tmp_path: Path, *, stream: bool) -> None:
    wire = Wire(message(TURN, "tool_use"), provider="anthropic")
    async with door(tmp_path, wire) as router, anthropic_client(router) as client:
        done = await _message(client, stream=stream)
        assert bare(done.content) == TURN
        assert done.id == "msg_77"
        assert done.stop_reason == "tool_use"
        usage = done.usage.model_dump(exclude_none=True)
        assert {name: usage[name] for name in COUNTED} == COUNTED
        if not stream:
            assert done.model_extra["context_management"] == {"applied_edits": []}
        turn = [block.model_dump(exclude_none=True) for block in done.content]
        result = {"type": "tool_result", "tool_use_id": "c1", "content": "Rain."}
        turns = [
            *QUESTION,
            {"role": "assistant", "content": turn},
            {"role": "user", "content": [result]},
        ]
        await _message(client, stream=stream, messages=turns)
    assert wire.asked[-1].body["messages"][1]["content"] == TURN


@on_uvloop
async def test_another_model_does_not_get_what_one_thought(tmp_path: Path) -> None:
    """Its signatures are no other's. What came from elsewhere has no mark and goes to all."""
    wire = Wire(message(TURN[1:2], "end_turn"), provider="anthropic", model="other")
    async with door(tmp_path, wire) as router, anthropic_client(router) as client:
        marked = [FIRST | {"router_model": "m"}, SECOND, TURN[1]]
        turns = [*QUESTION, {"role": "assistant", "content": marked}, *QUESTION]
        await _message(client, stream=False, messages=turns)
    assert wire.asked[-1].body["messages"][1]["content"] == [SECOND, TURN[1]]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("stop", "more"),
    [
        ("stop_sequence", {"stop_sequence": "END"}),
        ("pause_turn", {}),
        ("end_turn", {}),
        ("max_tokens", {}),
        ("model_context_window_exceeded", {}),
        ("refusal", {"stop_details": {"type": "refusal", "category": "cyber", "explanation": "x"}}),
    ],
)
@on_uvloop
async def test_why_a_message_ended(tmp_path: Path, stop: str, more: Json, *, stream: bool) -> None:
    wire = Wire(message(TURN[1:2], stop, **more), provider="anthropic")
    async with door(tmp_path, wire) as router, anthropic_client(router) as client:
        done = await _message(client, stream=stream, stop_sequences=["END"])
    assert done.stop_reason == stop
    assert done.stop_sequence == more.get("stop_sequence")
    if "stop_details" in more:
        assert done.stop_details.category == "cyber"


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
@on_uvloop
async def test_an_error_in_mid_stream_is_the_clients_own(tmp_path: Path, kind: str) -> None:
    def breaks(_: Asked) -> Reply:
        if kind == "openai":
            failed = {"error": {"message": "x", "code": 500}}
            return events(_chunk({"content": "One"}, None), failed)
        begun = [
            {"type": "message_start", "message": {"id": "m", "usage": COUNTED, "content": []}},
            *_pieces(0, {"type": "text", "text": "One"}),
            {"type": "error", "error": {"type": "overloaded_error", "message": "x"}},
        ]
        return events(*begun)

    wire = Wire(breaks, provider=kind)
    async with door(tmp_path, wire) as router:
        if kind == "openai":
            async with openai_client(router) as client:
                with pytest.raises(openai.APIError) as broken:
                    await _chat(client, stream=True)
                assert broken.value.body["type"] == "server_error"  # type: ignore[index]
            return
        async with anthropic_client(router) as claude:
            with pytest.raises(anthropic.APIStatusError) as failed:
                await _message(claude, stream=True)
            assert failed.value.body["error"]["type"] == "api_error"  # type: ignore[index]


@dataclass
class Breaking(Wire):
    """Says words, and fails once they have been read."""

    words: int = 1
    read: asyncio.Event = field(default_factory=asyncio.Event)

    async def _write(
        self, _: Asked, __: Reply, ___: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        said = [_chunk({"content": f"{number} "}, None) for number in range(self.words)]
        for value in (*said, {"error": {"message": "x", "code": 500}}):
            if "error" in value:
                await self.read.wait()
            writer.write(b"data: " + json.dumps(value).encode() + b"\n\n")
            await writer.drain()


@pytest.mark.parametrize("words", [1, 3])
@on_uvloop
async def test_the_error_of_a_response_follows_its_events(tmp_path: Path, words: int) -> None:
    wire, found = Breaking(reasons, words=words), []
    async with door(tmp_path, wire) as router:
        asked = {"model": "a", "input": "Count.", "stream": True}
        sent = {"headers": {"authorization": f"Bearer {KEY}"}, "json": asked}
        at = f"{url(router)}/v1/responses"
        async with (
            httpx.AsyncClient(trust_env=False) as plain,
            plain.stream("POST", at, **sent) as got,
        ):
            async for line in got.aiter_lines():
                if line.startswith("data: "):
                    found.append(json.loads(line[6:]))
                if sum("delta" in each for each in found) == words:
                    wire.read.set()
    assert [each["sequence_number"] for each in found] == [*range(len(found))]
    assert found[-1]["type"] == "error"


@on_uvloop
async def test_a_grpc_caller_sees_text_and_calls_alone(tmp_path: Path) -> None:
    """An answer that a caller over HTTP left in the cache holds more."""
    wire = Wire(reasons)
    async with (
        door(tmp_path, wire, sections="cache: {enabled: true}") as router,
        openai_client(router) as client,
    ):
        await client.chat.completions.create(
            model="auto", messages=[{"role": "user", "content": "Say it."}]
        )
        items = await asked_live(router)
    assert len(wire.asked) == 1
    kinds = [item.WhichOneof("event") for item in items]
    assert kinds == ["text_delta", "done"]


STRICT: dict[str, tuple[Any, Any]] = {
    "/v1/chat/completions": (chat.ChatCompletion, chat.ChatCompletionChunk),
    "/v1/responses": (responses.Response, responses.ResponseStreamEvent),
    "/v1/messages": (anthropic.types.Message, anthropic.types.RawMessageStreamEvent),
}


@pytest.mark.parametrize("wire", ["reasons", "refuses", "calls", "thinks"])
@pytest.mark.parametrize("path", STRICT)
@on_uvloop
async def test_the_official_types_hold_to_the_letter(tmp_path: Path, path: str, wire: str) -> None:
    """The clients build their types without a check; here each field has to be there."""
    own = {"reasons": reasons, "refuses": refuses, "calls": calls}
    talks = own.get(wire) or message(TURN, "tool_use")
    kind = "anthropic" if wire == "thinks" else "openai"
    whole_type, event_type = STRICT[path]
    asked: Json = {"model": "a", "reasoning": {"effort": "low", "summary": "auto"}}
    if path == "/v1/responses":
        asked |= {"input": QUESTION, "tools": [{"type": "function", **FUNCTION}]}
    elif path == "/v1/messages":
        asked = PLAIN | {"model": "a", "tools": [TOOL]}
    else:
        tool = {"type": "function", "function": FUNCTION}
        asked = {"model": "a", "messages": QUESTION, "tools": [tool]}
    async with door(tmp_path, Wire(talks, provider=kind)) as router, httpx.AsyncClient() as client:
        sent = {"url": url(router) + path, "headers": {"authorization": f"Bearer {KEY}"}}
        got = await client.post(**sent, json=asked)
        TypeAdapter(whole_type).validate_python(got.json())
        stream = await client.post(**sent, json=asked | {"stream": True})
    found = [line[6:] for line in stream.text.splitlines() if line.startswith("data: {")]
    assert len(found) > 2
    numbers = [json.loads(each).get("sequence_number") for each in found]
    if path == "/v1/responses":
        assert numbers == [*range(len(found))]
    for each in found:
        TypeAdapter(event_type).validate_json(each)


@pytest.mark.parametrize("stream", [False, True])
@on_uvloop
async def test_a_response_repeats_its_request(tmp_path: Path, *, stream: bool) -> None:
    sent: Json = {
        "instructions": "Be brief.",
        "temperature": 0.25,
        "top_p": 0.5,
        "max_output_tokens": 99,
        "metadata": {"team": "x"},
        "parallel_tool_calls": False,
        "reasoning": {"effort": "low", "summary": "auto"},
        "text": {"verbosity": "low"},
        "tool_choice": "auto",
        "truncation": "disabled",
        "user": "u",
        "store": False,
        "top_logprobs": 2,
    }
    async with door(tmp_path, Wire(reasons)) as router, openai_client(router) as client:
        asked: Any = sent | {
            "model": "a",
            "input": QUESTION,
            "tools": [{"type": "function", **FUNCTION}],
        }
        if stream:
            async with client.responses.stream(**asked) as events_:
                done: Any = await events_.get_final_response()
        else:
            done = await client.responses.create(**asked)
    told = done.model_dump(mode="json", exclude_none=True)
    expected = sent | {"text": {"format": {"type": "text"}, "verbosity": "low"}}
    assert {name: told[name] for name in expected} == expected
    assert told["tools"][0]["name"] == "weather"
    assert told["service_tier"] == "flex"
    reasoning, said = done.output
    assert reasoning.summary[0].text == "Let me think."
    assert said.content[0].text == "Forty-two."
    assert [each.token for each in said.content[0].logprobs] == ["Forty", "-two."]
    usage = done.usage.input_tokens_details
    assert (usage.cached_tokens, done.usage.output_tokens_details.reasoning_tokens) == (4, 2)


@on_uvloop
async def test_a_response_refuses_in_its_own_part(tmp_path: Path) -> None:
    async with door(tmp_path, Wire(refuses)) as router, openai_client(router) as client:
        whole_ = await client.responses.create(model="a", input=QUESTION)
        async with client.responses.stream(model="a", input=QUESTION) as events_:
            kinds = [event.type async for event in events_]
            live = await events_.get_final_response()
    for each in (whole_, live):
        (part,) = each.output[0].content  # type: ignore[union-attr]
        assert part.model_dump(exclude_none=True) == {"type": "refusal", "refusal": "I can't."}
    assert "response.refusal.delta" in kinds
    assert kinds[-1] == "response.completed"
