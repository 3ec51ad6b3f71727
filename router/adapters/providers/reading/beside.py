"""Gathers what an answer holds beside text and calls, for callers of its provider's protocol."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from router.adapters.providers.reading.characters import clean
from router.domain.chat import WRITTEN_BY, Beside

Json = dict[str, Any]
MAX_BYTES: Final = 1 << 20
"""Bound of all that is kept beside one answer; more is handed out live alone."""
BEGINNINGS: Final = ("response.created", "response.in_progress", "response.queued")
REASONED: Final = frozenset(("reasoning_content", "reasoning", "reasoning_details"))
PIECES: Final = frozenset(("reasoning_content", "reasoning", "thinking", "text", "data"))
"""Texts that come in pieces; others come whole, perhaps again and again."""
_encode = msgspec.json.Encoder().encode


def _written(value: Json) -> bytes:
    """Returns b"" for what JSON or UTF-8 can't hold: nobody's answer ends for it."""
    try:
        return _encode(value)
    except UnicodeEncodeError:
        return _encode(_cleaned(value))
    except (OverflowError, ValueError, TypeError, RecursionError):
        return b""


def _cleaned(value: Any) -> Any:
    if isinstance(value, dict):
        return {clean(name): _cleaned(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_cleaned(each) for each in value]
    return clean(value) if isinstance(value, str) else value


CHUNK: Final = frozenset(("choices", "usage", "model", "object", "error", "router"))
CHOICE: Final = frozenset(
    ("index", "delta", "message", "finish_reason", "finishReason", "text", "logprobs")
)
MESSAGE: Final = frozenset(("role", "content", "tool_calls", "function_call", "refusal", "text"))
ANSWER: Final = frozenset(
    ("type", "role", "model", "content", "message", "delta", "error", "index")
)


@dataclass(slots=True)
class BesideChat:
    """Gathers it from chat completions. whole: all of it so far, in the form of one chunk.

    model: who writes it: what it reasons is read again by itself alone.
    """

    model: str
    whole: Json = field(default_factory=dict)
    _untold: list[Beside] = field(default_factory=list)
    _bytes: int = 0
    _is_marked: bool = False

    def note(self, body: Json, choice: Json, message: Json) -> None:
        """Read a body, or a chunk, with the choice that is followed."""
        top = {n: v for n, v in body.items() if n not in CHUNK and self.whole.get(n) != v}
        delta = _told(message, MESSAGE)
        if not self._is_marked and not REASONED.isdisjoint(delta):
            self._is_marked, delta[WRITTEN_BY] = True, self.model
        own = _told(choice, CHOICE) | ({"delta": delta} if delta else {})
        if logprobs := choice.get("logprobs"):
            own["logprobs"] = logprobs
        told = top | ({"choices": [own]} if own else {})
        data = _written(told) if told else b""
        if not data:
            return
        self._untold.append(Beside("openai", data))
        self._bytes += len(data)
        if self._bytes <= MAX_BYTES:
            before = self.whole.get("choices", [{}])[0]
            choices = {"choices": [joined(before, own)]} if own else {}
            self.whole = joined_over(self.whole, top) | choices

    def count(self, usage: Any) -> None:
        if isinstance(usage, dict):
            self.whole["usage"] = usage

    def taken(self) -> list[Beside]:
        """Returns what is to be handed out live, once."""
        taken, self._untold = self._untold, []
        return taken

    def kept(self) -> tuple[Beside, ...]:
        data = _written(self.whole) if self.whole else b""
        return (Beside("openai", data),) if data else ()


@dataclass(slots=True)
class BesideMessage:
    """Gathers it from Anthropic's messages: what stands around the content, and thinking."""

    around: Json = field(default_factory=dict)
    _blocks: list[Beside] = field(default_factory=list)
    _untold: list[Beside] = field(default_factory=list)
    _bytes: int = 0

    def begin(self, message: Json) -> None:
        """Read a message, whole or as it stands in front of a stream."""
        self.around = joined_over(self.around, _told(message, ANSWER))
        if data := _written({"message": self.around}):
            self._untold.append(Beside("anthropic", data))

    def end(self, delta: Json, event: Json) -> None:
        told = _told(event, ANSWER) | _told(delta, ANSWER)
        self.around = joined_over(self.around, told)

    def block(self, block: Json, characters: int, calls: int) -> None:
        beside = Beside("anthropic", _written({"block": block}), characters, calls)
        self._untold.append(beside)
        self._bytes += len(beside.data)
        if self._bytes <= MAX_BYTES:
            self._blocks.append(beside)

    def taken(self) -> list[Beside]:
        """Returns what is to be handed out live, once."""
        taken, self._untold = self._untold, []
        return taken

    def kept(self) -> tuple[Beside, ...]:
        around = _written({"message": self.around})
        return (*([Beside("anthropic", around)] if around else ()), *self._blocks)


@dataclass(slots=True)
class BesideResponse:
    """Gathers events of a response as they are, and all of it at its end. model: who writes it."""

    model: str
    _response: Json = field(default_factory=dict)
    _untold: list[Beside] = field(default_factory=list)

    def event(self, event: Json) -> None:
        """Read an event; the one at the end is told with the receipt."""
        if "response" in event and event["type"] not in BEGINNINGS:
            return
        item = self._marked(event["item"]) if isinstance(event.get("item"), dict) else None
        if data := _written({"event": event if item is None else event | {"item": item}}):
            self._untold.append(Beside("responses", data))

    def end(self, response: Json) -> None:
        output = response.get("output")
        items = [self._marked(each) for each in output] if isinstance(output, list) else []
        self._response = response | {"output": items}

    def _marked(self, item: Any) -> Any:
        """Returns an item; reasoning that only its model can read says whose it is."""
        is_own = isinstance(item, dict) and item.get("encrypted_content")
        return item | {WRITTEN_BY: self.model} if is_own else item

    def taken(self) -> list[Beside]:
        """Returns what is to be handed out live, once."""
        taken, self._untold = self._untold, []
        return taken

    def kept(self) -> tuple[Beside, ...]:
        data = _written({"response": self._response}) if self._response else b""
        return (Beside("responses", data),) if data else ()


def _told(value: Json, known: Iterable[str]) -> Json:
    return {n: v for n, v in value.items() if n not in known and v not in (None, "", [])}


def joined(before: Mapping[str, Any], piece: Mapping[str, Any]) -> Json:
    """Returns an object with one more piece of a stream: texts of `PIECES` and lists go on.

    >>> joined({"text": "x", "b": [1], "c": "d"}, {"text": "y", "b": [2], "c": "d"})
    {'text': 'xy', 'b': [1, 2], 'c': 'd'}
    """
    whole = dict(before)
    for name, value in piece.items():
        known = whole.get(name)
        if isinstance(known, dict) and isinstance(value, dict):
            whole[name] = joined(known, value)
        elif isinstance(known, list) and isinstance(value, list):
            whole[name] = [*known, *value]
        elif isinstance(known, str) and isinstance(value, str) and name in PIECES:
            whole[name] = f"{known}{value}"
        else:
            whole[name] = value
    return whole


def joined_over(before: Json, more: Json) -> Json:
    """Returns an object with later values in it; those of objects join."""
    both = [n for n in more if isinstance(more[n], dict) and isinstance(before.get(n), dict)]
    return before | more | {name: before[name] | more[name] for name in both}
