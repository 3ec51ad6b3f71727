"""From messages of the contract to values of the core; every violation at once."""

from __future__ import annotations

import json

from adaptive_router.v1 import chat_pb2 as chat_pb
from adaptive_router.v1 import router_pb2 as router_pb
from google.protobuf.message import Message as Proto

from router.core.calls import RoutingOptions, WeightOverrides
from router.core.chat import (
    ChatRequest,
    Format,
    ImagePart,
    Message,
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
from router.core.errors import FieldViolation, PromptTooLong
from router.core.records import FeedbackReport, OutcomeReport
from router.rpc.checks import ID, Violations
from router.rpc.limits import RequestLimits

FAILURES = "timeout, rate_limited, unavailable, refused, malformed, cancelled, other"
MAX_TOKENS = 1e9
DAY_MS = 86_400_000
MAX_USD = 1e6

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


def read_chat(chat: chat_pb.ChatRequest, limits: RequestLimits) -> ChatRequest:
    """Raises InvalidRequest, PromptTooLong."""
    found = Violations()
    reader = _ChatReader(found, limits)
    request = ChatRequest(
        messages=reader.messages(chat),
        tools=reader.tools(chat),
        tool_choice=reader.tool_choice(chat),
        response_format=reader.response_format(chat),
        sampling=reader.sampling(chat),
    )
    found.done()
    if request.characters > limits.characters:
        fix = f"send at most {limits.characters} characters in all messages together"
        raise PromptTooLong(FieldViolation("chat.messages", fix))
    return request


class _ChatReader:
    def __init__(self, found: Violations, limits: RequestLimits) -> None:
        self._found = found
        self._limits = limits

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
        return Message(
            role=role or Role.USER,
            parts=self._parts(message, field),
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
            self._found.require(_is_object(call.arguments), f"{here}.arguments", "send JSON text")
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
            temperature=_given(chat, "temperature"),
            top_p=_given(chat, "top_p"),
            max_output_tokens=_given(chat, "max_output_tokens"),
            stop=tuple(stops[: limits.stops]),
            seed=_given(chat, "seed"),
        )
        self._found.within(sampling.temperature, 0, 2, "chat.temperature")
        self._found.within(sampling.top_p, 0, 1, "chat.top_p")
        most = limits.output_tokens
        self._found.within(sampling.max_output_tokens, 1, most, "chat.max_output_tokens")
        self._found.require(len(stops) <= limits.stops, "chat.stop", f"at most {limits.stops}")
        for i, stop in enumerate(sampling.stop):
            self._found.require(stop, f"chat.stop[{i}]", "send text")
            self._found.short(stop, limits.stop_characters, f"chat.stop[{i}]")
        return sampling


def read_options(routing: router_pb.RoutingOptions, limits: RequestLimits) -> RoutingOptions:
    """Raises InvalidRequest."""
    found = Violations()
    for name in ("arm", "session_id", "idempotency_key"):
        found.short(getattr(routing, name), limits.name_characters, f"routing.{name}")
    weights = {name: _given(routing.weights, name) for name in _WEIGHTS}
    for name, value in weights.items():
        found.within(value, 0, limits.weight, f"routing.weights.{name}")
    cost_usd, latency_ms = _given(routing, "max_cost_usd"), _given(routing, "max_latency_ms")
    found.within(cost_usd, 1e-9, MAX_USD, "routing.max_cost_usd")
    found.within(latency_ms, 1, DAY_MS, "routing.max_latency_ms")
    found.done()
    return RoutingOptions(
        arm=routing.arm,
        max_cost_usd=cost_usd,
        max_latency_ms=latency_ms,
        weights=WeightOverrides(**weights),
        session_id=routing.session_id,
        idempotency_key=routing.idempotency_key,
        no_cache=routing.no_cache,
    )


def read_outcome(request: router_pb.ReportOutcomeRequest) -> tuple[str, OutcomeReport]:
    """Decision id and report. Raises InvalidRequest."""
    found = Violations()
    _check_id(found, request.decision_id)
    found.within(request.latency_ms, 0, DAY_MS, "latency_ms")
    found.within(request.input_tokens, 0, MAX_TOKENS, "input_tokens")
    found.within(request.output_tokens, 0, MAX_TOKENS, "output_tokens")
    named = not request.failure or request.failure in FAILURES.split(", ")
    found.require(named, "failure", f"leave it empty, or send one of: {FAILURES}")
    found.done()
    return request.decision_id, OutcomeReport(
        latency_ms=request.latency_ms,
        input_tokens=request.input_tokens,
        output_tokens=request.output_tokens,
        failure=request.failure,
    )


def read_feedback(request: router_pb.FeedbackRequest) -> tuple[str, FeedbackReport]:
    """Decision id and report. Raises InvalidRequest."""
    found = Violations()
    _check_id(found, request.decision_id)
    report = FeedbackReport(_given(request, "quality"), _given(request, "accepted"))
    found.within(report.quality, 0, 1, "quality")
    if report.quality is None and report.accepted is None:
        found.add("quality", "send quality in [0, 1], accepted, or both")
    found.done()
    return request.decision_id, report


def read_decision_id(decision_id: str) -> str:
    """Raises InvalidRequest."""
    found = Violations()
    _check_id(found, decision_id)
    found.done()
    return decision_id


_WEIGHTS = ("quality", "cost", "latency", "failure")


def _check_id(found: Violations, decision_id: str) -> None:
    found.require(ID.fullmatch(decision_id), "decision_id", "send the id of a receipt")


def _given(message: Proto, field: str):  # type: ignore[no-untyped-def]  # noqa: ANN202 - the field's type
    return getattr(message, field) if message.HasField(field) else None


def _says_something(message: Message) -> bool:
    return any(isinstance(p, ImagePart) or p.text.strip() for p in message.parts)


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text or "{}"), dict)
    except (ValueError, RecursionError):
        return False
