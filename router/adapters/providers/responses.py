"""OpenAI responses, without anything kept at the provider: each request holds its conversation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET

from router.adapters.providers.dialect import (
    MAX_KEPT,
    Assembler,
    Dialect,
    Json,
    as_written,
    carried,
    fitting,
    given,
    temperature_of,
)
from router.adapters.providers.failures import told
from router.adapters.providers.openai import format_of, wish_for
from router.adapters.providers.reading.beside import BesideResponse
from router.adapters.providers.reading.calls import CallPiece, arguments_of
from router.adapters.providers.reading.characters import exact
from router.adapters.providers.reading.contents import text_of
from router.adapters.providers.reading.fields import (
    end_of,
    index_of,
    items_of,
    record_of,
    string_of,
)
from router.adapters.providers.sending.call_ids import WORDS
from router.adapters.providers.sending.conversations import fitted, wishing
from router.adapters.providers.sending.originals import passed_on, thought_items_here
from router.adapters.providers.sending.schemas import arguments_text, parameters_of
from router.domain.catalog import Deployment
from router.domain.chat import (
    RESPONSES,
    ChatRequest,
    Content,
    Delta,
    Format,
    ImagePart,
    Message,
    Original,
    Role,
    Tool,
    ToolMode,
)

ENCRYPTED: Final = "reasoning.encrypted_content"
LOGPROBS: Final = "message.output_text.logprobs"
CUT: Final = {"max_output_tokens": "length", "max_tokens": "length"}


class ReasoningItem(msgspec.Struct, omit_defaults=True):
    """A piece of reasoning that only its model can read."""

    id: str = ""
    encrypted_content: str = ""

    @property
    def item(self) -> Json:
        known = {"type": "reasoning", "summary": list[Any]()} | given(id=as_written(self.id))
        return known | {"encrypted_content": as_written(self.encrypted_content)}


class ReasoningItems(msgspec.Struct, omit_defaults=True):
    """The reasoning of one turn."""

    items: Annotated[list[ReasoningItem], msgspec.Meta(max_length=MAX_KEPT)] = []


class Responses:
    """The protocol has no stop sequences and no seed."""

    def path(self, deployment: Deployment, *, stream: bool) -> str:
        del stream
        query = deployment.rules.query
        return f"/responses?{query}" if query else "/responses"

    def headers(self, key: str) -> Mapping[str, str]:
        return {"authorization": f"Bearer {key}"} if key else {}

    def body(self, deployment: Deployment, chat: ChatRequest, *, stream: bool) -> Json:
        sampling, wish = chat.sampling, wish_for(chat, deployment.rules)
        messages = fitted(chat.messages, WORDS)
        sent = wishing(messages, wish) if wish else messages
        wanted = _format(chat, deployment)
        body = given(
            model=deployment.model,
            input=[item for m in sent for item in _items(m, deployment)],
            tools=[_tool(t) for t in chat.tools],
            tool_choice=_tool_choice(chat),
            text={"format": wanted} if wanted else None,
            temperature=temperature_of(deployment, chat),
            top_p=sampling.top_p,
            max_output_tokens=sampling.max_output_tokens,
            include=[ENCRYPTED, *([LOGPROBS] if deployment.logprobs else ())],
            stream=stream or None,
        )
        body["store"] = False
        if chat.original is not UNSET:
            is_same = not wish and messages == [*chat.messages]
            body = _as_asked(body, chat, chat.original, deployment, is_same=is_same)
        return fitting(body, deployment)

    def assembler(self, deployment: Deployment, chat: ChatRequest) -> ResponsesAssembler:
        own = chat.original is not UNSET and chat.original.protocol == RESPONSES
        beside = BesideResponse(deployment.model) if own else None
        return ResponsesAssembler(deployment, chat, beside=beside)


def _as_asked(
    body: Json, chat: ChatRequest, original: Original, deployment: Deployment, *, is_same: bool
) -> Json:
    """Returns the body with what its caller wrote. is_same: the conversation is as it was."""
    changed = set() if body.get("temperature") == chat.sampling.temperature else {"temperature"}
    is_own = original.protocol == RESPONSES
    if is_own and not deployment.logprobs:
        del body["include"]
    if deployment.logprobs:
        changed.add("include")
    if not is_same or any(carried(m, deployment, ReasoningItems) for m in chat.messages):
        changed |= {"input", "instructions"}
    body = passed_on(body, chat, original, deployment, protocol=RESPONSES, changed=changed)
    if is_own and "input" not in changed and isinstance(body["input"], list):
        body["input"] = thought_items_here(body["input"], deployment.model)
    return body


def _items(message: Message, deployment: Deployment) -> Iterator[Json]:
    if message.role is Role.TOOL:
        output = {"type": "function_call_output", "call_id": message.tool_call_id}
        yield output | {"output": message.text}
        return
    own = carried(message, deployment, ReasoningItems) or ReasoningItems()
    yield from (each.item for each in own.items)
    if message.content:
        yield {"role": message.role.value, "content": _content(message)}
    for call in message.tool_calls:
        named = {"type": "function_call", "call_id": call.id, "name": call.name}
        yield named | {"arguments": arguments_text(call.arguments)}


def _content(message: Message) -> Any:
    if any(isinstance(part, ImagePart) for part in message.parts):
        return [_part(part) for part in message.content]
    return message.text


def _part(part: Content) -> Json:
    if isinstance(part, ImagePart):
        return {"type": "input_image"} | given(image_url=part.url, detail=part.detail)
    return {"type": "input_text", "text": part.text}


def _tool(tool: Tool) -> Json:
    function = {"type": "function"} | given(name=tool.name, description=tool.description)
    # Where nothing is said the provider takes every schema for a strict one.
    return function | {"parameters": parameters_of(tool), "strict": False}


def _tool_choice(chat: ChatRequest) -> Any:
    choice = chat.tool_choice
    if choice.name:
        return {"type": "function", "name": choice.name}
    return None if choice.mode is ToolMode.AUTO or not chat.tools else choice.mode.value


def _format(chat: ChatRequest, deployment: Deployment) -> Json | None:
    wanted = format_of(chat.response_format, deployment.rules)
    if wanted is None or chat.response_format.kind is not Format.JSON_SCHEMA:
        return wanted
    flat: Json = {"type": wanted["type"]} | wanted.get("json_schema", {})
    return flat


@dataclass(slots=True)
class ResponsesAssembler(Assembler):
    """_heard, _spoken: items, and calls, of which pieces came: their end repeats them."""

    beside: BesideResponse | None = None
    _heard: set[int | None] = field(default_factory=set)
    _spoken: set[int | None] = field(default_factory=set)
    _items: list[ReasoningItem] = field(default_factory=list)

    def read(self, body: Json, *, whole: bool) -> Iterator[Delta]:
        del whole
        kind, index = string_of(body.get("type")), index_of(body.get("output_index"))
        if self.beside is not None and kind:
            self.beside.event(body)
        match kind.removeprefix("response."):
            case "output_text.delta" | "refusal.delta":
                self._heard.add(index)
                self.refusal = self.refusal or kind.endswith("refusal.delta")
                yield from self.say(text_of(body.get("delta")))
            case "function_call_arguments.delta":
                self._spoken.add(index)
                yield from self.call(CallPiece(index, arguments=string_of(body.get("delta"))))
            case "reasoning_summary_text.delta" | "reasoning_text.delta":
                self.hidden += len(string_of(body.get("delta")))
            case "output_item.added":
                yield from self._begin(index, record_of(body.get("item")))
            case "output_item.done":
                yield from self._done(index, record_of(body.get("item")))
            case "completed" | "incomplete" | "failed" | "done":
                yield from self._whole(record_of(body.get("response")))
            case _:
                if "output" in body:
                    yield from self._whole(body)

    def _begin(self, index: int | None, item: Json) -> Iterator[Delta]:
        if item.get("type") == "function_call":
            self._heard.add(index)
            yield from self.call(CallPiece(index, _call_id(item), string_of(item.get("name"))))

    def _done(self, index: int | None, item: Json) -> Iterator[Delta]:
        kind, was_heard = item.get("type"), index in self._heard
        self._heard.add(index)
        if kind == "reasoning":
            self._reasoned(item, was_heard=was_heard)
        elif kind == "function_call":
            arguments = arguments_of(item.get("arguments"))
            name = string_of(item.get("name"))
            piece = CallPiece(index, _call_id(item), name, arguments, begins=not was_heard)
            yield from () if index in self._spoken else self.call(piece)
        elif not was_heard:
            for part in items_of(item.get("content")):
                refusal = text_of(record_of(part).get("refusal"))
                self.refusal = self.refusal or bool(refusal)
                yield from self.say(refusal or text_of(record_of(part).get("text")))

    def _reasoned(self, item: Json, *, was_heard: bool) -> None:
        if was_heard:
            return
        told_ = string_of(item.get("encrypted_content"))
        summary = items_of(item.get("summary"))
        self.hidden += 0 if self.hidden else sum(len(text_of(part)) for part in summary)
        if told_ and self.has_room:
            self._items.append(ReasoningItem(exact(string_of(item.get("id"))), exact(told_)))

    def _whole(self, response: Json) -> Iterator[Delta]:
        if response.get("status") in ("failed", "cancelled"):
            raise told(response.get("error") or response)
        self.model = string_of(response.get("model")) or self.model
        for index, item in enumerate(items_of(response.get("output"))):
            if index not in self._heard:
                yield from self._done(index, record_of(item))
        reason = string_of(record_of(response.get("incomplete_details")).get("reason"))
        self.end = end_of(CUT.get(reason, reason) or response.get("status")) or self.end
        self.ended = bool(self.end)
        if self.beside is not None:
            self.beside.end(response)

    def kept(self, calls: tuple[Any, ...]) -> ReasoningItems | None:
        """Within a loop of tools alone it is read again."""
        return ReasoningItems(self._items) if calls and self._items else None


def _call_id(item: Json) -> str:
    return string_of(item.get("call_id")) or string_of(item.get("id"))


DIALECT: Dialect = Responses()
