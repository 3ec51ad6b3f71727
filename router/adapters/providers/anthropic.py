"""Anthropic Messages."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import msgspec

from router.adapters.providers.dialect import Assembler, Dialect, Json, given, merged
from router.domain.catalog import Deployment
from router.domain.chat import (
    Answer,
    ChatRequest,
    Content,
    Delta,
    FinishReason,
    Format,
    ImagePart,
    Message,
    ResponseFormat,
    Role,
    TextPart,
    ToolMode,
)
from router.domain.errors import ProviderMalformed

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

    def answer(self, data: bytes, deployment: Deployment, chat: ChatRequest) -> Answer:
        message, assembler = _decode_message(data), AnthropicAssembler(deployment, chat)
        assembler.open(message)
        for index, block in enumerate(message.content):
            for _ in assembler.begin(index, block, whole=True):
                pass
        assembler.ended = True
        return assembler.finish()

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


_FINISH = {
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "tool_use": FinishReason.TOOL_CALLS,
    "refusal": FinishReason.CONTENT_FILTER,
}


class _Block(msgspec.Struct):
    """A part of the answer; of a type not known here nothing is read."""

    type: str
    text: str = ""
    id: str = ""
    name: str = ""
    input: msgspec.Raw = msgspec.Raw(b"{}")


class _Delta(msgspec.Struct):
    type: str = ""
    text: str = ""
    partial_json: str = ""
    stop_reason: str | None = None


class _AnthropicUsage(msgspec.Struct):
    """Counts so far: each event repeats those that it knows."""

    input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens: int | None = None

    def updated(self, later: _AnthropicUsage | None) -> _AnthropicUsage:
        if later is None:
            return self
        both = zip(msgspec.structs.astuple(self), msgspec.structs.astuple(later), strict=True)
        return _AnthropicUsage(*(old if new is None else new for old, new in both))

    def all_input_tokens(self) -> int:
        """Cached input is charged too, at other rates; at list price the bill is never too low."""
        kinds = (
            self.input_tokens,
            self.cache_creation_input_tokens,
            self.cache_read_input_tokens,
        )
        return sum(count or 0 for count in kinds)


class _AnthropicMessage(msgspec.Struct):
    content: list[_Block]
    model: str = ""
    stop_reason: str | None = None
    usage: _AnthropicUsage | None = None


class _Event(msgspec.Struct):
    type: str
    index: int = 0
    message: _AnthropicMessage | None = None
    content_block: _Block | None = None
    delta: _Delta | None = None
    usage: _AnthropicUsage | None = None


_decode_message = msgspec.json.Decoder(_AnthropicMessage).decode
_decode_event = msgspec.json.Decoder(_Event).decode


@dataclass(slots=True)
class AnthropicAssembler(Assembler):
    _usage: _AnthropicUsage = field(default_factory=_AnthropicUsage)
    _stop_reason: str = ""

    def feed(self, data: bytes) -> Iterator[Delta]:
        event = _decode_event(data)
        self._usage = self._usage.updated(event.usage)
        match event:
            case _Event(type="message_start", message=_AnthropicMessage() as message):
                self.open(message)
            case _Event(type="content_block_start", content_block=_Block() as block):
                yield from self.begin(event.index, block)
            case _Event(type="content_block_delta", delta=_Delta() as delta):
                yield from self._proceed(event.index, delta)
            case _Event(type="message_delta", delta=_Delta() as delta):
                self._stop_reason = delta.stop_reason or self._stop_reason
            case _Event(type="message_stop"):
                self.ended = True
            case _Event(type="error"):
                raise ProviderMalformed("the provider reported an error in mid-stream")

    def open(self, message: _AnthropicMessage) -> None:
        self.model = message.model
        self._stop_reason = message.stop_reason or ""
        self._usage = self._usage.updated(message.usage)

    def begin(self, index: int, block: _Block, *, whole: bool = False) -> Iterator[Delta]:
        """A call's input comes with the block when the answer is whole, else in pieces."""
        if block.type == "text":
            yield from self.say(block.text)
        elif block.type == "tool_use":
            arguments = bytes(block.input).decode() if whole else ""
            yield self.calls.begin(index, block.id, block.name, arguments)

    def _proceed(self, index: int, delta: _Delta) -> Iterator[Delta]:
        if delta.type == "text_delta":
            yield from self.say(delta.text)
        elif delta.type == "input_json_delta" and index in self.calls:
            yield self.calls.proceed(index, delta.partial_json)

    def finish(self) -> Answer:
        if not self.ended:
            raise ProviderMalformed("the provider's stream broke off")
        return self.assembled(
            _FINISH.get(self._stop_reason, FinishReason.STOP),
            self._usage.all_input_tokens(),
            self._usage.output_tokens,
            refusal=self._stop_reason == "refusal",
        )


DIALECT: Dialect = Anthropic()
