"""Answers of Anthropic Messages: whole, and put together from a stream."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from router.adapters.providers.calls import Calls
from router.adapters.providers.dialect import usage_or_guess
from router.domain.catalog import Deployment
from router.domain.chat import Answer, ChatRequest, Delta, FinishReason, TextDelta
from router.domain.errors import ProviderMalformed

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


class _Usage(msgspec.Struct):
    """Counts so far: each event repeats those that it knows."""

    input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens: int | None = None

    def updated(self, later: _Usage | None) -> _Usage:
        if later is None:
            return self
        both = zip(msgspec.structs.astuple(self), msgspec.structs.astuple(later), strict=True)
        return _Usage(*(old if new is None else new for old, new in both))

    def all_input_tokens(self) -> int:
        """Cached input is charged too, at other rates; at list price the bill is never too low."""
        kinds = (
            self.input_tokens,
            self.cache_creation_input_tokens,
            self.cache_read_input_tokens,
        )
        return sum(count or 0 for count in kinds)


class _Message(msgspec.Struct):
    content: list[_Block]
    model: str = ""
    stop_reason: str | None = None
    usage: _Usage | None = None


class _Event(msgspec.Struct):
    type: str
    index: int = 0
    message: _Message | None = None
    content_block: _Block | None = None
    delta: _Delta | None = None
    usage: _Usage | None = None


_decode_message = msgspec.json.Decoder(_Message).decode
_decode_event = msgspec.json.Decoder(_Event).decode


def read_answer(data: bytes, deployment: Deployment, chat: ChatRequest) -> Answer:
    """Raises ProviderMalformed or msgspec.DecodeError."""
    message, assembler = _decode_message(data), AnthropicAssembler(deployment, chat)
    assembler.open(message)
    for index, block in enumerate(message.content):
        for _ in assembler.begin(index, block, whole=True):
            pass
    assembler.ended = True
    return assembler.finish()


@dataclass(slots=True)
class AnthropicAssembler:
    """Implements `Assembler`."""

    deployment: Deployment
    chat: ChatRequest
    ended: bool = False
    _text: list[str] = field(default_factory=list)
    _calls: Calls = field(init=False)
    _usage: _Usage = field(default_factory=_Usage)
    _stop_reason: str = ""
    _model: str = ""

    def __post_init__(self) -> None:
        self._calls = Calls(self.chat)

    def feed(self, data: bytes) -> Iterator[Delta]:
        event = _decode_event(data)
        self._usage = self._usage.updated(event.usage)
        match event:
            case _Event(type="message_start", message=_Message() as message):
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

    def open(self, message: _Message) -> None:
        self._model = message.model
        self._stop_reason = message.stop_reason or ""
        self._usage = self._usage.updated(message.usage)

    def begin(self, index: int, block: _Block, *, whole: bool = False) -> Iterator[Delta]:
        """A call's input comes with the block when the answer is whole, else in pieces."""
        if block.type == "text":
            yield from self._say(block.text)
        elif block.type == "tool_use":
            arguments = bytes(block.input).decode() if whole else ""
            yield self._calls.begin(index, block.id, block.name, arguments)

    def _proceed(self, index: int, delta: _Delta) -> Iterator[Delta]:
        if delta.type == "text_delta":
            yield from self._say(delta.text)
        elif delta.type == "input_json_delta" and index in self._calls:
            yield self._calls.proceed(index, delta.partial_json)

    def _say(self, text: str) -> Iterator[Delta]:
        if text:
            self._text.append(text)
            yield TextDelta(text)

    def finish(self) -> Answer:
        if not self.ended:
            raise ProviderMalformed("the provider's stream broke off")
        text = "".join(self._text)
        return Answer(
            text=text,
            finish_reason=_FINISH.get(self._stop_reason, FinishReason.STOP),
            usage=usage_or_guess(
                self._usage.all_input_tokens(),
                self._usage.output_tokens,
                self.chat,
                text + self._calls.text,
            ),
            model=self._model or self.deployment.model,
            tool_calls=self._calls.whole(),
            refusal=self._stop_reason == "refusal",
        )
