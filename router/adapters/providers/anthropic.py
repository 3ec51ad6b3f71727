"""Anthropic Messages."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from router.adapters.providers.dialect import Assembler, Dialect, Json, given, merged
from router.adapters.providers.reading.calls import CallPiece, arguments_of
from router.adapters.providers.reading.characters import clean
from router.adapters.providers.reading.fields import (
    end_of,
    first_of,
    index_of,
    items_of,
    record_of,
    string_of,
)
from router.domain.catalog import Deployment
from router.domain.chat import (
    ChatRequest,
    Content,
    Delta,
    Format,
    ImagePart,
    Message,
    ResponseFormat,
    Role,
    TextPart,
    ToolMode,
)

API_VERSION = "2023-06-01"
_MODES = {ToolMode.AUTO: "auto", ToolMode.NONE: "none", ToolMode.REQUIRED: "any"}


class Anthropic:
    """The protocol has no seed; JSON is asked for in the system prompt."""

    def path(self, deployment: Deployment, *, stream: bool) -> str:
        del deployment, stream
        return "/v1/messages"

    def headers(self, key: str) -> Mapping[str, str]:
        version = {"anthropic-version": API_VERSION}
        return version | {"x-api-key": key} if key else version

    def body(self, deployment: Deployment, chat: ChatRequest, *, stream: bool) -> Json:
        sampling = chat.sampling
        turns = [m for m in chat.messages if m.role is not Role.SYSTEM]
        return given(
            model=deployment.model,
            max_tokens=sampling.max_output_tokens or deployment.max_output_tokens,
            system=_system(chat),
            messages=merged(map(_message, turns), "content"),
            tools=[_tool(t.name, t.description, t.parameters) for t in chat.tools],
            tool_choice=_tool_choice(chat),
            temperature=None if sampling.temperature is None else min(sampling.temperature, 1.0),
            top_p=sampling.top_p,
            stop_sequences=list(sampling.stop),
            stream=stream or None,
        )

    def assembler(self, deployment: Deployment, chat: ChatRequest) -> AnthropicAssembler:
        return AnthropicAssembler(deployment, chat)


def _system(chat: ChatRequest) -> str:
    texts = [m.text for m in chat.messages if m.role is Role.SYSTEM]
    return "\n\n".join([*texts, *_format_wish(chat.response_format)])


def _format_wish(wanted: ResponseFormat) -> list[str]:
    if wanted.kind is Format.TEXT:
        return []
    wish = "Answer with one JSON object and nothing else."
    return [f"{wish} It must match this JSON Schema: {wanted.schema}" if wanted.schema else wish]


def _message(message: Message) -> Json:
    if message.role is Role.TOOL:
        result = {
            "type": "tool_result",
            "tool_use_id": message.tool_call_id,
            "content": message.text,
        }
        return {"role": "user", "content": [result]}
    calls = [
        {"type": "tool_use", "id": c.id, "name": c.name, "input": json.loads(c.arguments or "{}")}
        for c in message.tool_calls
    ]
    parts = [_part(p) for p in message.content if not isinstance(p, TextPart) or p.text]
    return {"role": message.role.value, "content": parts + calls}


def _part(part: Content) -> Json:
    if isinstance(part, ImagePart):
        return {"type": "image", "source": _source(part.url)}
    return {"type": "text", "text": part.text}


def _source(url: str) -> Json:
    if not url.startswith("data:"):
        return {"type": "url", "url": url}
    kind, _, data = url.removeprefix("data:").partition(";base64,")
    return {"type": "base64", "media_type": kind, "data": data}


def _tool(name: str, description: str, parameters: str) -> Json:
    schema = json.loads(parameters) if parameters else {"type": "object"}
    return given(name=name, description=description, input_schema=schema)


def _tool_choice(chat: ChatRequest) -> Json | None:
    choice = chat.tool_choice
    if choice.name:
        return {"type": "tool", "name": choice.name}
    is_default = choice.mode is ToolMode.AUTO or not chat.tools
    return None if is_default else {"type": _MODES[choice.mode]}


@dataclass(slots=True)
class AnthropicAssembler(Assembler):
    """_calling: by its index, whether a block is a call of the caller's tools."""

    _calling: dict[int | None, bool] = field(default_factory=dict)
    _index: int | None = None

    def read(self, body: Json, *, whole: bool) -> Iterator[Delta]:
        match body.get("type"):
            case "content_block_delta":
                yield from self._proceed(body, record_of(body.get("delta")))
            case "message_start":
                yield from self._message(record_of(body.get("message")), whole=whole)
            case "content_block_start":
                self._index = index_of(body.get("index"))
                yield from self._begin(self._index, record_of(body.get("content_block")))
            case "message_delta":
                self._ends(record_of(body.get("delta")), body)
            case "message_stop":
                self.ended = True
            case _:
                if "content" in body:
                    yield from self._message(body, whole=whole)

    def _ends(self, *told: Json) -> None:
        reasons = [each.get(name) for each in told for name in ("stop_reason", "stopReason")]
        self.end = end_of(*reasons) or self.end
        self.refusal = self.refusal or self.end == "refusal"

    def _message(self, message: Json, *, whole: bool) -> Iterator[Delta]:
        self.model = string_of(message.get("model")) or self.model
        self._ends(message)
        for index, block in enumerate(items_of(message.get("content"))):
            yield from self._begin(index, block, whole=whole)

    def _begin(self, index: int | None, block: Any, *, whole: bool = False) -> Iterator[Delta]:
        """A call's input comes with the block when the answer is whole, else in pieces."""
        call = record_of(block)
        self._calling[index] = call.get("type") == "tool_use"
        if not self._calling[index]:
            yield from self.say_parts(block)
            return
        call_id, name = clean(string_of(call.get("id"))), clean(string_of(call.get("name")))
        arguments = arguments_of(call.get("input"))
        yield from self.call(
            CallPiece(index, call_id, name, arguments, whole or not call_id, preset=not whole)
        )

    def _proceed(self, body: Json, delta: Json) -> Iterator[Delta]:
        index = index_of(body.get("index"))
        index = self._index if index is None else index
        pieces = first_of(delta, "partial_json", "input")
        if pieces is None:
            yield from self.say_parts(delta)
        elif self._calling.get(index):
            yield from self.call(CallPiece(index, arguments=arguments_of(pieces)))


DIALECT: Dialect = Anthropic()
