"""Translates between the domain and the protocol of a provider; no I/O."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from router.domain.catalog import Deployment
from router.domain.chat import (
    Answer,
    ChatRequest,
    Delta,
    FinishReason,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
    deltas_of,
)

Json: TypeAlias = dict[str, Any]
CHARS_PER_TOKEN = 4
MAX_TOKENS = 100_000_000
"""More than any model reads or writes: a count beyond it is a provider's mistake."""


@dataclass(slots=True)
class _OpenCall:
    number: int
    id: str
    name: str
    arguments: list[str]


@dataclass(slots=True)
class Calls:
    """Numbers tool calls from 0 as they begin, whatever index the provider gives them."""

    chat: ChatRequest
    _calls: dict[int, _OpenCall] = field(default_factory=dict)

    def begin(self, index: int, call_id: str, name: str, arguments: str = "") -> ToolCallDelta:
        """Make an id where there is none: one that no earlier turn of the conversation has used."""
        number = len(self._calls)
        call_id = call_id or f"call_{len(self.chat.messages)}_{number}"
        self._calls[index] = _OpenCall(number, call_id, name, [arguments])
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


@dataclass(slots=True)
class Assembler(ABC):
    """Puts one answer together, whole or streamed.

    ended: the provider has said that nothing follows; never set where a protocol has no such mark.
    """

    deployment: Deployment
    chat: ChatRequest
    ended: bool = False
    model: str = ""
    calls: Calls = field(init=False)
    _text: list[str] = field(default_factory=list)
    read_whole: Answer | None = None

    def __post_init__(self) -> None:
        self.calls = Calls(self.chat)

    @abstractmethod
    def feed(self, data: bytes) -> Iterator[Delta]:
        """Raises ProviderMalformed, or msgspec.DecodeError for JSON of another shape."""

    def whole(self, data: bytes) -> Iterator[Delta]:
        """Stand-in."""
        dialect = sys.modules[type(self).__module__].DIALECT  # type: ignore[attr-defined]
        answer = dialect.answer(data, self.deployment, self.chat)
        self.read_whole, self.ended = answer, True
        yield from deltas_of(answer)

    @abstractmethod
    def finish(self) -> Answer:
        """Raises ProviderMalformed when the stream broke off before its end."""

    def say(self, text: str | None) -> Iterator[Delta]:
        if text:
            self._text.append(text)
            yield TextDelta(text)

    def assembled(
        self,
        finish_reason: FinishReason,
        input_tokens: int | None,
        output_tokens: int | None,
        *,
        mean_logprob: float | None = None,
        refusal: bool = False,
    ) -> Answer:
        text = "".join(self._text)
        written = text + self.calls.text
        return Answer(
            text=text,
            finish_reason=finish_reason,
            usage=_usage_or_guess(input_tokens, output_tokens, self.chat, written),
            model=self.model or self.deployment.model,
            tool_calls=self.calls.whole(),
            mean_logprob=mean_logprob,
            refusal=refusal,
        )


class Dialect(Protocol):
    """Translates for any deployment that speaks one protocol."""

    def path(self, deployment: Deployment, *, stream: bool) -> str: ...

    def headers(self, key: str) -> Mapping[str, str]: ...

    def body(self, deployment: Deployment, chat: ChatRequest, *, stream: bool) -> Json:
        """Raises ValueError for a request that the protocol can't carry."""
        ...

    def answer(self, data: bytes, deployment: Deployment, chat: ChatRequest) -> Answer:
        """Raises ProviderMalformed, or msgspec.DecodeError for JSON of another shape."""
        ...

    def assembler(self, deployment: Deployment, chat: ChatRequest) -> Assembler: ...


def _usage_or_guess(
    input_tokens: int | None, output_tokens: int | None, chat: ChatRequest, text: str
) -> Usage:
    """Returns the provider's counts, or a guess: an answer without usage was not free."""
    read, written = _count(input_tokens), _count(output_tokens)
    return Usage(
        read or chat.estimated_input_tokens,
        written or 1 + len(text) // CHARS_PER_TOKEN,
        guessed=not (read and written),
    )


def _count(tokens: int | None) -> int:
    return tokens if tokens is not None and 0 < tokens <= MAX_TOKENS else 0


def given(**fields: Any) -> Json:
    """Returns only the fields that are set."""
    return {key: value for key, value in fields.items() if value not in (None, (), [], "")}


def merged(turns: Iterable[Json], parts: str) -> list[Json]:
    """Join neighbours of one role: results of parallel tool calls belong together.

    parts: the field that holds a turn's list of parts. Turns without any are left out.
    """
    whole: list[Json] = []
    for turn in turns:
        if not turn[parts]:
            continue
        if whole and whole[-1]["role"] == turn["role"]:
            whole[-1][parts] += turn[parts]
        else:
            whole.append(turn)
    return whole
