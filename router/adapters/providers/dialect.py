"""What differs between providers: pure translation, no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol, TypeAlias

from router.domain.catalog import Deployment
from router.domain.chat import Answer, ChatRequest, Delta, Usage

Json: TypeAlias = dict[str, Any]
CHARS_PER_TOKEN = 4
MAX_TOKENS = 100_000_000
"""More than any model reads or writes: a count beyond it is a provider's mistake."""


class Assembler(Protocol):
    """Puts one streamed answer together."""

    ended: bool
    """The provider has said that nothing follows; never set where a protocol has no such mark."""

    def feed(self, data: bytes) -> Iterator[Delta]:
        """Raises ProviderMalformed, or msgspec.DecodeError for JSON of another shape."""
        ...

    def finish(self) -> Answer:
        """Raises ProviderMalformed when the stream broke off before its end."""
        ...


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


def usage_or_guess(
    input_tokens: int | None, output_tokens: int | None, chat: ChatRequest, text: str
) -> Usage:
    """What the provider counted, or a guess: an answer without usage was not free."""
    read, written = _count(input_tokens), _count(output_tokens)
    return Usage(
        read or chat.estimated_input_tokens,
        written or 1 + len(text) // CHARS_PER_TOKEN,
        guessed=not (read and written),
    )


def _count(tokens: int | None) -> int:
    return tokens if tokens is not None and 0 < tokens <= MAX_TOKENS else 0


def given(**fields: Any) -> Json:
    """Only the fields that are set."""
    return {key: value for key, value in fields.items() if value not in (None, (), [], "")}


def merged(turns: Iterable[Json], parts: str) -> list[Json]:
    """Neighbours of one role as one turn: results of parallel tool calls belong together.

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
