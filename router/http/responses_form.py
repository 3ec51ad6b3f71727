"""Writes answers and streams in the form of OpenAI's responses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

import msgspec
from msgspec import UNSET

from router.domain.chat import (
    RESPONSES,
    Answer,
    Beside,
    Delta,
    FinishReason,
    TextDelta,
    ToolCallDelta,
)
from router.domain.requests import Completion
from router.http.openai_form import PING, OpenAiErrors
from router.http.options import receipt
from router.http.responses_parts import (
    call_of,
    chunk_of,
    events_of,
    message_of,
    own_of,
    part_of,
    reasoned,
    response_of,
    summary_of,
    usage_of,
)
from router.http.status import Problem

Object = dict[str, Any]
_encode = msgspec.json.Encoder().encode
WHY_CUT: Final = {
    FinishReason.LENGTH: "max_output_tokens",
    FinishReason.CONTENT_FILTER: "content_filter",
}


class ResponsesErrors(OpenAiErrors):
    """Returns the event that an error is in a stream. written: events before it."""

    def __init__(self) -> None:
        self.written = 0

    def event(self, problem: Problem) -> bytes:
        error = self.whole(problem)["error"]
        told = {name: error[name] for name in ("message", "code", "param")}
        value = {"type": "error", "sequence_number": self.written} | told
        return b"event: error\ndata: " + _encode(value) + b"\n\n"


@dataclass(slots=True)
class _Open:
    """An item that is being streamed. refusal: its text refuses to answer."""

    index: int
    item: Object
    text: str = ""
    refusal: bool = False
    logprobs: list[Object] = field(default_factory=list)

    @property
    def part(self) -> Object:
        return part_of(self.text, self.logprobs, refusal=self.refusal)


class ResponsesWriter:
    """Writes one response. echo: fields of the request, told again."""

    ping: ClassVar = PING

    def __init__(self, new_id: Callable[[], str], now_s: float, model: str, echo: Object) -> None:
        self._new_id = new_id
        self._now_s = int(now_s)
        self._model = model
        self._echo = echo
        self._id = ""
        self.errors = ResponsesErrors()
        self._is_own = False
        self._said: _Open | None = None
        self._reasoning: list[_Open] = []
        self._logprobs: list[Object] = []
        self._thought = self._tier = ""
        self._calls: dict[int, _Open] = {}

    def whole(self, done: Completion) -> Object:
        self._id = f"resp_{done.record.id}"
        if own := response_of(done.answer):
            return self._owned(own, done)
        return self._finished(done, [*self._items(done.answer)])

    def delta(self, item: Delta) -> bytes:
        if isinstance(item, Beside):
            return self._beside(item)
        if self._is_own:
            return b""
        began = self._begin() + self._reasoned_live()
        if isinstance(item, TextDelta):
            return began + self._say(item)
        return began + self._call(item)

    def _beside(self, item: Beside) -> bytes:
        """Tell an event of a response as it came, else hold what stands beside the next words."""
        if item.protocol == RESPONSES:
            self._is_own = True
            told_ = own_of(item)
            every = [told_["event"]] if "event" in told_ else events_of(told_["response"])
            return b"".join(self._own_event(event) for event in every)
        told = chunk_of(item)
        self._logprobs += told.logprobs
        self._thought += told.thought
        self._tier = told.tier or self._tier
        return b""

    def _own_event(self, event: Object) -> bytes:
        if isinstance(response := event.get("response"), dict):
            self._id = response.get("id") or self._id or f"resp_{self._new_id()}"
            event = event | {"response": response | {"id": self._id}}
        return self._event(event["type"].removeprefix("response."), event)

    def _reasoned_live(self) -> bytes:
        """Tell of what was thought before the first word, where the request asks for that."""
        thought, self._thought = self._thought, ""
        if not (thought and self._shows_thought):
            return b""
        reasoned = _Open(self._next(), summary_of(thought, self._new_id()))
        self._reasoning.append(reasoned)
        return self._added(reasoned) + self._ended(reasoned)

    @property
    def _shows_thought(self) -> bool:
        return bool(self._echo["reasoning"].get("summary"))

    def end(self, done: Completion) -> bytes:
        if self._is_own:
            response = self._owned(response_of(done.answer), done)
            return self._event(_kind(response), {"response": response})
        pieces = [self._begin()]
        if self._said is not None:
            pieces.append(self._end_text(self._said))
        pieces += [self._end_call(call) for call in self._calls.values()]
        items = [*self._reasoning, self._said, *self._calls.values()]
        output = [each for each in items if each is not None]
        told = [each.item for each in sorted(output, key=lambda each: each.index)]
        for thought in reasoned(done.answer, self._new_id):
            place = {"output_index": len(told), "item": thought}
            pieces += [self._event(f"output_item.{step}", place) for step in ("added", "done")]
            told.append(thought)
        response = self._finished(done, told)
        pieces.append(self._event(_kind(response), {"response": response}))
        return b"".join(pieces)

    def _owned(self, own: Object, done: Completion) -> Object:
        """Returns the provider's own response with the receipt."""
        told = {"router": receipt(done.record, done.quota_left)}
        return {"id": self._id} | own | told

    def _begin(self) -> bytes:
        if self._id:
            return b""
        self._id = f"resp_{self._new_id()}"
        response = {"response": self._response("in_progress", [])}
        return self._event("created", response) + self._event("in_progress", response)

    def _say(self, delta: TextDelta) -> bytes:
        began, said = b"", self._said
        if said is None:
            made = message_of(f"msg_{self._new_id()}", "in_progress")
            said = self._said = _Open(self._next(), made, refusal=delta.refusal)
            place = {"content_index": 0, "part": said.part}
            began = self._added(said) + self._event("content_part.added", self._at(said) | place)
        said.text += delta.text
        logprobs, self._logprobs = self._logprobs, []
        said.logprobs += logprobs
        told: Object = self._at(said) | {"content_index": 0, "delta": delta.text}
        if said.refusal:
            return began + self._event("refusal.delta", told)
        return began + self._event("output_text.delta", told | {"logprobs": logprobs})

    def _call(self, item: ToolCallDelta) -> bytes:
        began = b""
        if item.index not in self._calls:
            made = call_of(f"fc_{self._new_id()}", item.id, item.name, "", "in_progress")
            self._calls[item.index] = _Open(self._next(), made)
            began = self._added(self._calls[item.index])
        call = self._calls[item.index]
        if not item.arguments:
            return began
        call.text += item.arguments
        place = self._at(call) | {"delta": item.arguments}
        return began + self._event("function_call_arguments.delta", place)

    def _end_text(self, said: _Open) -> bytes:
        place = self._at(said) | {"content_index": 0}
        said.item |= {"status": "completed", "content": [said.part]}
        if said.refusal:
            done = self._event("refusal.done", place | {"refusal": said.text})
        else:
            whole = {"text": said.text, "logprobs": said.logprobs}
            done = self._event("output_text.done", place | whole)
        part = self._event("content_part.done", place | {"part": said.part})
        return done + part + self._ended(said)

    def _end_call(self, call: _Open) -> bytes:
        call.item |= {"status": "completed", "arguments": call.text}
        told = {"arguments": call.text, "name": call.item["name"]}
        done = self._event("function_call_arguments.done", self._at(call) | told)
        return done + self._ended(call)

    def _next(self) -> int:
        return len(self._reasoning) + len(self._calls) + (self._said is not None)

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
        told = value | {"type": name, "sequence_number": self.errors.written}
        self.errors.written += 1
        return b"event: " + name.encode() + b"\ndata: " + _encode(told) + b"\n\n"

    def _items(self, answer: Answer) -> Iterator[Object]:
        yield from reasoned(answer, self._new_id)
        told = chunk_of(*(() if answer.beside is UNSET else answer.beside))
        self._tier = told.tier
        if told.thought and self._shows_thought:
            yield summary_of(told.thought, self._new_id())
        if answer.text:
            part = part_of(answer.text, told.logprobs, refusal=answer.refusal)
            yield message_of(f"msg_{self._new_id()}", "completed") | {"content": [part]}
        for call in answer.tool_calls:
            id_ = f"fc_{self._new_id()}"
            yield call_of(id_, call.id, call.name, call.arguments, "completed")

    def _finished(self, done: Completion, output: list[Object]) -> Object:
        self._model = done.record.model or self._model
        cut = WHY_CUT.get(done.answer.finish_reason)
        return self._response("incomplete" if cut else "completed", output) | {
            "incomplete_details": {"reason": cut} if cut else None,
            "usage": usage_of(done.answer.usage),
            "completed_at": None if cut else self._now_s,
            "router": receipt(done.record, done.quota_left),
        }

    def _response(self, status: str, output: list[Object]) -> Object:
        tier = {"service_tier": self._tier} if self._tier else {}
        return (
            self._echo
            | tier
            | {
                "id": self._id,
                "object": "response",
                "created_at": self._now_s,
                "status": status,
                "error": None,
                "incomplete_details": None,
                "model": self._model,
                "output": output,
                "usage": None,
            }
        )


def _kind(response: Object) -> str:
    return "completed" if response.get("status") == "completed" else "incomplete"
