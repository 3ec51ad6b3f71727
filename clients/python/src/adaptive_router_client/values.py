"""Values that a caller sends: a conversation, what the answer must be like, and how to route it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class ImageUrl:
    """detail: "", "low", "high" or "auto"."""

    url: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of a message: a text or an image."""

    text: str | None = None
    image_url: ImageUrl | None = None


@dataclass(frozen=True, slots=True)
class ToolCall:
    """arguments: JSON text, as the model wrote it."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class OpaquePart:
    """Bytes that a provider wants to read again with its answer."""

    provider: str
    model: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Message:
    """Either a text or parts. An answer goes back in as `Completion.message`."""

    role: Role
    text: str = ""
    parts: tuple[Part, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    opaque: tuple[OpaquePart, ...] = ()


def system(text: str) -> Message:
    return Message("system", text)


def user(text: str, *images: str) -> Message:
    """Returns a message of the user; images: their URLs."""
    if not images:
        return Message("user", text)
    parts = (Part(text=text), *(Part(image_url=ImageUrl(url)) for url in images))
    return Message("user", parts=parts)


def tool_result(call: ToolCall, text: str) -> Message:
    return Message("tool", text, tool_call_id=call.id)


@dataclass(frozen=True, slots=True)
class Tool:
    """parameters: JSON Schema text of the arguments object."""

    name: str
    description: str = ""
    parameters: str = ""


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """name: forces the tool of this name."""

    mode: Literal["auto", "none", "required"] | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class ResponseFormat:
    """schema: JSON Schema text, with the kind `json_schema`."""

    kind: Literal["text", "json_object", "json_schema"]
    schema: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Chat:
    """A whole request; None leaves the provider's default."""

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    response_format: ResponseFormat | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_output_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None


Prompt = str | Message | Iterable[Message] | Chat
"""A question: the user's text, a message, a conversation, or a whole request."""


def chat_of(prompt: Prompt) -> Chat:
    """Returns the whole request that a prompt stands for."""
    if isinstance(prompt, Chat):
        return prompt
    if isinstance(prompt, str):
        return Chat((user(prompt),))
    return Chat((prompt,) if isinstance(prompt, Message) else tuple(prompt))


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights of the utility, in place of the policy's; each in [0, 10]."""

    quality: float | None = None
    cost: float | None = None
    latency: float | None = None
    failure: float | None = None


@dataclass(frozen=True, slots=True)
class Routing:
    """Options of the routing itself.

    idempotency_key: None lets the client make one for each call; "" sends none, and then a call
    that may have been paid for is never sent again.
    """

    arm: str = ""
    max_cost_usd: float | None = None
    max_latency_ms: int | None = None
    weights: Weights | None = None
    session_id: str = ""
    idempotency_key: str | None = None
    no_cache: bool = False
    task: str = ""
    no_evidence: bool = False


UNROUTED = Routing()
"""No wish of the caller's."""
