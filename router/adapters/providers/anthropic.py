"""Anthropic Messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from router.adapters.providers.dialect import (
    Assembler,
    Dialect,
    Json,
    fitting,
    given,
    is_plain,
    sent_stops,
    temperature_of,
)
from router.adapters.providers.reading.calls import CallPiece, arguments_of
from router.adapters.providers.reading.fields import (
    end_of,
    first_of,
    index_of,
    items_of,
    record_of,
    string_of,
)
from router.adapters.providers.sending.call_ids import WORDS
from router.adapters.providers.sending.conversations import begun, fitted, merged, system_of
from router.adapters.providers.sending.images import inlined
from router.adapters.providers.sending.schemas import object_of, parameters_of
from router.domain.catalog import Deployment
from router.domain.chat import (
    ChatRequest,
    Content,
    Delta,
    ImagePart,
    Message,
    Role,
    Tool,
    ToolMode,
)

API_VERSION = "2023-06-01"
_MODES = {ToolMode.AUTO: "auto", ToolMode.NONE: "none", ToolMode.REQUIRED: "any"}


class Anthropic:
    """The protocol has no seed; JSON is asked for in the system prompt."""

    def path(self, deployment: Deployment, *, stream: bool) -> str:
        del deployment, stream
        return "/v1/messages"

    def headers(self, key: str) -> Mapping[str, str]:
        version = {"anthropic-version": API_VERSION}
        return version | {"x-api-key": key} if key else version

    def body(self, deployment: Deployment, chat: ChatRequest, *, stream: bool) -> Json:
        sampling = chat.sampling
        messages = _messages(chat)
        turns = begun([m for m in messages if m.role is not Role.SYSTEM])
        tools, choice = _tools(chat, turns)
        body = given(
            model=deployment.model,
            max_tokens=sampling.max_output_tokens or deployment.max_output_tokens,
            system=system_of(messages, chat.response_format),
            messages=merged(map(_message, turns), "content"),
            tools=tools,
            tool_choice=choice,
            temperature=temperature_of(deployment, chat),
            # Newer models refuse both.
            top_p=sampling.top_p if sampling.temperature is None else None,
            stop_sequences=sent_stops(deployment, chat, blank=False),
            stream=stream or None,
        )
        body = fitting(body, deployment)
        return with_thinking(body) if "thinking" in body else body

    def assembler(self, deployment: Deployment, chat: ChatRequest) -> AnthropicAssembler:
        return AnthropicAssembler(deployment, chat)


def _messages(chat: ChatRequest) -> Sequence[Message]:
    return chat.messages if is_plain(chat) else fitted(chat.messages, WORDS, images_in_results=True)


def _message(message: Message) -> Json:
    if message.role is Role.TOOL:
        return {"role": "user", "content": [_result(message)]}
    calls = [
        {"type": "tool_use", "id": c.id, "name": c.name, "input": object_of(c.arguments)}
        for c in message.tool_calls
    ]
    return {"role": message.role.value, "content": [*map(_part, message.content), *calls]}


def _result(message: Message) -> Json:
    pictured = any(isinstance(part, ImagePart) for part in message.parts)
    content = [*map(_part, message.content)] if pictured else message.text
    return given(type="tool_result", tool_use_id=message.tool_call_id, content=content)


def _part(part: Content) -> Json:
    if isinstance(part, ImagePart):
        return {"type": "image", "source": _source(part.url)}
    return {"type": "text", "text": part.text}


def _source(url: str) -> Json:
    if not url.startswith("data:"):
        return {"type": "url", "url": url}
    kind, data = inlined(url)
    return {"type": "base64", "media_type": kind, "data": data}


def _tools(chat: ChatRequest, turns: Iterable[Message]) -> tuple[list[Json], Json | None]:
    """Returns tools and choice; calls of earlier turns need tools, though none may be called."""
    if chat.tools:
        return [_tool(t) for t in chat.tools], _tool_choice(chat)
    called = dict.fromkeys(c.name for m in turns for c in m.tool_calls)
    return [_tool(Tool(name)) for name in called], {"type": "none"} if called else None


def _tool(tool: Tool) -> Json:
    return given(name=tool.name, description=tool.description, input_schema=parameters_of(tool))


def _tool_choice(chat: ChatRequest) -> Json | None:
    choice = chat.tool_choice
    if choice.name:
        return {"type": "tool", "name": choice.name}
    return None if choice.mode is ToolMode.AUTO else {"type": _MODES[choice.mode]}


LEAST_THINKING = 1_024


def with_thinking(body: Json) -> Json:
    """Thinking goes without temperature, top_p and a forced tool, within the output limit.

    It is left out where a request has no room for it, forces a tool, or goes on with a tool's
    result, whose turn would have to begin with the thinking of that turn.
    """
    thinking, most = body["thinking"], body["max_tokens"]
    forced = body.get("tool_choice", {}).get("type") in ("any", "tool")
    budget = thinking.get("budget_tokens") if isinstance(thinking, dict) else None
    if isinstance(budget, int) and budget >= most:
        budget = max(LEAST_THINKING, most // 2)
        thinking = thinking | {"budget_tokens": budget}
    if forced or _answers_a_call(body["messages"][-1]) or (budget or 0) >= most:
        return {name: value for name, value in body.items() if name != "thinking"}
    left_out = () if thinking.get("type") == "disabled" else ("temperature", "top_p")
    kept = {name: value for name, value in body.items() if name not in left_out}
    return kept | {"thinking": thinking}


def _answers_a_call(turn: Json) -> bool:
    return any(part["type"] == "tool_result" for part in turn["content"])


@dataclass(slots=True)
class AnthropicAssembler(Assembler):
    """_calling: by its index, whether a block is a call of the caller's tools."""

    _calling: dict[int | None, bool] = field(default_factory=dict)
    _index: int | None = None

    def read(self, body: Json, *, whole: bool) -> Iterator[Delta]:
        match body.get("type"):
            case "content_block_delta":
                yield from self._proceed(body, record_of(body.get("delta")))
            case "message_start":
                yield from self._message(record_of(body.get("message")), whole=whole)
            case "content_block_start":
                self._index = index_of(body.get("index"))
                yield from self._begin(self._index, record_of(body.get("content_block")))
            case "message_delta":
                self._ends(record_of(body.get("delta")), body)
            case "message_stop":
                self.ended = True
            case _:
                if "content" in body:
                    yield from self._message(body, whole=whole)

    def _ends(self, *told: Json) -> None:
        reasons = [each.get(name) for each in told for name in ("stop_reason", "stopReason")]
        self.end = end_of(*reasons) or self.end
        self.refusal = self.refusal or self.end == "refusal"

    def _message(self, message: Json, *, whole: bool) -> Iterator[Delta]:
        self.model = string_of(message.get("model")) or self.model
        self._ends(message)
        for index, block in enumerate(items_of(message.get("content"))):
            yield from self._begin(index, block, whole=whole)

    def _begin(self, index: int | None, block: Any, *, whole: bool = False) -> Iterator[Delta]:
        """A call's input comes with the block when the answer is whole, else in pieces."""
        call = record_of(block)
        self._calling[index] = call.get("type") == "tool_use"
        if not self._calling[index]:
            yield from self.say_parts(block)
            return
        call_id, name = string_of(call.get("id")), string_of(call.get("name"))
        arguments = arguments_of(call.get("input"))
        yield from self.call(
            CallPiece(index, call_id, name, arguments, whole or not call_id, preset=not whole)
        )

    def _proceed(self, body: Json, delta: Json) -> Iterator[Delta]:
        index = index_of(body.get("index"))
        index = self._index if index is None else index
        pieces = first_of(delta, "partial_json", "input")
        if pieces is None:
            yield from self.say_parts(delta)
        elif self._calling.get(index):
            yield from self.call(CallPiece(index, arguments=arguments_of(pieces)))


DIALECT: Dialect = Anthropic()
