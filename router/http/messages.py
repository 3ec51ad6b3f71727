"""Reads the body of `POST /v1/messages`, in Anthropic's form."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

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


class WireSource(msgspec.Struct):
    type: str
    media_type: str = ""
    data: str = ""
    url: str = ""


class WireBlock(msgspec.Struct):
    """A block of content of any type; marks for caches are left unread."""

    type: str
    text: str = ""
    source: WireSource | None = None
    id: str = ""
    name: str = ""
    input: msgspec.Raw = NOTHING
    tool_use_id: str = ""
    content: str | list[WireBlock] | None = None
    is_error: bool | None = None
    data: str = ""


class WireTurn(msgspec.Struct):
    role: str
    content: str | list[WireBlock]


class WireInputTool(msgspec.Struct):
    name: str = ""
    type: str | None = None
    description: str | None = None
    input_schema: msgspec.Raw = NOTHING


class WireToolChoice(msgspec.Struct):
    type: str
    name: str = ""


class WireOutputFormat(msgspec.Struct):
    type: str
    schema: msgspec.Raw = NOTHING


class WireOutputConfig(msgspec.Struct):
    format: WireOutputFormat | None = None


class MessagesBody(msgspec.Struct):
    """The fields that are read; all others pass unread."""

    model: str
    messages: list[WireTurn]
    max_tokens: int | None = None
    system: str | list[WireBlock] | None = None
    stream: bool | None = None
    tools: list[WireInputTool] | None = None
    tool_choice: WireToolChoice | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop_sequences: list[str] | None = None
    metadata: dict[str, Any] | None = None
    output_format: WireOutputFormat | None = None
    output_config: WireOutputConfig | None = None


decode_messages = msgspec.json.Decoder(MessagesBody).decode
_MODES: Final = {"auto": ToolMode.AUTO, "none": ToolMode.NONE, "any": ToolMode.REQUIRED}
_THOUGHTS: Final = ("thinking", "redacted_thinking")
FAILED: Final = "Error: "


class MessagesReader:
    """needs_limit: `max_tokens` has to be there."""

    def __init__(self, builder: ChatBuilder, *, needs_limit: bool = True) -> None:
        self._build = builder
        self._found = builder.found
        self._needs_limit = needs_limit

    def read(self, body: MessagesBody) -> ChatRequest:
        """Raises InvalidRequest, PromptTooLong."""
        if self._needs_limit:
            self._found.require(body.max_tokens, "max_tokens", "send how long an answer may be")
        build = self._build
        tools = build.tools([self._tool(t, f"tools[{i}]") for i, t in enumerate(body.tools or [])])
        return build.chat(
            [*self._system(body.system), *self._turns(body.messages)],
            field="messages",
            tools=tools,
            choice=self._choice(body.tool_choice),
            wanted=self._format(body),
            sampling=self._sampling(body),
        )

    def _system(self, system: str | list[WireBlock] | None) -> Iterator[Message]:
        parts = self._texts(system or "", "system")
        if parts:
            yield self._build.counted(Message(Role.SYSTEM, parts), "system")

    def _texts(self, content: str | list[WireBlock], field: str) -> tuple[Content, ...]:
        if isinstance(content, str):
            return (TextPart(content),) if content else ()
        blocks = enumerate(content)
        return tuple(self._content(block, f"{field}[{i}]") for i, block in blocks)

    def _turns(self, turns: Sequence[WireTurn]) -> Iterator[Message]:
        for number, turn in enumerate(turns):
            field = f"messages[{number}]"
            if turn.role == "assistant":
                yield self._build.counted(self._assistant(turn.content, field), field)
            elif turn.role in ("user", "system"):
                role = Role.USER if turn.role == "user" else Role.SYSTEM
                yield from self._user(turn.content, field, role)
            else:
                self._found.add(f"{field}.role", "send user or assistant")

    def _user(self, content: str | list[WireBlock], field: str, role: Role) -> Iterator[Message]:
        """Yields a message for each result of a tool, and one for all else."""
        if isinstance(content, str):
            yield self._build.counted(Message(role, (TextPart(content),)), field)
            return
        rest: list[Content] = []
        for number, block in enumerate(content):
            place = f"{field}.content[{number}]"
            if block.type == "tool_result":
                yield self._build.counted(self._result(block, place), place)
            else:
                rest.append(self._content(block, place))
        if rest:
            yield self._build.counted(Message(role, tuple(rest)), field)

    def _result(self, block: WireBlock, field: str) -> Message:
        """A failure is told in words: no other dialect has a mark for it."""
        self._found.require(block.tool_use_id, f"{field}.tool_use_id", "name the call")
        parts = self._texts(block.content or "", f"{field}.content")
        if block.is_error:
            parts = (TextPart(FAILED), *parts)
        return Message(Role.TOOL, parts, tool_call_id=block.tool_use_id)

    def _assistant(self, content: str | list[WireBlock], field: str) -> Message:
        if isinstance(content, str):
            return Message(Role.ASSISTANT, (TextPart(content),) if content else ())
        parts: list[Part] = []
        calls: list[ToolCall] = []
        for number, block in enumerate(content):
            place = f"{field}.content[{number}]"
            if block.type == "tool_use":
                told = raw_text(block.input) or "{}"
                calls.append(self._build.call(block.id, block.name, told, place))
            elif block.type in _THOUGHTS:
                parts += _own(block)
            else:
                parts.append(self._content(block, place))
        return Message(Role.ASSISTANT, tuple(parts), tuple(calls))

    def _content(self, block: WireBlock, field: str) -> Content:
        if block.type == "text":
            return TextPart(block.text)
        if block.type == "image" and block.source is not None:
            return self._build.image(_url(block.source), "", f"{field}.source")
        self._found.add(f"{field}.type", "send text, image, tool_use or tool_result")
        return TextPart("")

    def _tool(self, wire: WireInputTool, field: str) -> Tool:
        if wire.type not in (None, "custom"):
            self._found.add(f"{field}.type", "send tools of your own: none run at the provider")
        schema = raw_text(wire.input_schema)
        return self._build.tool(wire.name, wire.description or "", schema, field)

    def _choice(self, wire: WireToolChoice | None) -> ToolChoice:
        if wire is None:
            return ToolChoice()
        if wire.type == "tool":
            self._found.require(wire.name, "tool_choice.name", "name a tool")
            return ToolChoice(ToolMode.REQUIRED, wire.name)
        mode = _MODES.get(wire.type)
        self._found.require(mode, "tool_choice.type", "send auto, any, tool or none")
        return ToolChoice(mode or ToolMode.AUTO)

    def _format(self, body: MessagesBody) -> ResponseFormat:
        wire = body.output_config.format if body.output_config else None
        wire = wire or body.output_format
        if wire is None:
            return ResponseFormat()
        schema = raw_text(wire.schema)
        if wire.type != "json_schema" or not schema:
            self._found.add("output_config.format", "send json_schema with its schema")
            return ResponseFormat()
        self._build.schema(schema, "output_config.format.schema")
        return ResponseFormat(Format.JSON_SCHEMA, schema)

    def _sampling(self, body: MessagesBody) -> Sampling:
        sampling = Sampling(
            temperature=body.temperature,
            top_p=body.top_p,
            max_output_tokens=body.max_tokens or None,
            stop=tuple(body.stop_sequences or ()),
        )
        names = {"max_output_tokens": "max_tokens", "stop": "stop_sequences"}
        return self._build.sampling(sampling, names)


def _own(block: WireBlock) -> Iterable[OpaquePart]:
    part = unpacked(block.data)
    return [] if part is None else [part]


def _url(source: WireSource) -> str:
    if source.type == "base64":
        return f"data:{source.media_type};base64,{source.data}"
    return source.url
