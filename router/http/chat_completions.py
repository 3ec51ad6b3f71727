"""Reads the body of `POST /v1/chat/completions`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from router.domain.chat import (
    ChatRequest,
    Content,
    Format,
    Message,
    OpaquePart,
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

Object = dict[str, Any]
MOST_CHOICES: Final = 1


class WireUrl(msgspec.Struct):
    url: str
    detail: str | None = None


class WirePart(msgspec.Struct):
    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: WireUrl | None = None


class WireFunction(msgspec.Struct):
    name: str = ""
    arguments: str = ""


class WireCall(msgspec.Struct):
    id: str = ""
    type: str = "function"
    function: WireFunction | None = None


class WireMessage(msgspec.Struct):
    role: str
    content: str | list[WirePart] | None = None
    tool_calls: list[WireCall] | None = None
    tool_call_id: str | None = None
    refusal: str | None = None
    router_opaque: list[str] | None = None


class WireToolFunction(msgspec.Struct):
    name: str
    description: str | None = None
    parameters: msgspec.Raw = NOTHING


class WireTool(msgspec.Struct):
    type: str
    function: WireToolFunction | None = None


class WireSchema(msgspec.Struct):
    name: str = ""
    schema: msgspec.Raw = NOTHING


class WireFormat(msgspec.Struct):
    type: str
    json_schema: WireSchema | None = None


class WireChosenFunction(msgspec.Struct):
    name: str


class WireChoice(msgspec.Struct):
    type: str
    function: WireChosenFunction | None = None


class WireStreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class ChatCompletionBody(msgspec.Struct):
    """The fields that are read; all others pass unread."""

    model: str
    messages: list[WireMessage]
    stream: bool | None = None
    stream_options: WireStreamOptions | None = None
    tools: list[WireTool] | None = None
    tool_choice: str | WireChoice | None = None
    response_format: WireFormat | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    n: int | None = None
    metadata: dict[str, str] | None = None
    modalities: list[str] | None = None


decode_chat = msgspec.json.Decoder(ChatCompletionBody).decode

_ROLES: Final[Mapping[str, Role]] = {
    "system": Role.SYSTEM,
    "developer": Role.SYSTEM,
    "user": Role.USER,
    "assistant": Role.ASSISTANT,
    "tool": Role.TOOL,
}
_MODES: Final = {"auto": ToolMode.AUTO, "none": ToolMode.NONE, "required": ToolMode.REQUIRED}
_NO_JSON: Final = "send text, json_object or json_schema"


class ChatCompletionReader:
    def __init__(self, builder: ChatBuilder) -> None:
        self._build = builder
        self._found = builder.found

    def read(self, body: ChatCompletionBody) -> ChatRequest:
        """Returns the chat. Raises InvalidRequest, PromptTooLong."""
        self._refuse_unserved(body)
        build = self._build
        tools = build.tools([self._tool(t, f"tools[{i}]") for i, t in enumerate(body.tools or [])])
        messages = [self._message(m, f"messages[{i}]") for i, m in enumerate(body.messages)]
        return build.chat(
            messages,
            field="messages",
            tools=tools,
            choice=self._choice(body.tool_choice),
            wanted=self._format(body.response_format),
            sampling=self._sampling(body),
        )

    def _refuse_unserved(self, body: ChatCompletionBody) -> None:
        require = self._found.require
        require(body.n in (None, MOST_CHOICES), "n", "send 1: one answer is given")
        text_alone = body.modalities in (None, [], ["text"])
        require(text_alone, "modalities", 'send ["text"]: answers are text')

    def _message(self, wire: WireMessage, field: str) -> Message:
        role = _ROLES.get(wire.role)
        self._found.require(role, f"{field}.role", f"send one of: {', '.join(_ROLES)}")
        is_tool = role is Role.TOOL
        if is_tool != bool(wire.tool_call_id):
            self._found.add(f"{field}.tool_call_id", "set it on tool messages, only there")
        if wire.tool_calls and role is not Role.ASSISTANT:
            self._found.add(f"{field}.tool_calls", "set them on assistant messages only")
        calls = enumerate(wire.tool_calls or [])
        message = Message(
            role=role or Role.USER,
            parts=(*_own(wire), *self._content(wire, field)),
            tool_calls=tuple(self._call(c, f"{field}.tool_calls[{i}]") for i, c in calls),
            tool_call_id=wire.tool_call_id or "",
        )
        return self._build.counted(message, field)

    def _content(self, wire: WireMessage, field: str) -> tuple[Content, ...]:
        content = wire.content or wire.refusal or ""
        if isinstance(content, str):
            return (TextPart(content),) if content else ()
        return tuple(self._part(part, f"{field}.content[{i}]") for i, part in enumerate(content))

    def _part(self, part: WirePart, field: str) -> Content:
        if part.type == "image_url" and part.image_url is not None:
            url, detail = part.image_url.url, part.image_url.detail
            return self._build.image(url, detail or "", f"{field}.image_url.url")
        text = part.text if part.type == "text" else part.refusal
        is_known = part.type in ("text", "refusal") and text is not None
        self._found.require(is_known, field, "send a part of type text or image_url")
        return TextPart(text or "")

    def _call(self, wire: WireCall, field: str) -> ToolCall:
        is_function = wire.type == "function" and wire.function is not None
        self._found.require(is_function, f"{field}.type", "send calls of functions")
        function = wire.function or WireFunction()
        return self._build.call(wire.id, function.name, function.arguments, field)

    def _tool(self, wire: WireTool, field: str) -> Tool:
        if wire.type != "function" or wire.function is None:
            self._found.add(f"{field}.type", "send tools of type function")
            return Tool("")
        function = wire.function
        schema = raw_text(function.parameters)
        return self._build.tool(function.name, function.description or "", schema, field)

    def _choice(self, wire: str | WireChoice | None) -> ToolChoice:
        if isinstance(wire, WireChoice):
            named = wire.function.name if wire.function else ""
            self._found.require(named, "tool_choice", "name a function")
            return ToolChoice(ToolMode.REQUIRED, named)
        mode = _MODES.get(wire or "auto")
        self._found.require(mode, "tool_choice", f"send one of: {', '.join(_MODES)}")
        return ToolChoice(mode or ToolMode.AUTO)

    def _format(self, wire: WireFormat | None) -> ResponseFormat:
        if wire is None or wire.type == "text":
            return ResponseFormat()
        if wire.type == "json_object":
            return ResponseFormat(Format.JSON_OBJECT)
        schema = raw_text(wire.json_schema.schema) if wire.json_schema else ""
        if wire.type != "json_schema" or wire.json_schema is None or not schema:
            self._found.add("response_format", _NO_JSON)
            return ResponseFormat()
        self._build.schema(schema, "response_format.json_schema.schema")
        return ResponseFormat(Format.JSON_SCHEMA, schema, wire.json_schema.name or "answer")

    def _sampling(self, body: ChatCompletionBody) -> Sampling:
        stop = body.stop or ()
        limit = "max_tokens" if body.max_completion_tokens is None else "max_completion_tokens"
        sampling = Sampling(
            temperature=body.temperature,
            top_p=body.top_p,
            max_output_tokens=getattr(body, limit),
            stop=(stop,) if isinstance(stop, str) else tuple(stop),
            seed=body.seed,
        )
        return self._build.sampling(sampling, {"max_output_tokens": limit})


def _own(wire: WireMessage) -> list[OpaquePart]:
    parts = [unpacked(text) for text in wire.router_opaque or []]
    return [part for part in parts if part is not None]
