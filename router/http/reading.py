"""Builds a chat of the domain out of any dialect's parts; every violation is noted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from router.domain.chat import (
    ChatRequest,
    ImagePart,
    Message,
    ResponseFormat,
    Role,
    Sampling,
    TextPart,
    Tool,
    ToolCall,
    ToolChoice,
)
from router.domain.errors import FieldViolation, PromptTooLong
from router.doors.checks import ID, RequestLimits, Violations

IMAGE_URLS: Final = ("https://", "http://", "data:image/")
NOTHING: Final = msgspec.Raw()
DETAILS: Final = frozenset(("", "low", "high", "auto"))


class ChatBuilder:
    """Fields are named as the dialect has them, so that a caller finds what to mend."""

    def __init__(self, found: Violations, limits: RequestLimits) -> None:
        self.found = found
        self.limits = limits
        self._parts = self._calls = self._schemas = 0

    def image(self, url: str, detail: str, field: str) -> ImagePart:
        self.found.short(url, self.limits.url_characters, field)
        known = url.startswith(IMAGE_URLS)
        self.found.require(known, field, "send an http(s) or data:image URL")
        self.found.require(detail in DETAILS, field, "send as detail low, high or auto")
        return ImagePart(url, detail)

    def call(self, id_: str, name: str, arguments: str, field: str) -> ToolCall:
        self.found.require(id_ and name, field, "set id and name")
        is_object = _is_object(arguments)
        self.found.require(is_object, f"{field}.arguments", "send the text of a JSON object")
        return ToolCall(id_, name, arguments)

    def counted(self, message: Message, field: str) -> Message:
        """Note what one message may not hold."""
        self._parts += len(message.parts)
        self._calls += len(message.tool_calls)
        limits = self.limits
        fix = f"send at most {limits.parts} parts"
        self.found.require(len(message.parts) <= limits.parts, field, fix)
        fix = f"send at most {limits.tool_calls} calls"
        self.found.require(len(message.tool_calls) <= limits.tool_calls, field, fix)
        return message

    def tool(self, name: str, description: str, schema: str, field: str) -> Tool:
        self.found.require(ID.fullmatch(name), f"{field}.name", "use [A-Za-z0-9_-]{1,64}")
        if schema:
            self.schema(schema, f"{field}.parameters")
        return Tool(name, description, schema)

    def schema(self, text: str, field: str) -> None:
        self._schemas += len(text)
        if self._schemas > self.limits.all_schema_characters:
            most = self.limits.all_schema_characters
            self.found.add(field, f"send at most {most} characters of schemas in all")
        else:
            self.found.schema(text, self.limits.schema_characters, field)

    def tools(self, tools: Sequence[Tool]) -> tuple[Tool, ...]:
        most = self.limits.tools
        self.found.require(len(tools) <= most, "tools", f"send at most {most} tools")
        names = {tool.name for tool in tools}
        self.found.require(len(names) == len(tools), "tools", "name every tool once")
        return tuple(tools)

    def chat(
        self,
        messages: Sequence[Message],
        *,
        field: str,
        tools: tuple[Tool, ...],
        choice: ToolChoice,
        wanted: ResponseFormat,
        sampling: Sampling,
    ) -> ChatRequest:
        """Returns the whole chat. field: that holds the messages. Raises InvalidRequest."""
        self._check_messages(messages, field)
        if choice.name and choice.name not in {tool.name for tool in tools}:
            self.found.add("tool_choice", "name one of the tools of this request")
        if choice.mode.value == "required" and not tools:
            self.found.add("tool_choice", "send the tools that may be called")
        chat = ChatRequest(tuple(messages), tools, choice, wanted, sampling)
        most = self.limits.characters
        if chat.characters > most:
            fix = f"send at most {most} characters in all messages together"
            if not self.found:
                raise PromptTooLong(FieldViolation(field, fix))
            self.found.add(field, fix)
        return chat

    def sampling(self, sampling: Sampling, names: Mapping[str, str]) -> Sampling:
        """Note what is out of bounds. names: the dialect's, by the field of `Sampling`."""
        found, limits = self.found, self.limits
        found.within(sampling.temperature, 0, 2, "temperature")
        in_bounds = sampling.top_p is None or 0 < sampling.top_p <= 1
        found.require(in_bounds, "top_p", "send a number above 0 and at most 1")
        most = limits.output_tokens
        found.within(sampling.max_output_tokens, 1, most, names["max_output_tokens"])
        stop = names.get("stop", "stop")
        fix = f"send at most {limits.stops} texts"
        found.require(len(sampling.stop) <= limits.stops, stop, fix)
        for text in sampling.stop:
            found.require(text, stop, "send texts that are not empty")
            found.short(text, limits.stop_characters, stop)
        if sampling.seed is not None:
            found.within(sampling.seed, -(2**63), 2**63 - 1, "seed")
        return sampling

    def _check_messages(self, messages: Sequence[Message], field: str) -> None:
        found, limits = self.found, self.limits
        counts = {
            "messages": (len(messages), limits.messages),
            "parts": (self._parts, limits.all_parts),
            "calls": (self._calls, limits.all_tool_calls),
        }
        for what, (count, most) in counts.items():
            found.require(count <= most, field, f"send at most {most} {what} in all")
        users = [m for m in messages if m.role is Role.USER]
        found.require(users, field, "send at least one user message")
        if users and not _says_something(users[-1]):
            found.add(field, "the last user message is empty: send text or an image")
        if messages and messages[-1].role in (Role.ASSISTANT, Role.SYSTEM):
            found.add(field, "the last message must be the user's or a tool's")


def raw_text(raw: msgspec.Raw) -> str:
    """Returns JSON text as it was written, "" where there is none."""
    text = bytes(raw).decode()
    return "" if text == "null" else text


def _says_something(message: Message) -> bool:
    return any(not isinstance(p, TextPart) or p.text.strip() for p in message.content)


def _is_object(text: str) -> bool:
    try:
        value: Any = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict)
