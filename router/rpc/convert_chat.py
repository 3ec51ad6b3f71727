"""Reads the chat part of a request; every violation is noted, none ends the reading."""

from __future__ import annotations

import json
from collections.abc import Iterable

import msgspec
from adaptive_router.v1 import chat_pb2 as chat_pb
from google.protobuf.message import Message as Proto

from router.domain.chat import (
    ChatRequest,
    Format,
    ImagePart,
    Message,
    OpaquePart,
    Part,
    ResponseFormat,
    Role,
    Sampling,
    TextPart,
    Tool,
    ToolCall,
    ToolChoice,
    ToolMode,
)
from router.domain.errors import FieldViolation, PromptTooLong
from router.doors.checks import ID, RequestLimits, Violations

QUICK_COUNT = 64
QUICK_CHARACTERS = 8_000
BUILT_CHARACTERS = 16_384
"""Characters of a JSON text whose values are built to check it; a longer one is looked over."""
_looked_over = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_OF_SCHEMAS = "characters of schemas"
_ARGUMENTS_FIX = "send the text of a JSON object"

_ROLES = {
    chat_pb.ROLE_SYSTEM: Role.SYSTEM,
    chat_pb.ROLE_USER: Role.USER,
    chat_pb.ROLE_ASSISTANT: Role.ASSISTANT,
    chat_pb.ROLE_TOOL: Role.TOOL,
}
_MODES = {
    chat_pb.TOOL_MODE_UNSPECIFIED: ToolMode.AUTO,
    chat_pb.TOOL_MODE_AUTO: ToolMode.AUTO,
    chat_pb.TOOL_MODE_NONE: ToolMode.NONE,
    chat_pb.TOOL_MODE_REQUIRED: ToolMode.REQUIRED,
}
_FORMATS = {
    chat_pb.ResponseFormat.KIND_UNSPECIFIED: Format.TEXT,
    chat_pb.ResponseFormat.KIND_TEXT: Format.TEXT,
    chat_pb.ResponseFormat.KIND_JSON_OBJECT: Format.JSON_OBJECT,
    chat_pb.ResponseFormat.KIND_JSON_SCHEMA: Format.JSON_SCHEMA,
}


class ChatReader:
    def __init__(self, found: Violations, limits: RequestLimits) -> None:
        self._found = found
        self._limits = limits

    def check_sizes(self, chat: chat_pb.ChatRequest) -> None:
        """What is too large is not read at all. Raises InvalidRequest."""
        limits, messages = self._limits, chat.messages[: self._limits.messages]
        parts, calls = (
            sum(len(m.parts) + len(m.opaque) for m in messages),
            sum(len(m.tool_calls) for m in messages),
        )
        counts = {
            "chat.messages": (parts, limits.all_parts, "parts"),
            "chat.messages.tool_calls": (calls, limits.all_tool_calls, "calls"),
            "chat.tools": (_schema_characters(chat), limits.all_schema_characters, _OF_SCHEMAS),
        }
        for field, (count, most, what) in counts.items():
            self._found.require(count <= most, field, f"send at most {most} {what} in all")
        self._found.done()
        if _argument_characters(messages) > limits.characters:
            raise too_long(limits)

    def read(self, chat: chat_pb.ChatRequest) -> ChatRequest:
        """Returns what could be read; of use only when no violation was found."""
        return ChatRequest(
            messages=self.messages(chat),
            tools=self.tools(chat),
            tool_choice=self.tool_choice(chat),
            response_format=self.response_format(chat),
            sampling=self.sampling(chat),
        )

    def messages(self, chat: chat_pb.ChatRequest) -> tuple[Message, ...]:
        field, most = "chat.messages", self._limits.messages
        self._found.require(len(chat.messages) <= most, field, f"send at most {most} messages")
        messages = tuple(
            self._message(message, f"{field}[{i}]")
            for i, message in enumerate(chat.messages[:most])
        )
        users = [m for m in messages if m.role is Role.USER]
        self._found.require(users, field, "send at least one message with ROLE_USER")
        if users and not _says_something(users[-1]):
            self._found.add(field, "the last user message is empty: send text or an image")
        if messages and messages[-1].role in (Role.ASSISTANT, Role.SYSTEM):
            self._found.add(field, "the last message must be ROLE_USER or ROLE_TOOL")
        return messages

    def _message(self, message: chat_pb.Message, field: str) -> Message:
        role = _ROLES.get(message.role)
        self._found.require(role, f"{field}.role", "set one of the roles")
        both = message.text and message.parts
        self._found.require(not both, f"{field}.parts", "send either text or parts")
        is_tool = role is Role.TOOL
        if is_tool != bool(message.tool_call_id):
            self._found.add(f"{field}.tool_call_id", "set it on ROLE_TOOL messages, only there")
        if message.tool_calls and role is not Role.ASSISTANT:
            self._found.add(f"{field}.tool_calls", "set them on ROLE_ASSISTANT messages only")
        if message.opaque and role is not Role.ASSISTANT:
            self._found.add(f"{field}.opaque", "set them on ROLE_ASSISTANT messages only")
        return Message(
            role=role or Role.USER,
            parts=self._opaque(message, field) + self._parts(message, field),
            tool_calls=self._tool_calls(message, field),
            tool_call_id=message.tool_call_id,
        )

    def _parts(self, message: chat_pb.Message, field: str) -> tuple[Part, ...]:
        if message.text:
            return (TextPart(message.text),)
        most = self._limits.parts
        parts = message.parts
        self._found.require(len(parts) <= most, f"{field}.parts", f"send at most {most} parts")
        return tuple(self._part(p, f"{field}.parts[{i}]") for i, p in enumerate(parts[:most]))

    def _opaque(self, message: chat_pb.Message, field: str) -> tuple[Part, ...]:
        parts, most = message.opaque, self._limits.parts
        self._found.require(len(parts) <= most, f"{field}.opaque", f"send at most {most} parts")
        return tuple(OpaquePart(p.provider, p.model, p.data) for p in parts[:most])

    def _part(self, part: chat_pb.Part, field: str) -> Part:
        if part.WhichOneof("content") != "image_url":
            self._found.require(part.WhichOneof("content"), field, "set text or image_url")
            return TextPart(part.text)
        image = part.image_url
        self._found.short(image.url, self._limits.url_characters, f"{field}.image_url.url")
        known = image.url.startswith(("https://", "http://", "data:image/"))
        self._found.require(known, f"{field}.image_url.url", "send an http(s) or data:image URL")
        detail = image.detail in ("", "low", "high", "auto")
        self._found.require(detail, f"{field}.image_url.detail", 'send "", low, high or auto')
        return ImagePart(image.url, image.detail)

    def _tool_calls(self, message: chat_pb.Message, field: str) -> tuple[ToolCall, ...]:
        most = self._limits.tool_calls
        count = len(message.tool_calls)
        self._found.require(count <= most, f"{field}.tool_calls", f"send at most {most}")
        for i, call in enumerate(message.tool_calls[:most]):
            here = f"{field}.tool_calls[{i}]"
            self._found.require(call.id and call.name, here, "set id and name")
            self._found.require(_is_object(call.arguments), f"{here}.arguments", _ARGUMENTS_FIX)
        return tuple(ToolCall(c.id, c.name, c.arguments) for c in message.tool_calls[:most])

    def tools(self, chat: chat_pb.ChatRequest) -> tuple[Tool, ...]:
        most, names = self._limits.tools, set()
        self._found.require(len(chat.tools) <= most, "chat.tools", f"send at most {most} tools")
        for i, tool in enumerate(chat.tools[:most]):
            field = f"chat.tools[{i}]"
            self._found.require(ID.fullmatch(tool.name), f"{field}.name", "use [A-Za-z0-9_-]{1,64}")
            self._found.require(tool.name not in names, f"{field}.name", "name every tool once")
            names.add(tool.name)
            if tool.parameters:
                most_chars = self._limits.schema_characters
                self._found.schema(tool.parameters, most_chars, f"{field}.parameters")
        return tuple(Tool(t.name, t.description, t.parameters) for t in chat.tools[:most])

    def tool_choice(self, chat: chat_pb.ChatRequest) -> ToolChoice:
        choice = chat.tool_choice
        mode = _MODES.get(choice.mode)
        self._found.require(mode, "chat.tool_choice.mode", "set one of the modes")
        names = {tool.name for tool in chat.tools}
        if choice.name and choice.name not in names:
            self._found.add("chat.tool_choice.name", "name one of the tools of this request")
        if choice.name and mode is ToolMode.NONE:
            self._found.add("chat.tool_choice.mode", "a name forces that tool: leave mode unset")
        if mode is ToolMode.REQUIRED and not names:
            self._found.add("chat.tool_choice.mode", "send the tools that may be called")
        return ToolChoice(ToolMode.REQUIRED if choice.name else mode or ToolMode.AUTO, choice.name)

    def response_format(self, chat: chat_pb.ChatRequest) -> ResponseFormat:
        form, field = chat.response_format, "chat.response_format"
        kind = _FORMATS.get(form.kind)
        self._found.require(kind, f"{field}.kind", "set one of the kinds")
        if kind is Format.JSON_SCHEMA:
            self._found.schema(form.schema, self._limits.schema_characters, f"{field}.schema")
        elif form.schema:
            self._found.add(f"{field}.schema", "set it with KIND_JSON_SCHEMA only")
        named = not form.name or ID.fullmatch(form.name)
        self._found.require(named, f"{field}.name", "use [A-Za-z0-9_-]{1,64}")
        return ResponseFormat(kind or Format.TEXT, form.schema, form.name or "answer")

    def sampling(self, chat: chat_pb.ChatRequest) -> Sampling:
        limits, stops = self._limits, chat.stop
        sampling = Sampling(
            temperature=given(chat, "temperature"),
            top_p=given(chat, "top_p"),
            max_output_tokens=given(chat, "max_output_tokens"),
            stop=tuple(stops[: limits.stops]),
            seed=given(chat, "seed"),
        )
        self._found.within(sampling.temperature, 0, 2, "chat.temperature")
        top_p = sampling.top_p
        ok = top_p is None or 0 < top_p <= 1
        self._found.require(ok, "chat.top_p", "send a number above 0 and at most 1")
        most = limits.output_tokens
        self._found.within(sampling.max_output_tokens, 1, most, "chat.max_output_tokens")
        fix = f"send at most {limits.stops} texts"
        self._found.require(len(stops) <= limits.stops, "chat.stop", fix)
        for i, stop in enumerate(sampling.stop):
            self._found.require(stop, f"chat.stop[{i}]", "send text")
            self._found.short(stop, limits.stop_characters, f"chat.stop[{i}]")
        return sampling


def too_long(limits: RequestLimits) -> PromptTooLong:
    fix = f"send at most {limits.characters} characters in all messages together"
    return PromptTooLong(FieldViolation("chat.messages", fix))


def _says_something(message: Message) -> bool:
    return any(isinstance(p, ImagePart) or p.text.strip() for p in message.content)


def _is_object(text: str) -> bool:
    try:
        if len(text) > BUILT_CHARACTERS:
            _looked_over(text)
            return True
        return isinstance(json.loads(text or "{}"), dict)
    except (ValueError, RecursionError):
        return False


def is_laborious(chat: chat_pb.ChatRequest) -> bool:
    """True if reading it may take more than a millisecond."""
    count = len(chat.messages) + len(chat.tools)
    if count > QUICK_COUNT:
        return True
    count += sum(len(m.parts) + len(m.opaque) + len(m.tool_calls) for m in chat.messages)
    characters = _schema_characters(chat) + _argument_characters(chat.messages)
    return count > QUICK_COUNT or characters > QUICK_CHARACTERS


def _argument_characters(messages: Iterable[chat_pb.Message]) -> int:
    return sum(len(call.arguments) for m in messages for call in m.tool_calls)


def _schema_characters(chat: chat_pb.ChatRequest) -> int:
    return sum(len(tool.parameters) for tool in chat.tools) + len(chat.response_format.schema)


def given(message: Proto, field: str):  # type: ignore[no-untyped-def]  # noqa: ANN201 - the field's type
    """The field's value, None where it is not set."""
    return getattr(message, field) if message.HasField(field) else None
