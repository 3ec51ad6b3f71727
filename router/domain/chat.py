"""A chat request and its answer, free of any provider's or the wire's form."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final, TypeAlias

from msgspec import UNSET, UnsetType, json

BYTES_PER_TOKEN: Final = 3
TOKENS_PER_IMAGE: Final = 1_600

MOST_TOKENS_PER_IMAGE: Final = 50_000
"""Small models charge a large image in high detail at some 2,833 + 8 x 5,667 tokens."""

MOST_TEMPLATE_TOKENS: Final = 128
MOST_SCHEMA_TOKENS: Final = 512
"""Tokens that servers add: a template, and with tools or a schema the words for those."""

MOST_MESSAGE_TOKENS: Final = 12
MOST_TOOL_TOKENS: Final = 32
"""Tokens that servers put around each message, each tool and each call of one."""


class Role(StrEnum):
    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


class Format(StrEnum):
    TEXT = "text"
    JSON_OBJECT = "json_object"
    JSON_SCHEMA = "json_schema"


class ToolMode(StrEnum):
    AUTO = "auto"
    NONE = "none"
    REQUIRED = "required"


class FinishReason(StrEnum):
    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"


@dataclass(frozen=True, slots=True)
class TextPart:
    text: str


@dataclass(frozen=True, slots=True)
class ImagePart:
    """An image by URL, passed through untouched. detail: "" | "low" | "high" | "auto"."""

    url: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class OpaquePart:
    """What one provider's model wrote besides its answer and reads again with it.

    provider: a name of `PROVIDERS`. model: as the deployment has it. data: the dialect's own form.
    """

    provider: str
    model: str
    data: bytes


Content: TypeAlias = TextPart | ImagePart
Part: TypeAlias = Content | OpaquePart


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool. arguments: JSON text, as the model wrote it."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. tool_call_id: on `Role.TOOL` messages only, naming the call it answers."""

    role: Role
    parts: tuple[Part, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""

    @property
    def text(self) -> str:
        return "\n".join(part.text for part in self.parts if isinstance(part, TextPart))

    @property
    def content(self) -> tuple[Content, ...]:
        """The parts that every provider is sent."""
        return tuple(part for part in self.parts if not isinstance(part, OpaquePart))

    @property
    def opaque(self) -> tuple[OpaquePart, ...]:
        return tuple(part for part in self.parts if isinstance(part, OpaquePart))


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the model may call. parameters: JSON Schema of its arguments ("" for none)."""

    name: str
    description: str = ""
    parameters: str = ""


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """Which tools may be called. name: force this one tool (mode is then REQUIRED)."""

    mode: ToolMode = ToolMode.AUTO
    name: str = ""


@dataclass(frozen=True, slots=True)
class ResponseFormat:
    """The form of the answer. schema: JSON Schema text, with `Format.JSON_SCHEMA` only."""

    kind: Format = Format.TEXT
    schema: str = ""
    name: str = "answer"


@dataclass(frozen=True, slots=True)
class Sampling:
    """None leaves the provider's default."""

    temperature: float | None = None
    top_p: float | None = None
    max_output_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Original:
    """A request as its caller wrote it, for providers that speak the caller's protocol.

    protocol: a name of `PROVIDERS`, or `RESPONSES`. body: JSON without the router's own fields.
    extras: JSON of what a chat has no place for, in one order; "" for nothing. headers: those of
    the protocol.
    """

    protocol: str
    body: bytes
    extras: str = ""
    headers: tuple[tuple[str, str], ...] = ()


RESPONSES: Final = "responses"
WRITTEN_BY: Final = "router_model"
"""Field of a block of thinking: which model wrote it, where it came through here."""


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """original: unset where the caller spoke no provider's protocol; it tells no more than it."""

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = field(default_factory=ToolChoice)
    response_format: ResponseFormat = field(default_factory=ResponseFormat)
    sampling: Sampling = field(default_factory=Sampling)
    original: Original | UnsetType = UNSET

    @property
    def extras(self) -> str:
        """Returns what `original` holds beyond the other fields, "" for nothing."""
        return "" if self.original is UNSET else self.original.extras

    @property
    def prompt(self) -> str:
        """The text of the last user message: what is embedded and matched by similarity."""
        users = (m for m in reversed(self.messages) if m.role is Role.USER)
        last = next(users, None)
        return last.text if last else ""

    @property
    def asks(self) -> bool:
        """True if it ends with words of the user: else nothing new was asked (a tool answered)."""
        last = self.messages[-1]
        return last.role is Role.USER and bool(last.text.strip())

    @property
    def turns(self) -> int:
        return sum(m.role is Role.USER for m in self.messages)

    @property
    def images(self) -> int:
        return sum(isinstance(p, ImagePart) for m in self.messages for p in m.parts)

    @property
    def has_images(self) -> bool:
        return any(isinstance(p, ImagePart) for m in self.messages for p in m.parts)

    @property
    def characters(self) -> int:
        return sum(len(m.text) + sum(len(c.arguments) for c in m.tool_calls) for m in self.messages)

    @property
    def estimated_input_tokens(self) -> int:
        """Returns `estimated_tokens` of the whole request."""
        return self.estimated_tokens(self.input_bytes)

    def estimated_tokens(self, size: int) -> int:
        """A guess on the safe side: a token is about four bytes of English, three of Chinese.

        size: `input_bytes`, which takes time to measure.
        """
        return 1 + size // BYTES_PER_TOKEN + 4 * len(self.messages) + TOKENS_PER_IMAGE * self.images

    @property
    def last_bytes(self) -> int:
        """Bytes of the last message's texts."""
        return _bytes_of(message.text for message in self.messages[-1:])

    def most_tokens(self, size: int) -> int:
        """The most that can be charged: no tokenizer makes more tokens than there are bytes.

        size: as in `estimated_tokens`.
        """
        calls = [c for m in self.messages for c in m.tool_calls]
        names = [self.response_format.name, *(m.tool_call_id for m in self.messages)]
        names += [t.name for t in self.tools] + [c.id + c.name for c in calls]
        has_schema = bool(self.tools) or self.response_format.kind is Format.JSON_SCHEMA
        return (
            size
            + _bytes_of(names)
            + MOST_MESSAGE_TOKENS * len(self.messages)
            + MOST_TOOL_TOKENS * (len(self.tools) + len(calls))
            + MOST_TOKENS_PER_IMAGE * self.images
            + (MOST_SCHEMA_TOKENS if has_schema else MOST_TEMPLATE_TOKENS)
        )

    @property
    def input_bytes(self) -> int:
        """Bytes of all texts, calls, schemas, opaque parts and extras; images are none of them."""
        texts = [m.text for m in self.messages]
        texts += [c.arguments for m in self.messages for c in m.tool_calls]
        texts += [t.description + t.parameters for t in self.tools]
        return _bytes_of([*texts, self.response_format.schema, self.extras]) + self._opaque_bytes

    @property
    def _opaque_bytes(self) -> int:
        return sum(len(part.data) for message in self.messages for part in message.opaque)


def _bytes_of(texts: Iterable[str]) -> int:
    return sum(len(text.encode(errors="replace")) for text in texts)


def head_and_tail(text: str, most: int) -> str:
    """Returns the text, or half of `most` characters from either end with a space between them.

    >>> head_and_tail("to be or not to be", 8), head_and_tail("to be", 8)
    ('to b o be', 'to be')
    """
    half = most // 2
    return text if len(text) <= most else f"{text[:half]} {text[-half:]}"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens. output_tokens includes hidden reasoning where the provider charges it.

    guessed: the provider did not count all of them. cached_tokens, written_tokens: parts of the
    input, read from the provider's cache and written to it. reasoning_tokens: part of the output.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    guessed: bool = field(default=False, compare=False)
    cached_tokens: int = 0
    written_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Beside:
    """A part of an answer in its provider's protocol, beside text and calls.

    protocol: a name of `PROVIDERS`. data: a JSON object. characters, calls: of the answer, before
    it. It is handed to callers of the protocol alone.
    """

    protocol: str
    data: bytes
    characters: int = 0
    calls: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. mean_logprob: mean natural log-probability of its tokens, when offered.

    beside: unset where its caller spoke no protocol of a provider.
    """

    text: str
    finish_reason: FinishReason
    usage: Usage
    model: str
    tool_calls: tuple[ToolCall, ...] = ()
    mean_logprob: float | None = None
    refusal: bool = False
    opaque: tuple[OpaquePart, ...] = ()
    beside: tuple[Beside, ...] | UnsetType = UNSET


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of an answer's text. refusal: of the words that refuse to answer."""

    text: str
    refusal: bool = False


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of the tool call at `index`; id and name come with its first piece."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


Delta: TypeAlias = TextDelta | ToolCallDelta | Beside


@dataclass(frozen=True, slots=True)
class Unseen:
    """Output of a stream beyond its deltas; it is charged and never handed out.

    characters: of hidden reasoning. tokens: of output, as the provider counts them; 0 for no count.
    counted: all that the provider has counted so far.
    """

    characters: int = 0
    tokens: int = 0
    counted: Usage = Usage()


def deltas_of(answer: Answer, chat: ChatRequest) -> Iterator[Delta]:
    """A whole answer in the form of a stream, for the caller of a chat."""
    is_own = chat.original is not UNSET
    return (item for item in in_order(answer) if is_own or not isinstance(item, Beside))


def without_id(answer: Answer) -> Answer:
    """Returns an answer that others may get too: its provider's id is of one alone."""
    if answer.beside is UNSET or not answer.beside:
        return answer
    first, *rest = answer.beside
    told = json.decode(first.data, type=dict[str, Any])
    for each in (told, told.get("message") or {}, told.get("response") or {}):
        each.pop("id", None)
    return replace(answer, beside=(replace(first, data=json.encode(told)), *rest))


def in_order(answer: Answer) -> Iterator[Delta]:
    """Yields text, calls and what stands beside them as they were written."""
    said, called = 0, 0
    for beside in () if answer.beside is UNSET else answer.beside:
        yield from _said(answer, said, beside.characters)
        yield from _called(answer, called, beside.calls)
        said, called = max(said, beside.characters), max(called, beside.calls)
        yield beside
    yield from _said(answer, said, len(answer.text))
    yield from _called(answer, called, len(answer.tool_calls))


def _said(answer: Answer, begin: int, end: int) -> Iterator[Delta]:
    if begin < min(end, len(answer.text)):
        yield TextDelta(answer.text[begin:end], answer.refusal)


def _called(answer: Answer, begin: int, end: int) -> Iterator[Delta]:
    for index, call in enumerate(answer.tool_calls[begin:end], start=begin):
        yield ToolCallDelta(index, call.id, call.name, call.arguments)
