"""Puts the deltas of a stream together into the answer that they are of."""

from __future__ import annotations

from google.protobuf.message import Message

from adaptive_router_client.convert import decode
from adaptive_router_client.errors import Details, StreamBroken
from adaptive_router_client.results import (
    Answer,
    Completion,
    StreamEnd,
    TextDelta,
    ToolCallDelta,
)
from adaptive_router_client.values import ToolCall

Delta = TextDelta | ToolCallDelta


class Assembler:
    def __init__(self) -> None:
        self._texts: list[str] = []
        self._calls: dict[int, list[ToolCallDelta]] = {}
        self._end: StreamEnd | None = None

    def read(self, event: Message) -> Delta | None:
        """Returns the event's delta; None for the end, and for events that are not known."""
        kind = event.WhichOneof("event")
        if kind == "text_delta":
            text: str = getattr(event, kind)
            self._texts.append(text)
            return TextDelta(text)
        if kind == "tool_call_delta":
            piece = decode(ToolCallDelta, getattr(event, kind))
            self._calls.setdefault(piece.index, []).append(piece)
            return piece
        if kind == "done":
            self._end = decode(StreamEnd, getattr(event, kind))
        return None

    @property
    def completion(self) -> Completion:
        """The whole answer; raises StreamBroken before its end."""
        end = self._end
        if end is None:
            raise StreamBroken("the stream has not come to its end", Details(StreamBroken.REASON))
        answer = Answer(
            text="".join(self._texts),
            tool_calls=tuple(_call(pieces) for _, pieces in sorted(self._calls.items())),
            finish_reason=end.finish_reason,
            input_tokens=end.input_tokens,
            output_tokens=end.output_tokens,
            opaque=end.opaque,
            cached_input_tokens=end.cached_input_tokens,
            cache_write_tokens=end.cache_write_tokens,
            reasoning_tokens=end.reasoning_tokens,
        )
        return Completion(answer, end.receipt)


def _call(pieces: list[ToolCallDelta]) -> ToolCall:
    arguments = "".join(piece.arguments for piece in pieces)
    return ToolCall(pieces[0].id, pieces[0].name, arguments)
