"""Upstreams that refuse what the real ones do: any request of the contract is taken by each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from adaptive_router.v1 import chat_pb2, router_pb2

from router.domain.chat import ChatRequest, ImagePart, Message, Role
from tests.contract import refusing
from tests.contract.dialects import DIALECTS
from tests.e2e.conftest import Router
from tests.e2e.wire import Asked, Json, Reply, Wire, events, on_uvloop, routed, whole
from tests.router.adapters.providers.test_conversations import conversation

SPOKEN = {dialect.name: dialect for dialect in DIALECTS}
CALL = {"name": "get_weather", "arguments": {"city": "Paris"}}
LIMIT_MESSAGE = (
    "Unsupported parameter: 'max_tokens' is not supported with this model."
    " Use 'max_completion_tokens' instead."
)
LOCAL = ", call_id_length: 9, stream_usage: no, omit: [seed], limit_field: max_tokens"


@pytest.fixture(autouse=True)
def _model(model_dir: Path) -> None:
    """The router finds it where it was fetched to."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model behind an upstream of its own. refuses: a name in `refusing`. call_id: its calls'."""

    arm: str
    dialect: str
    refuses: str
    call_id: str
    options: str = ""

    def wire(self) -> Wire:
        return Wire(self.answer, self.dialect, options=self.options)

    def answer(self, asked: Asked) -> Reply:
        found = list(getattr(refusing, self.refuses)(asked.body))
        if found:
            return whole({"error": {"message": found[0], "type": "invalid_request_error"}}, 400)
        wants_call = "Call it." in json.dumps(asked.body) and "Sunny." not in json.dumps(asked.body)
        return good(self.dialect, asked, CALL | {"id": self.call_id} if wants_call else None)


OPENAIS = ", limit_field: max_completion_tokens, max_stops: 4"
MODELS = (
    Model("gpt", "openai", "openai", "call_9pQ", OPENAIS),
    Model(
        "kimi",
        "openai",
        "openai",
        "functions.get_weather:0",
        ", limit_field: max_completion_tokens, max_stops: 4",
    ),
    Model("mistral", "openai", "mistral", "D681PevKs", LOCAL + ", max_temperature: 1.5"),
    Model("claude", "anthropic", "anthropic", "toolu_01A09q90qw90lq917835lq9"),
    Model("gemini", "gemini", "gemini", ""),
)


def good(dialect: str, asked: Asked, call: Json | None, text: str = "Forty-two.") -> Reply:
    spoken, finish = SPOKEN[dialect], SPOKEN[dialect].finishes["call" if call else "stop"]
    texts = [text] if text else []
    if asked.streams:
        return events(*spoken.pieces(texts, call, finish), done=spoken.end_mark != b"")
    return whole(spoken.whole(text, call, finish))


@dataclass(frozen=True, slots=True)
class Heard:
    """An answer, however it was asked for."""

    text: str
    calls: list[chat_pb2.ToolCall]
    finish_reason: int
    receipt: Any


async def asked(router: Router, arm: str, chat: chat_pb2.ChatRequest, *, live: bool) -> Heard:
    routing = router_pb2.RoutingOptions(arm=arm)
    if not live:
        request = router_pb2.CompleteRequest(chat=chat, routing=routing)
        done = await router.stub.Complete(request, metadata=router.metadata)
        answer = done.answer
        return Heard(answer.text, list(answer.tool_calls), answer.finish_reason, done.receipt)
    request = router_pb2.StreamCompleteRequest(chat=chat, routing=routing)
    call = router.stub.StreamComplete(request, metadata=router.metadata)
    *items, end = [item async for item in call]
    calls: dict[int, chat_pb2.ToolCall] = {}
    for piece in (item.tool_call_delta for item in items if item.HasField("tool_call_delta")):
        known = calls.setdefault(piece.index, chat_pb2.ToolCall(id=piece.id, name=piece.name))
        known.arguments += piece.arguments
    text = "".join(item.text_delta for item in items)
    return Heard(text, list(calls.values()), end.done.finish_reason, end.done.receipt)


def request_of(chat: ChatRequest) -> chat_pb2.ChatRequest:
    """Returns the conversation as callers send it, with the arguments that the contract takes."""
    sampling = chat.sampling
    return chat_pb2.ChatRequest(
        messages=map(_message, chat.messages),
        tools=[
            chat_pb2.Tool(name=t.name, description=t.description, parameters=t.parameters)
            for t in chat.tools
        ],
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        max_output_tokens=sampling.max_output_tokens,
        stop=sampling.stop,
        seed=sampling.seed,
    )


def _message(message: Message) -> chat_pb2.Message:
    calls = [
        chat_pb2.ToolCall(
            id=c.id,
            name=c.name,
            arguments=c.arguments if c.arguments not in ("{broken", "[1]") else "{}",
        )
        for c in message.tool_calls
    ]
    return chat_pb2.Message(
        role=chat_pb2.Role.Value(f"ROLE_{message.role.name}"),
        parts=[_part(part) for part in message.parts],
        tool_calls=calls,
        tool_call_id=message.tool_call_id,
    )


def _part(part: Any) -> chat_pb2.Part:
    if isinstance(part, ImagePart):
        return chat_pb2.Part(image_url=chat_pb2.ImageUrl(url=part.url))
    return chat_pb2.Part(text=part.text)


def _is_asked(chat: ChatRequest) -> bool:
    """The contract wants a question: a last message of the user that says something."""
    last = [m for m in chat.messages if m.role is Role.USER][-1]
    return bool(last.text.strip()) or any(isinstance(p, ImagePart) for p in last.parts)


SEEDS = [seed for seed in range(24) if _is_asked(conversation(seed))]
TOOL = chat_pb2.Tool(name="get_weather")


@on_uvloop
async def test_a_tool_s_result_is_taken_by_whichever_model_goes_on(tmp_path: Path) -> None:
    wires = {model.arm: [model.wire()] for model in MODELS}
    question = chat_pb2.Message(role=chat_pb2.ROLE_USER, text="Call it.")
    async with routed(tmp_path, wires) as router:
        for first in MODELS:
            for second in MODELS:
                for live in (False, True):
                    chat = chat_pb2.ChatRequest(messages=[question], tools=[TOOL])
                    (call,) = (await asked(router, first.arm, chat, live=live)).calls
                    said = chat_pb2.Message(role=chat_pb2.ROLE_ASSISTANT, tool_calls=[call])
                    result = chat_pb2.Message(
                        role=chat_pb2.ROLE_TOOL, text="Sunny.", tool_call_id=call.id
                    )
                    chat.messages.extend([said, result])
                    done = await asked(router, second.arm, chat, live=live)
                    assert done.text == "Forty-two.", (first.arm, second.arm, live)
                    assert len(done.receipt.attempts) == 1


@on_uvloop
async def test_whatever_the_contract_takes_is_taken(tmp_path: Path) -> None:
    wires = {model.arm: [model.wire()] for model in MODELS}
    async with routed(tmp_path, wires, more=", images: yes") as router:
        for seed in SEEDS:
            chat = request_of(conversation(seed))
            for model in MODELS:
                for live in (False, True):
                    done = await asked(router, model.arm, chat, live=live)
                    assert done.text == "Forty-two.", (seed, model.arm, live)
        assert {model.arm: len(wires[model.arm][0].asked) for model in MODELS} == dict.fromkeys(
            wires, 2 * len(SEEDS)
        )


# What a refusal teaches.


def _openai(message: str, param: str | None = None, code: str | None = None) -> Json:
    return {
        "error": {
            "message": message,
            "type": "invalid_request_error",
            "param": param,
            "code": code,
        }
    }


def _pydantic(field: str) -> Json:
    return {
        "detail": [
            {
                "type": "extra_forbidden",
                "loc": ["body", field],
                "msg": "Extra inputs are not permitted",
            }
        ]
    }


def _claude(message: str) -> Json:
    return {"type": "error", "error": {"type": "invalid_request_error", "message": message}}


def _gemini(message: str) -> Json:
    return {"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}}


@dataclass(frozen=True, slots=True)
class Refusal:
    """An upstream that takes everything but one field of its body."""

    arm: str
    dialect: str
    field: str
    body: Json
    status: int = 400
    sees_stops: bool = True

    def has(self, body: Json) -> bool:
        inner = body.get("generationConfig", {})
        return self.field in body or self.field in inner

    def answer(self, asked: Asked) -> Reply:
        if self.has(asked.body):
            return whole(self.body, self.status)
        # A model that is not told where to stop goes on.
        return good(self.dialect, asked, None, "One. END Two.")


REFUSALS = (
    Refusal(
        "limit",
        "openai",
        "max_tokens",
        _openai(LIMIT_MESSAGE, "max_tokens", "unsupported_parameter"),
    ),
    Refusal(
        "temperature",
        "openai",
        "temperature",
        _openai(
            "Unsupported value: 'temperature' does not support 0.2 with this model."
            " Only the default (1) value is supported.",
            "temperature",
            "unsupported_value",
        ),
    ),
    Refusal(
        "stop",
        "openai",
        "stop",
        _openai(
            "Unsupported parameter: 'stop' is not supported with this model.",
            "stop",
            "unsupported_parameter",
        ),
    ),
    Refusal("seed", "openai", "seed", _pydantic("seed"), 422),
    Refusal("usage", "openai", "stream_options", _pydantic("stream_options"), 422),
    Refusal("top", "openai", "top_p", {"error": "Unrecognized request argument supplied: top_p"}),
    Refusal(
        "claude", "anthropic", "temperature", _claude("`temperature` is deprecated for this model.")
    ),
    Refusal(
        "gemini",
        "gemini",
        "seed",
        _gemini(
            "Invalid JSON payload received. Unknown name \"seed\" at 'generation_config':"
            " Cannot find field."
        ),
    ),
)


@on_uvloop
async def test_what_is_refused_is_left_out_from_then_on(tmp_path: Path) -> None:
    wires = {r.arm: [Wire(r.answer, r.dialect)] for r in REFUSALS}
    async with routed(tmp_path, wires) as router:
        for refusal in REFUSALS:
            (wire,) = wires[refusal.arm]
            for live in (True, False):
                chat = request_of(conversation(0))
                del chat.messages[:], chat.tools[:], chat.stop[:]
                chat.messages.append(chat_pb2.Message(role=chat_pb2.ROLE_USER, text="Say it."))
                chat.stop.append("END")
                chat.temperature = 0.2
                done = await asked(router, refusal.arm, chat, live=live)
                (attempt,) = done.receipt.attempts
                assert done.text == "One. "
                assert done.finish_reason == chat_pb2.FINISH_REASON_STOP
                # A refused call is free; the limit is always sent.
                assert attempt.cost_usd < 0.001
                assert {"max_tokens", "max_completion_tokens", "generationConfig"} & {
                    *wire.asked[-1].body
                }
            assert [refusal.has(a.body) for a in wire.asked] == [True, False, False], refusal.arm


@on_uvloop
async def test_a_model_that_refuses_two_fields_is_sent_neither(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Reply:
        both = (refusal for refusal in REFUSALS[:2] if refusal.has(asked.body))
        return next((refusal.answer(asked) for refusal in both), good("openai", asked, None))

    wire = Wire(answer)
    chat = chat_pb2.ChatRequest(temperature=0.2)
    chat.messages.append(chat_pb2.Message(role=chat_pb2.ROLE_USER, text="Say it."))
    async with routed(tmp_path, {"only": [wire]}) as router:
        for live in (False, True):
            done = await asked(router, "only", chat, live=live)
            assert len(done.receipt.attempts) == 1
    assert len(wire.asked) == 4


@on_uvloop
async def test_a_refusal_that_teaches_nothing_is_not_sent_again(tmp_path: Path) -> None:
    """What makes the request is not left out, nor is a field refused again and again."""
    refused = (
        (
            "tools",
            _openai("Unsupported parameter: 'tools' is not supported with this model.", "tools"),
        ),
        ("unnamed", _openai("Something is wrong.")),
        ("again", _openai("Unsupported parameter: 'seed' is not supported.", "seed")),
    )
    wires = {arm: [Wire(lambda _, told=told: whole(told, 400))] for arm, told in refused}
    chat = chat_pb2.ChatRequest(tools=[TOOL], seed=3)
    chat.messages.append(chat_pb2.Message(role=chat_pb2.ROLE_USER, text="Say it."))
    async with routed(tmp_path, wires) as router:
        for arm, _ in refused:
            with pytest.raises(grpc.aio.AioRpcError):
                await asked(router, arm, chat, live=False)
    assert [len(wires[arm][0].asked) for arm, _ in refused] == [1, 1, 2]


@on_uvloop
async def test_what_a_deployment_adds_goes_out(tmp_path: Path) -> None:
    options = (
        ", headers: {x-title: TITLE, authorization: TOKEN}, omit: [temperature]"
        ", parameters: {reasoning_effort: high, config: {a: 1, b: 2}}, stream_usage: no"
    )
    wire = Wire(lambda a: good("openai", a, None), options=options)
    environment = {"TITLE": "My app", "TOKEN": "Basic abc"}
    chat = chat_pb2.ChatRequest(temperature=0.3)
    chat.messages.append(chat_pb2.Message(role=chat_pb2.ROLE_USER, text="Say it."))
    async with routed(tmp_path, {"only": [wire]}, environment=environment) as router:
        for live in (False, True):
            await asked(router, "only", chat, live=live)
    for sent in wire.asked:
        assert (sent.headers["x-title"], sent.headers["authorization"]) == ("My app", "Basic abc")
        assert sent.body["reasoning_effort"] == "high"
        assert sent.body["config"] == {"a": 1, "b": 2}
        assert not {"temperature", "stream_options"} & {*sent.body}
