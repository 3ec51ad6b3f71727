"""Writes answers and streams in the form of OpenAI's responses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import msgspec

from router.domain.chat import Answer, Delta, FinishReason, TextDelta, ToolCallDelta, Usage
from router.domain.requests import Completion
from router.http.opaque import packed
from router.http.openai_form import PING, OpenAiErrors
from router.http.options import receipt
from router.http.status import Problem

Object = dict[str, Any]
_encode = msgspec.json.Encoder().encode
WHY_CUT: Final = {
    FinishReason.LENGTH: "max_output_tokens",
    FinishReason.CONTENT_FILTER: "content_filter",
}


class ResponsesErrors(OpenAiErrors):
    """In a stream an error is an event of its own kind."""

    def event(self, problem: Problem) -> bytes:
        error = self.whole(problem)["error"]
        told = {name: error[name] for name in ("message", "code", "param")}
        value = {"type": "error", "sequence_number": 0} | told
        return b"event: error\ndata: " + _encode(value) + b"\n\n"


@dataclass(slots=True)
class _Open:
    """An item that is being streamed."""

    index: int
    item: Object
    text: str = ""


class ResponsesWriter:
    """Writes one response. metadata: told as it was given."""

    ping: ClassVar = PING

    def __init__(
        self, new_id: Callable[[], str], now_s: float, model: str, metadata: dict[str, str]
    ) -> None:
        self._new_id = new_id
        self._now_s = int(now_s)
        self._model = model
        self._metadata = metadata
        self._id = ""
        self._sequence = 0
        self._said: _Open | None = None
        self._calls: dict[int, _Open] = {}

    def whole(self, done: Completion) -> Object:
        self._id = f"resp_{done.record.id}"
        return self._finished(done, [*self._items(done.answer)])

    def delta(self, item: Delta) -> bytes:
        began = self._begin()
        if isinstance(item, TextDelta):
            return began + self._say(item.text)
        return began + self._call(item)

    def end(self, done: Completion) -> bytes:
        pieces = [self._begin()]
        if self._said is not None:
            pieces.append(self._end_text(self._said))
        pieces += [self._end_call(call) for call in self._calls.values()]
        items = [self._said, *self._calls.values()]
        output = [each for each in items if each is not None]
        told = [each.item for each in sorted(output, key=lambda each: each.index)]
        for thought in _reasoned(done.answer, self._new_id):
            place = {"output_index": len(told), "item": thought}
            pieces += [self._event(f"output_item.{step}", place) for step in ("added", "done")]
            told.append(thought)
        response = self._finished(done, told)
        kind = "completed" if response["status"] == "completed" else "incomplete"
        pieces.append(self._event(kind, {"response": response}))
        return b"".join(pieces)

    def _begin(self) -> bytes:
        if self._id:
            return b""
        self._id = f"resp_{self._new_id()}"
        response = {"response": self._response("in_progress", [])}
        return self._event("created", response) + self._event("in_progress", response)

    def _say(self, text: str) -> bytes:
        began = b""
        if self._said is None:
            self._said = _Open(self._next(), _message(f"msg_{self._new_id()}", "in_progress"))
            part = {"type": "output_text", "text": "", "annotations": []}
            began = self._added(self._said) + self._event(
                "content_part.added", self._at(self._said) | {"content_index": 0, "part": part}
            )
        self._said.text += text
        told = {"content_index": 0, "delta": text, "logprobs": []}
        return began + self._event("output_text.delta", self._at(self._said) | told)

    def _call(self, item: ToolCallDelta) -> bytes:
        began = b""
        if item.index not in self._calls:
            made = _called(f"fc_{self._new_id()}", item.id, item.name, "", "in_progress")
            self._calls[item.index] = _Open(self._next(), made)
            began = self._added(self._calls[item.index])
        call = self._calls[item.index]
        if not item.arguments:
            return began
        call.text += item.arguments
        place = self._at(call) | {"delta": item.arguments}
        return began + self._event("function_call_arguments.delta", place)

    def _end_text(self, said: _Open) -> bytes:
        part = {"type": "output_text", "text": said.text, "annotations": []}
        place = self._at(said) | {"content_index": 0}
        said.item |= {"status": "completed", "content": [part]}
        return (
            self._event("output_text.done", place | {"text": said.text, "logprobs": []})
            + self._event("content_part.done", place | {"part": part})
            + self._ended(said)
        )

    def _end_call(self, call: _Open) -> bytes:
        call.item |= {"status": "completed", "arguments": call.text}
        told = {"arguments": call.text, "name": call.item["name"]}
        done = self._event("function_call_arguments.done", self._at(call) | told)
        return done + self._ended(call)

    def _next(self) -> int:
        return len(self._calls) + (self._said is not None)

    def _at(self, open_: _Open) -> Object:
        return {"item_id": open_.item["id"], "output_index": open_.index}

    def _added(self, open_: _Open) -> bytes:
        place = {"output_index": open_.index, "item": open_.item}
        return self._event("output_item.added", place)

    def _ended(self, open_: _Open) -> bytes:
        place = {"output_index": open_.index, "item": open_.item}
        return self._event("output_item.done", place)

    def _event(self, kind: str, value: Object) -> bytes:
        name = f"response.{kind}"
        told = {"type": name, "sequence_number": self._sequence} | value
        self._sequence += 1
        return b"event: " + name.encode() + b"\ndata: " + _encode(told) + b"\n\n"

    def _items(self, answer: Answer) -> Iterator[Object]:
        yield from _reasoned(answer, self._new_id)
        if answer.text:
            part = {"type": "output_text", "text": answer.text, "annotations": []}
            if answer.refusal:
                part = {"type": "refusal", "refusal": answer.text}
            yield _message(f"msg_{self._new_id()}", "completed") | {"content": [part]}
        for call in answer.tool_calls:
            id_ = f"fc_{self._new_id()}"
            yield _called(id_, call.id, call.name, call.arguments, "completed")

    def _finished(self, done: Completion, output: list[Object]) -> Object:
        self._model = done.record.model or self._model
        cut = WHY_CUT.get(done.answer.finish_reason)
        return self._response("incomplete" if cut else "completed", output) | {
            "incomplete_details": {"reason": cut} if cut else None,
            "usage": usage_of(done.answer.usage),
            "router": receipt(done.record, done.quota_left),
        }

    def _response(self, status: str, output: list[Object]) -> Object:
        return {
            "id": self._id,
            "object": "response",
            "created_at": self._now_s,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "metadata": self._metadata,
            "model": self._model,
            "output": output,
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "usage": None,
        }


def _message(id_: str, status: str) -> Object:
    return {"type": "message", "id": id_, "status": status, "role": "assistant", "content": []}


def _called(id_: str, call_id: str, name: str, arguments: str, status: str) -> Object:
    told = {"type": "function_call", "id": id_, "call_id": call_id, "name": name}
    return told | {"arguments": arguments, "status": status}


def _reasoned(answer: Answer, new_id: Callable[[], str]) -> Iterator[Object]:
    """Yields what a client hands back with the answer, in the place of encrypted reasoning."""
    for part in answer.opaque:
        told = {"type": "reasoning", "id": f"rs_{new_id()}", "summary": []}
        yield told | {"encrypted_content": packed(part)}


def usage_of(usage: Usage) -> Object:
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
