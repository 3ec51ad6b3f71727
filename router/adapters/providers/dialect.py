"""What differs between providers: pure translation, no I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, TypeAlias

from router.core.arms import Deployment
from router.core.chat import Answer, ChatRequest, Delta, Usage

Json: TypeAlias = dict[str, Any]
CHARS_PER_TOKEN = 4


class Assembler(Protocol):
    """Puts a streamed answer together."""

    def feed(self, event: Json) -> Iterator[Delta]: ...

    def finish(self) -> Answer:
        """Raises ProviderMalformed when the stream broke off before its end."""
        ...


class Dialect(Protocol):
    """Methods that read may raise what indexing an unexpected shape raises."""

    def path(self, deployment: Deployment, *, stream: bool) -> str: ...

    def headers(self, key: str) -> Mapping[str, str]: ...

    def body(self, deployment: Deployment, chat: ChatRequest, *, stream: bool) -> Json: ...

    def answer(self, body: Json, deployment: Deployment, chat: ChatRequest) -> Answer: ...

    def assembler(self, deployment: Deployment, chat: ChatRequest) -> Assembler: ...


def usage_or_guess(input_tokens: int, output_tokens: int, chat: ChatRequest, text: str) -> Usage:
    """What the provider counted, or a guess: an answer without usage was not free."""
    return Usage(
        input_tokens or chat.estimated_input_tokens,
        output_tokens or 1 + len(text) // CHARS_PER_TOKEN,
    )


def given(**fields: Any) -> Json:
    """Only the fields that are set."""
    return {key: value for key, value in fields.items() if value not in (None, (), [], "")}
