"""Writes answers, streams and errors in the form of Anthropic's messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Final

import msgspec
from msgspec import UNSET

from router.domain.chat import (
    Answer,
    Beside,
    Delta,
    FinishReason,
    OpaquePart,
    TextDelta,
    ToolCallDelta,
    Usage,
    in_order,
)
from router.domain.requests import Completion
from router.http.opaque import packed
from router.http.options import receipt
from router.http.status import OWN_FAULT, Problem

Object = dict[str, Any]
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode
PROTOCOL: Final = "anthropic"
PIECES: Final = ("thinking", "signature")
AT_END: Final = ("container", "stop_details")
ENDING: Final = frozenset(("usage", "stop_reason", "stop_sequence", *AT_END))
STOPS: Final = {
    FinishReason.STOP: "end_turn",
    FinishReason.LENGTH: "max_tokens",
    FinishReason.TOOL_CALLS: "tool_use",
    FinishReason.CONTENT_FILTER: "refusal",
}
MEANT: Final = {
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "pause_turn": FinishReason.STOP,
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "tool_use": FinishReason.TOOL_CALLS,
    "refusal": FinishReason.CONTENT_FILTER,
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
    errors: ClassVar = AnthropicErrors()

    def __init__(self, new_id: Callable[[], str], model: str) -> None:
        self._new_id = new_id
        self._model = model
        self._blocks = 0
        self._text: int | None = None
        self._calls: dict[int, int] = {}
        self._is_begun = False
        self._own: Object = {}
        self._begun_with: set[str] = set()

    def whole(self, done: Completion) -> Object:
        self._own = around_of(done)
        message = self._message(f"msg_{done.record.id}", done.record.model or self._model)
        return (
            message
            | self._ended(done.answer)
            | {
                "content": [*_blocks(done.answer)],
                "usage": self._counted(done.answer.usage),
                "router": receipt(done.record, done.quota_left),
            }
        )

    def delta(self, item: Delta) -> bytes:
        if isinstance(item, TextDelta):
            return self._begin() + self._said(item.text)
        if isinstance(item, Beside):
            return self._beside(_decode(item.data)) if item.protocol == PROTOCOL else b""
        return self._begin() + self._called(item)

    def _beside(self, told: Object) -> bytes:
        """Read what stands around the content, or tell a block of thinking as a whole."""
        if "block" not in told:
            self._own = told.get("message") or {}
            return b""
        began = self._begin()
        if self._text is not None:
            began += named_event("content_block_stop", {"index": self._text})
            self._text = None
        block = told["block"]
        deltas = [({"type": f"{n}_delta", n: block[n]}) for n in PIECES if block.get(n)]
        index, start = self._start(block | {n: "" for n in PIECES if n in block})
        told_ = [named_event("content_block_delta", {"index": index, "delta": d}) for d in deltas]
        end = named_event("content_block_stop", {"index": index})
        return began + start + b"".join(told_) + end

    def _ended(self, answer: Answer) -> Object:
        """Returns why it ended: in the provider's own word where that means the same."""
        own, reason = str(self._own.get("stop_reason")), answer.finish_reason
        if MEANT.get(own) is not reason:
            return {"stop_reason": STOPS[reason], "stop_sequence": None}
        told = {"stop_reason": own, "stop_sequence": self._own.get("stop_sequence")}
        return told | {n: self._own[n] for n in AT_END if n in self._own}

    def _counted(self, usage: Usage) -> Object:
        own = self._own.get("usage")
        return usage_of(usage) | (own if isinstance(own, dict) else {})

    def end(self, done: Completion) -> bytes:
        pieces = [self._begin()]
        begun = [*self._calls.values(), *(() if self._text is None else (self._text,))]
        pieces += [named_event("content_block_stop", {"index": index}) for index in sorted(begun)]
        self._own = self._own | around_of(done)
        for part in _unseen(done.answer):
            block = {"type": "redacted_thinking", "data": packed(part)}
            pieces.append(self._start(block)[1])
            pieces.append(named_event("content_block_stop", {"index": self._blocks - 1}))
        rest = {n: v for n, v in self._own.items() if n not in ENDING | self._begun_with}
        told = rest | {"router": receipt(done.record, done.quota_left)}
        counted = {"usage": self._counted(done.answer.usage)}
        last = {"delta": self._ended(done.answer)} | counted | told
        pieces += [named_event("message_delta", last), named_event("message_stop", {})]
        return b"".join(pieces)

    def _begin(self) -> bytes:
        if self._is_begun:
            return b""
        self._is_begun = True
        self._begun_with = {"id", *self._own}
        message = self._message(f"msg_{self._new_id()}", self._model)
        message |= {"stop_reason": None, "usage": self._counted(Usage())}
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
        own = {"id": id_} | {n: v for n, v in self._own.items() if n not in ENDING}
        return own | {
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
        }


def around_of(done: Completion) -> Object:
    """Returns what stands around the content in the provider's own answer; {} for no such one."""
    every = (told["message"] for told in _told(done.answer) if "message" in told)
    return next(every, {})


def _told(answer: Answer) -> Iterator[Object]:
    besides = () if answer.beside is UNSET else answer.beside
    yield from (_decode(each.data) for each in besides if each.protocol == PROTOCOL)


def _unseen(answer: Answer) -> list[OpaquePart]:
    """Returns the opaque parts that are no blocks of thinking which the caller sees anyway."""
    shown = any("block" in told for told in _told(answer))
    return [part for part in answer.opaque if not (shown and part.provider == PROTOCOL)]


def _blocks(answer: Answer) -> Iterator[Object]:
    for part in _unseen(answer):
        yield {"type": "redacted_thinking", "data": packed(part)}
    for item in in_order(answer):
        if isinstance(item, TextDelta):
            yield {"type": "text", "text": item.text}
        elif isinstance(item, Beside):
            yield from _block(item)
        else:
            input_ = _input(item.arguments)
            yield {"type": "tool_use", "id": item.id, "name": item.name, "input": input_}


def _block(item: Beside) -> list[Object]:
    told = _decode(item.data) if item.protocol == PROTOCOL else {}
    return [told["block"]] if "block" in told else []


def _input(arguments: str) -> object:
    """Returns the arguments, {} where the model wrote no object."""
    try:
        value = msgspec.json.decode(arguments or "{}")
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
