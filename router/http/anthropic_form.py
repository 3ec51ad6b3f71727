"""Writes answers, streams and errors in the form of Anthropic's messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Final

import msgspec

from router.domain.chat import (
    Answer,
    Delta,
    FinishReason,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from router.domain.requests import Completion
from router.http.opaque import packed
from router.http.options import receipt
from router.http.status import OWN_FAULT, Problem

Object = dict[str, Any]
_encode = msgspec.json.Encoder().encode
STOPS: Final = {
    FinishReason.STOP: "end_turn",
    FinishReason.LENGTH: "max_tokens",
    FinishReason.TOOL_CALLS: "tool_use",
    FinishReason.CONTENT_FILTER: "refusal",
}
TYPES: Final = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def named_event(name: str, value: Object) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + _encode({"type": name} | value) + b"\n\n"


class AnthropicErrors:
    """Errors as Anthropic's API tells them."""

    def whole(self, problem: Problem) -> Object:
        default = "invalid_request_error" if problem.status < OWN_FAULT else "api_error"
        kind = TYPES.get(problem.status, default)
        return {"type": "error", "error": {"type": kind, "message": problem.message}}

    def event(self, problem: Problem) -> bytes:
        return named_event("error", self.whole(problem))


class MessagesWriter:
    """Writes one answer. Of a stream, the block of each call stays open until the end."""

    ping: ClassVar = named_event("ping", {})

    def __init__(self, new_id: Callable[[], str], model: str) -> None:
        self._new_id = new_id
        self._model = model
        self._blocks = 0
        self._text: int | None = None
        self._calls: dict[int, int] = {}
        self._is_begun = False

    def whole(self, done: Completion) -> Object:
        answer = done.answer
        message = self._message(f"msg_{done.record.id}", done.record.model or self._model)
        return message | {
            "content": [*_blocks(answer)],
            "stop_reason": STOPS[answer.finish_reason],
            "usage": usage_of(answer.usage),
            "router": receipt(done.record, done.quota_left),
        }

    def delta(self, item: Delta) -> bytes:
        if isinstance(item, TextDelta):
            return self._begin() + self._said(item.text)
        return self._begin() + self._called(item)

    def end(self, done: Completion) -> bytes:
        pieces = [self._begin()]
        begun = [*self._calls.values(), *(() if self._text is None else (self._text,))]
        pieces += [named_event("content_block_stop", {"index": index}) for index in sorted(begun)]
        for part in done.answer.opaque:
            block = {"type": "redacted_thinking", "data": packed(part)}
            pieces.append(self._start(block)[1])
            pieces.append(named_event("content_block_stop", {"index": self._blocks - 1}))
        delta = {"stop_reason": STOPS[done.answer.finish_reason], "stop_sequence": None}
        told = {"router": receipt(done.record, done.quota_left)}
        last = {"delta": delta, "usage": usage_of(done.answer.usage)} | told
        pieces += [named_event("message_delta", last), named_event("message_stop", {})]
        return b"".join(pieces)

    def _begin(self) -> bytes:
        if self._is_begun:
            return b""
        self._is_begun = True
        message = self._message(f"msg_{self._new_id()}", self._model)
        return named_event("message_start", {"message": message})

    def _said(self, text: str) -> bytes:
        began = b""
        if self._text is None:
            self._text, began = self._start({"type": "text", "text": ""})
        delta = {"type": "text_delta", "text": text}
        return began + named_event("content_block_delta", {"index": self._text, "delta": delta})

    def _called(self, item: ToolCallDelta) -> bytes:
        began = b""
        if self._text is not None:
            began = named_event("content_block_stop", {"index": self._text})
            self._text = None
        if item.index not in self._calls:
            block = {"type": "tool_use", "id": item.id, "name": item.name, "input": {}}
            self._calls[item.index], start = self._start(block)
            began += start
        if not item.arguments:
            return began
        delta = {"type": "input_json_delta", "partial_json": item.arguments}
        index = self._calls[item.index]
        return began + named_event("content_block_delta", {"index": index, "delta": delta})

    def _start(self, block: Object) -> tuple[int, bytes]:
        index, self._blocks = self._blocks, self._blocks + 1
        return index, named_event("content_block_start", {"index": index, "content_block": block})

    def _message(self, id_: str, model: str) -> Object:
        return {
            "id": id_,
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage_of(Usage()),
        }


def _blocks(answer: Answer) -> Iterator[Object]:
    for part in answer.opaque:
        yield {"type": "redacted_thinking", "data": packed(part)}
    if answer.text:
        yield {"type": "text", "text": answer.text}
    for call in answer.tool_calls:
        yield {"type": "tool_use", "id": call.id, "name": call.name, "input": _input(call)}


def _input(call: ToolCall) -> object:
    """Returns the arguments, {} where the model wrote no object."""
    try:
        value = msgspec.json.decode(call.arguments or "{}")
    except msgspec.DecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def usage_of(usage: Usage) -> Object:
    """Input that was read from a cache, or written to one, stands apart."""
    return {
        "input_tokens": max(0, usage.input_tokens - usage.cached_tokens - usage.written_tokens),
        "output_tokens": usage.output_tokens,
        "cache_creation_input_tokens": usage.written_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
    }
