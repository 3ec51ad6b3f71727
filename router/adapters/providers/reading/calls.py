"""Tool calls out of the pieces that they come in: which piece belongs to which call."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from router.adapters.providers.reading.characters import Joiner
from router.adapters.providers.reading.fields import index_of, record_of, string_of
from router.domain.chat import ChatRequest, ToolCall, ToolCallDelta

MAX_JUDGED: Final = 16_384
"""Characters of arguments up to which it is asked whether they are whole."""
_EMPTY: Final = ("{}", "null", '""', "None")
"""Arguments that say nothing: some servers begin a call so, and send the real ones after it."""


@dataclass(frozen=True, slots=True)
class CallPiece:
    """One piece of a call. index: None for none. begins: it is the first of a call.

    preset: the arguments are a value that pieces to come may spell out again.
    """

    index: int | None = None
    id: str = ""
    name: str = ""
    arguments: str = ""
    begins: bool = False
    preset: bool = False


def piece_of(value: Any, *, begins: bool = False) -> CallPiece:
    """Returns what a piece of any shape tells: {index, id, function: {name, arguments}}."""
    piece = record_of(value)
    function = record_of(piece.get("function")) or piece
    return CallPiece(
        index_of(piece.get("index")),
        string_of(piece.get("id")),
        string_of(function.get("name")),
        arguments_of(function.get("arguments")),
        begins,
    )


def arguments_of(value: Any) -> str:
    """Returns arguments as JSON text: servers send that, the value itself, or nothing."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    try:
        return msgspec.json.encode(value).decode()
    except (UnicodeEncodeError, msgspec.MsgspecError, OverflowError):
        return json.dumps(value, ensure_ascii=False)


@dataclass(slots=True)
class _OpenCall:
    """told_id: with its first piece. number: among the calls handed out, -1 before that.

    preset: see `CallPiece`.
    """

    told_id: str
    id: str = ""
    name: str = ""
    number: int = -1
    preset: str = ""
    said: list[str] = field(default_factory=list)
    size: int = 0
    unsent: str = ""
    joiner: Joiner = field(default_factory=Joiner)

    def hear(self, text: str, *, preset: bool) -> None:
        text = self.joiner.joined(text)
        if not self.size:
            text = text.lstrip()
            if (preset and text) or text.rstrip() in _EMPTY:
                self.preset = text
                return
        if not text or self._repeats(text):
            return
        if self.preset and not self.size and not text.startswith("{"):
            text = self.preset + text
        self._say(text)

    def _repeats(self, text: str) -> bool:
        """True for whole arguments that come again at the end."""
        return 1 < self.size == len(text) and self.is_whole and text == self.text

    def _say(self, text: str) -> None:
        self.said.append(text)
        self.size += len(text)
        self.unsent += text

    def end(self) -> None:
        rest = self.joiner.ended()
        if rest:
            self._say(rest)
        if not self.size:
            self._say("{}" if self.preset.rstrip() in _EMPTY else self.preset or "{}")

    @property
    def text(self) -> str:
        return "".join(self.said)

    @property
    def is_whole(self) -> bool:
        """True if nothing can follow the arguments; long ones are taken to go on."""
        if not self.size:
            return bool(self.preset)
        last = self.said[-1].rstrip()
        if self.size > MAX_JUDGED or (last and not last.endswith("}")):
            return False
        return self.is_object

    @property
    def is_object(self) -> bool:
        try:
            return isinstance(msgspec.json.decode(self.text), dict)
        except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
            return False


@dataclass(slots=True)
class Calls:
    """Numbers calls from 0 as they begin, whatever index the provider gives them.

    A call is handed out once its name is known. Arguments that are whole take no more: what comes
    with an id or a name after them begins another call.
    """

    chat: ChatRequest
    _calls: list[_OpenCall] = field(default_factory=list)
    _at: dict[int, _OpenCall] = field(default_factory=dict)
    _by_id: dict[str, _OpenCall] = field(default_factory=dict)
    _begun: int = 0

    def add(self, piece: CallPiece) -> Iterator[ToolCallDelta]:
        call = None if piece.begins else self._known(piece)
        if call is None:
            call = self._opened(piece)
        self._name_id(call, piece.id)
        if piece.index is not None:
            self._at[piece.index] = call
        if piece.name and call.number < 0 and piece.name != call.name:
            call.name += piece.name
        call.hear(piece.arguments, preset=piece.preset)
        yield from self._sent(call)

    def _opened(self, piece: CallPiece) -> _OpenCall:
        call = _OpenCall(piece.id)
        self._calls.append(call)
        return call

    def _name_id(self, call: _OpenCall, call_id: str) -> None:
        """Give a call the id that came with a piece; one that another has is no id of its own."""
        if call_id and call_id not in self._by_id:
            call.id = call.id or call_id
            self._by_id[call_id] = call

    def _known(self, piece: CallPiece) -> _OpenCall | None:
        """Returns the call that a piece goes on with, None for a new one."""
        by_id = self._by_id.get(piece.id) if piece.id else None
        if by_id is not None:
            told = self._twin(piece) or by_id
            return told if self._goes_on(told, piece) else None
        last = self._calls[-1] if self._calls else None
        if piece.index is None:
            if piece.id and not (last and not last.id and self._goes_on(last, piece)):
                return None
            return last if last and self._goes_on(last, piece) else None
        call = self._at.get(piece.index)
        if call is None:
            is_stray = last and not (piece.id or piece.name or last.is_whole)
            return last if is_stray else None
        return call if self._goes_on(call, piece) else None

    def _twin(self, piece: CallPiece) -> _OpenCall | None:
        """Returns a later call that was told the same id as an earlier one, if a piece is of it."""
        call = self._calls[-1] if piece.index is None else self._at.get(piece.index)
        return call if call is not None and call.told_id == piece.id else None

    def _goes_on(self, call: _OpenCall, piece: CallPiece) -> bool:
        if not piece.name:
            return True
        if not call.name:
            return True
        if piece.name != call.name:
            return not call.size and self._is_prefix(call.name + piece.name)
        other_id = bool(piece.id and call.id and piece.id != call.id)
        if call.size == 0 and not call.preset:
            return not other_id
        return not piece.arguments and not other_id if call.is_whole else True

    def _is_prefix(self, name: str) -> bool:
        return any(tool.name.startswith(name) for tool in self.chat.tools)

    def _grows(self, call: _OpenCall) -> bool:
        """True while more of the name may come: some servers send that in pieces too."""
        names = [tool.name for tool in self.chat.tools]
        return not call.size and call.name not in names and self._is_prefix(call.name)

    def _sent(self, call: _OpenCall, *, ends: bool = False) -> Iterator[ToolCallDelta]:
        begins = call.number < 0
        if not call.name or (begins and not ends and self._grows(call)):
            return
        text, call.unsent = call.unsent, ""
        if begins:
            call.number, self._begun = self._begun, self._begun + 1
            call.id = call.id or self._made_id(call.number)
            yield ToolCallDelta(call.number, call.id, call.name, text)
        elif text:
            yield ToolCallDelta(call.number, arguments=text)

    def _made_id(self, number: int) -> str:
        """Returns an id that no earlier turn of the conversation has used, nor this one."""
        made = f"call_{len(self.chat.messages)}_{number}"
        while made in self._by_id:
            made += "_"
        return made

    @property
    def begun(self) -> int:
        """Count those that have begun, those that are not handed out yet among them."""
        return len(self._calls)

    def close(self) -> Iterator[ToolCallDelta]:
        """Hand out what was held back: names that may have grown, arguments that are empty."""
        for call in self._calls:
            call.end()
            yield from self._sent(call, ends=True)

    def whole(self) -> tuple[ToolCall, ...]:
        """Returns the calls, once closed; those that never had a name can't be carried out."""
        told = sorted((c for c in self._calls if c.number >= 0), key=lambda c: c.number)
        return tuple(ToolCall(c.id, c.name, c.text) for c in told)

    @property
    def are_whole(self) -> bool:
        """True if there are calls, and each has its name and all of its arguments."""
        return bool(self._calls) and all(c.number >= 0 and c.is_object for c in self._calls)

    @property
    def are_lost(self) -> bool:
        """True if one that came in part has no name."""
        return any(c.number < 0 for c in self._calls)
