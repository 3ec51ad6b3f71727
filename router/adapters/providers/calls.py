"""Tool calls put together from their pieces."""

from __future__ import annotations

from dataclasses import dataclass, field

from router.domain.chat import ChatRequest, ToolCall, ToolCallDelta


@dataclass(slots=True)
class _Call:
    number: int
    id: str
    name: str
    arguments: list[str]


@dataclass(slots=True)
class Calls:
    """Numbered from 0 as they begin, whatever index the provider gives them."""

    chat: ChatRequest
    _calls: dict[int, _Call] = field(default_factory=dict)

    def begin(self, index: int, call_id: str, name: str, arguments: str = "") -> ToolCallDelta:
        """Without an id one is made that no earlier turn of the conversation has used."""
        number = len(self._calls)
        call_id = call_id or f"call_{len(self.chat.messages)}_{number}"
        self._calls[index] = _Call(number, call_id, name, [arguments])
        return ToolCallDelta(number, call_id, name, arguments)

    def proceed(self, index: int, arguments: str) -> ToolCallDelta:
        """Raises KeyError for a call that has not begun."""
        call = self._calls[index]
        call.arguments.append(arguments)
        return ToolCallDelta(call.number, arguments=arguments)

    def __contains__(self, index: int) -> bool:
        return index in self._calls

    def __len__(self) -> int:
        return len(self._calls)

    def whole(self) -> tuple[ToolCall, ...]:
        return tuple(ToolCall(c.id, c.name, "".join(c.arguments)) for c in self._calls.values())

    @property
    def text(self) -> str:
        return "".join(piece for call in self._calls.values() for piece in call.arguments)
