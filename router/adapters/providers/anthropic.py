"""Anthropic Messages."""

from __future__ import annotations

import json
from collections.abc import Mapping

from router.adapters.providers.anthropic_answer import AnthropicAssembler, read_answer
from router.adapters.providers.dialect import Json, given, merged
from router.domain.catalog import Deployment
from router.domain.chat import (
    Answer,
    ChatRequest,
    Format,
    ImagePart,
    Message,
    Part,
    ResponseFormat,
    Role,
    TextPart,
    ToolMode,
)

API_VERSION = "2023-06-01"
_MODES = {ToolMode.AUTO: "auto", ToolMode.NONE: "none", ToolMode.REQUIRED: "any"}


class Anthropic:
    """Implements `Dialect`. The protocol has no seed; JSON is asked for in the system prompt."""

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

    def answer(self, data: bytes, deployment: Deployment, chat: ChatRequest) -> Answer:
        return read_answer(data, deployment, chat)

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
    parts = [_part(p) for p in message.parts if not isinstance(p, TextPart) or p.text]
    return {"role": message.role.value, "content": parts + calls}


def _part(part: Part) -> Json:
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
