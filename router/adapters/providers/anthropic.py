"""Anthropic Messages."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from router.adapters.providers.dialect import Json, given, usage_or_guess
from router.core.arms import Deployment
from router.core.chat import (
    Answer,
    ChatRequest,
    Delta,
    FinishReason,
    Format,
    ImagePart,
    Message,
    Part,
    ResponseFormat,
    Role,
    TextDelta,
    TextPart,
    ToolCall,
    ToolCallDelta,
    ToolMode,
)
from router.core.errors import ProviderMalformed

API_VERSION = "2023-06-01"
_FINISH = {
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "max_tokens": FinishReason.LENGTH,
    "tool_use": FinishReason.TOOL_CALLS,
    "refusal": FinishReason.CONTENT_FILTER,
}
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
            messages=[_message(m) for m in turns],
            tools=[_tool(t.name, t.description, t.parameters) for t in chat.tools],
            tool_choice=_tool_choice(chat),
            temperature=None if sampling.temperature is None else min(sampling.temperature, 1.0),
            top_p=sampling.top_p,
            stop_sequences=list(sampling.stop),
            stream=stream or None,
        )

    def answer(self, body: Json, deployment: Deployment, chat: ChatRequest) -> Answer:
        blocks, usage = body["content"], body.get("usage") or {}
        text = "".join(b["text"] for b in blocks if b["type"] == "text")
        calls = tuple(
            ToolCall(b["id"], b["name"], json.dumps(b["input"]))
            for b in blocks
            if b["type"] == "tool_use"
        )
        reason = str(body.get("stop_reason"))
        return Answer(
            text=text,
            finish_reason=_FINISH.get(reason, FinishReason.STOP),
            usage=usage_or_guess(
                _input_tokens(usage),
                usage.get("output_tokens", 0),
                chat,
                text + "".join(c.arguments for c in calls),
            ),
            model=str(body.get("model") or deployment.model),
            tool_calls=calls,
            refusal=reason == "refusal",
        )

    def assembler(self, deployment: Deployment, chat: ChatRequest) -> _Assembler:
        return _Assembler(deployment, chat)


@dataclass(slots=True)
class _Assembler:
    """Rebuilds the whole message from its events and reads it like any other."""

    deployment: Deployment
    chat: ChatRequest
    message: Json = field(default_factory=dict)
    blocks: dict[int, Json] = field(default_factory=dict)
    arguments: dict[int, str] = field(default_factory=dict)
    usage: Json = field(default_factory=dict)
    ended: bool = False

    def feed(self, event: Json) -> Iterator[Delta]:
        match event["type"]:
            case "message_start":
                self.message = dict(event["message"])
                self.usage |= self.message.get("usage") or {}
            case "content_block_start":
                yield from self._begin(int(event["index"]), dict(event["content_block"]))
            case "content_block_delta":
                yield from self._delta(int(event["index"]), event["delta"])
            case "message_delta":
                self.message |= event["delta"]
                self.usage |= event.get("usage") or {}
            case "message_stop":
                self.ended = True
            case "error":
                raise ProviderMalformed("the provider reported an error in mid-stream")

    def _begin(self, index: int, block: Json) -> Iterator[Delta]:
        self.blocks[index] = block
        if block["type"] == "tool_use":
            self.arguments[index] = ""
            yield ToolCallDelta(self._call_number(index), block["id"], block["name"])

    def _delta(self, index: int, delta: Json) -> Iterator[Delta]:
        if delta["type"] == "text_delta":
            self.blocks[index]["text"] += delta["text"]
            yield TextDelta(delta["text"])
        elif delta["type"] == "input_json_delta":
            self.arguments[index] += delta["partial_json"]
            number = self._call_number(index)
            yield ToolCallDelta(number, arguments=delta["partial_json"])

    def _call_number(self, index: int) -> int:
        return sorted(self.arguments).index(index)

    def finish(self) -> Answer:
        if not self.ended:
            raise ProviderMalformed("the provider's stream broke off")
        for index, text in self.arguments.items():
            self.blocks[index]["input"] = json.loads(text or "{}")
        content = [self.blocks[i] for i in sorted(self.blocks)]
        body = self.message | {"content": content, "usage": self.usage}
        return Anthropic().answer(body, self.deployment, self.chat)


def _input_tokens(usage: Json) -> int:
    """Cached input is charged too, at other rates; at list price the bill is never too low."""
    kinds = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    return sum(usage.get(kind) or 0 for kind in kinds)


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
