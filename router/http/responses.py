"""Reads the body of `POST /v1/responses`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import msgspec

from router.domain.chat import (
    ChatRequest,
    Content,
    Format,
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
from router.http.opaque import unpacked
from router.http.reading import NOTHING, ChatBuilder, raw_text


class WireInputPart(msgspec.Struct):
    type: str
    text: str = ""
    refusal: str = ""
    image_url: str | None = None
    detail: str | None = None


class WireItem(msgspec.Struct):
    """A message, a call, the result of one, or what was reasoned."""

    type: str = "message"
    role: str = ""
    content: str | list[WireInputPart] | None = None
    call_id: str = ""
    name: str = ""
    arguments: str = ""
    output: str | list[WireInputPart] = ""
    encrypted_content: str | None = None


class WireNamedTool(msgspec.Struct):
    type: str
    name: str = ""
    description: str | None = None
    parameters: msgspec.Raw = NOTHING


class WireNamedChoice(msgspec.Struct):
    type: str
    name: str = ""


class WireTextFormat(msgspec.Struct):
    type: str
    name: str = ""
    schema: msgspec.Raw = NOTHING


class WireText(msgspec.Struct):
    format: WireTextFormat | None = None


class ResponsesBody(msgspec.Struct):
    """The fields that are read; all others pass unread."""

    model: str
    input: str | list[WireItem]
    instructions: str | None = None
    stream: bool | None = None
    tools: list[WireNamedTool] | None = None
    tool_choice: str | WireNamedChoice | None = None
    text: WireText | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_output_tokens: int | None = None
    metadata: dict[str, str] | None = None


decode_responses = msgspec.json.Decoder(ResponsesBody).decode
_ROLES: Final = {
    "system": Role.SYSTEM,
    "developer": Role.SYSTEM,
    "user": Role.USER,
    "assistant": Role.ASSISTANT,
}
_MODES: Final = {"auto": ToolMode.AUTO, "none": ToolMode.NONE, "required": ToolMode.REQUIRED}
_TEXTS: Final = ("input_text", "output_text", "text")


@dataclass(slots=True)
class _AssistantTurn:
    """Items of one assistant's turn: they are one message."""

    parts: list[Part] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)

    def taken(self) -> Iterator[Message]:
        if self.parts or self.calls:
            yield Message(Role.ASSISTANT, tuple(self.parts), tuple(self.calls))
        self.parts, self.calls = [], []


class ResponsesReader:
    def __init__(self, builder: ChatBuilder) -> None:
        self._build = builder
        self._found = builder.found

    def read(self, body: ResponsesBody) -> ChatRequest:
        """Raises InvalidRequest, PromptTooLong."""
        build = self._build
        tools = [self._tool(t, f"tools[{i}]") for i, t in enumerate(body.tools or [])]
        return build.chat(
            [build.counted(message, "input") for message in self._messages(body)],
            field="input",
            tools=build.tools(tools),
            choice=self._choice(body.tool_choice),
            wanted=self._format(body.text.format if body.text else None),
            sampling=self._sampling(body),
        )

    def _messages(self, body: ResponsesBody) -> Iterator[Message]:
        if body.instructions:
            yield Message(Role.SYSTEM, (TextPart(body.instructions),))
        if isinstance(body.input, str):
            yield Message(Role.USER, (TextPart(body.input),))
            return
        turn = _AssistantTurn()
        for number, item in enumerate(body.input):
            place = f"input[{number}]"
            if item.type == "function_call":
                turn.calls.append(self._build.call(item.call_id, item.name, item.arguments, place))
            elif item.type == "reasoning":
                turn.parts += _own(item)
            elif item.type == "message" and item.role == "assistant":
                if turn.calls:
                    yield from turn.taken()
                turn.parts += self._content(item.content, f"{place}.content")
            else:
                yield from turn.taken()
                yield self._other(item, place)
        yield from turn.taken()

    def _other(self, item: WireItem, field: str) -> Message:
        if item.type == "function_call_output":
            self._found.require(item.call_id, f"{field}.call_id", "name the call")
            parts = self._content(item.output, f"{field}.output")
            return Message(Role.TOOL, parts, tool_call_id=item.call_id)
        is_message = item.type == "message"
        fix = "send messages, function calls and their outputs"
        self._found.require(is_message, f"{field}.type", fix)
        role = _ROLES.get(item.role)
        self._found.require(role, f"{field}.role", f"send one of: {', '.join(_ROLES)}")
        return Message(role or Role.USER, self._content(item.content, f"{field}.content"))

    def _content(
        self, content: str | list[WireInputPart] | None, field: str
    ) -> tuple[Content, ...]:
        if not isinstance(content, list):
            return (TextPart(content),) if content else ()
        return tuple(self._part(part, f"{field}[{i}]") for i, part in enumerate(content))

    def _part(self, part: WireInputPart, field: str) -> Content:
        if part.type == "input_image" and part.image_url:
            return self._build.image(part.image_url, part.detail or "", f"{field}.image_url")
        is_known = part.type in (*_TEXTS, "refusal")
        self._found.require(is_known, f"{field}.type", "send input_text, or input_image by URL")
        return TextPart(part.text or part.refusal)

    def _tool(self, wire: WireNamedTool, field: str) -> Tool:
        if wire.type != "function":
            self._found.add(f"{field}.type", "send tools of type function")
            return Tool("")
        schema = raw_text(wire.parameters)
        return self._build.tool(wire.name, wire.description or "", schema, field)

    def _choice(self, wire: str | WireNamedChoice | None) -> ToolChoice:
        if isinstance(wire, WireNamedChoice):
            self._found.require(wire.name, "tool_choice", "name a function")
            return ToolChoice(ToolMode.REQUIRED, wire.name)
        mode = _MODES.get(wire or "auto")
        self._found.require(mode, "tool_choice", f"send one of: {', '.join(_MODES)}")
        return ToolChoice(mode or ToolMode.AUTO)

    def _format(self, wire: WireTextFormat | None) -> ResponseFormat:
        if wire is None or wire.type == "text":
            return ResponseFormat()
        if wire.type == "json_object":
            return ResponseFormat(Format.JSON_OBJECT)
        schema = raw_text(wire.schema)
        if wire.type != "json_schema" or not schema:
            self._found.add("text.format", "send text, json_object or json_schema")
            return ResponseFormat()
        self._build.schema(schema, "text.format.schema")
        return ResponseFormat(Format.JSON_SCHEMA, schema, wire.name or "answer")

    def _sampling(self, body: ResponsesBody) -> Sampling:
        sampling = Sampling(
            temperature=body.temperature,
            top_p=body.top_p,
            max_output_tokens=body.max_output_tokens,
        )
        return self._build.sampling(sampling, {"max_output_tokens": "max_output_tokens"})


def _own(item: WireItem) -> list[OpaquePart]:
    part = unpacked(item.encrypted_content or "")
    return [] if part is None else [part]
