"""Anthropic Messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    is_plain,
    sent_stops,
    temperature_of,
)
from router.adapters.providers.reading.beside import BesideMessage
from router.adapters.providers.reading.calls import CallPiece, arguments_of
from router.adapters.providers.reading.characters import exact
from router.adapters.providers.reading.fields import (
    end_of,
    first_of,
    index_of,
    items_of,
    record_of,
    string_of,
)
from router.adapters.providers.sending.call_ids import WORDS
from router.adapters.providers.sending.conversations import (
    begun,
    fitted,
    is_blank,
    merged,
    system_of,
)
from router.adapters.providers.sending.images import inlined
from router.adapters.providers.sending.originals import passed_on, thought_here
from router.adapters.providers.sending.rule_book import CACHE_CONTROL, CACHE_TTL
from router.adapters.providers.sending.schemas import object_of, parameters_of
from router.domain.catalog import Deployment
from router.domain.chat import (
    WRITTEN_BY,
    ChatRequest,
    Content,
    Delta,
    Format,
    ImagePart,
    Message,
    Original,
    Role,
    TextPart,
    Tool,
    ToolCall,
    ToolMode,
)

API_VERSION = "2023-06-01"
_MODES = {ToolMode.AUTO: "auto", ToolMode.NONE: "none", ToolMode.REQUIRED: "any"}
THINKING: Final = "thinking"
REDACTED: Final = "redacted_thinking"
_THOUGHTS: Final = (THINKING, REDACTED)


class Thought(msgspec.Struct, omit_defaults=True):
    """A block of thinking, and how many characters and calls of its turn stood before it.

    data: of thinking that can't be read, which has neither text nor signature.
    """

    thinking: str = ""
    signature: str = ""
    data: str = ""
    characters: int = 0
    calls: int = 0

    @property
    def block(self) -> Json:
        if self.data:
            return {"type": REDACTED, "data": as_written(self.data)}
        told = as_written(self.thinking), as_written(self.signature)
        return {"type": THINKING, "thinking": told[0], "signature": told[1]}


class Thoughts(msgspec.Struct, omit_defaults=True):
    """The thinking of one turn, in its order. unasked: the request said nothing of thinking."""

    blocks: Annotated[list[Thought], msgspec.Meta(max_length=MAX_KEPT)] = []
    unasked: bool = False


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
        if chat.original is not UNSET:
            return _as_asked(body, chat, chat.original, deployment)
        body = fitting(body, deployment)
        body = _with_thoughts(body, turns, deployment)
        return with_breakpoints(body, deployment) if deployment.prompt_caching else body

    def assembler(self, deployment: Deployment, chat: ChatRequest) -> AnthropicAssembler:
        own = chat.original is not UNSET and chat.original.protocol == "anthropic"
        return AnthropicAssembler(deployment, chat, beside=BesideMessage() if own else None)


def _as_asked(body: Json, chat: ChatRequest, original: Original, deployment: Deployment) -> Json:
    """Returns the body with what its caller wrote, as far as the deployment takes that."""
    messages = _messages(chat)
    turns = begun([m for m in messages if m.role is not Role.SYSTEM])
    changed = _changed(body, chat, turns)
    if any(carried(m, deployment, Thoughts) for m in turns):
        changed.add("messages")
    if original.protocol == "anthropic" and chat.response_format.kind is not Format.TEXT:
        body.pop("system", None)  # it wishes for JSON, which the caller's own field asks for
    body = fitting(
        passed_on(body, chat, original, deployment, protocol="anthropic", changed=changed),
        deployment,
    )
    if original.protocol != "anthropic" or "messages" in changed:
        body = _with_thoughts(body, turns, deployment)
    else:
        body["messages"] = thought_here(body["messages"], deployment.model)
        if needs_room(body) or THINKING in deployment.rules.parameters:
            body = with_thinking(body, body["messages"])
    if not deployment.prompt_caching or CACHE_CONTROL in original.extras:
        return body
    return with_breakpoints(body, deployment)


def _changed(body: Json, chat: ChatRequest, turns: list[Message]) -> set[str]:
    """Returns the fields that have to differ from those of a caller of this protocol."""
    sampling, rest = chat.sampling, [m for m in chat.messages if m.role is not Role.SYSTEM]
    differs = {
        "messages": turns != rest,
        "stop_sequences": len(body.get("stop_sequences", ())) < len(sampling.stop),
        "temperature": body.get("temperature") != sampling.temperature,
    }
    return {name for name, is_other in differs.items() if is_other}


def needs_room(body: Json) -> bool:
    """True if the router's output limit leaves no room for the thinking that is asked for."""
    thinking = body.get(THINKING)
    budget = thinking.get("budget_tokens") if isinstance(thinking, dict) else None
    return isinstance(budget, int) and budget >= body["max_tokens"]


def _with_thoughts(body: Json, turns: list[Message], deployment: Deployment) -> Json:
    if THINKING in body:
        return with_thinking(body, _thoughtful(turns, deployment, asked=True))
    if any(m.opaque for m in turns):
        body["messages"] = _thoughtful(turns, deployment, asked=False)
    return body


def _messages(chat: ChatRequest) -> Sequence[Message]:
    return chat.messages if is_plain(chat) else fitted(chat.messages, WORDS, images_in_results=True)


def _thoughtful(turns: Iterable[Message], deployment: Deployment, *, asked: bool) -> list[Json]:
    """Returns turns with the thinking that this model wrote in them.

    asked: the request speaks of thinking; else only what it wrote without being asked goes back.
    """
    own = ((m, carried(m, deployment, Thoughts) or Thoughts()) for m in turns)
    return merged((_message(m, t if asked or t.unasked else Thoughts()) for m, t in own), "content")


def _message(message: Message, thoughts: Thoughts | None = None) -> Json:
    if message.role is Role.TOOL:
        return {"role": "user", "content": [_result(message)]}
    calls = [
        {"type": "tool_use", "id": c.id, "name": c.name, "input": object_of(c.arguments)}
        for c in message.tool_calls
    ]
    content = [*map(_part, message.content), *calls]
    if thoughts is not None and thoughts.blocks:
        texts = [part.text for part in message.content if isinstance(part, TextPart)]
        content = [*_placed(texts, calls, thoughts.blocks)]
    return {"role": message.role.value, "content": content}


def _placed(texts: Iterable[str], calls: Iterable[Json], thoughts: list[Thought]) -> Iterator[Json]:
    """Yields a turn's blocks with its thinking at its places, none at the end: that is refused."""
    rest, at = [*thoughts], 0
    for text in texts:
        begin, end = at, at + len(text)
        while rest and not rest[0].calls and rest[0].characters < end:
            thought = rest.pop(0)
            before, at = at, max(at, thought.characters)
            yield from _texts(text[before - begin : at - begin])
            yield thought.block
        yield from _texts(text[at - begin :])
        at = end
    for number, call in enumerate(calls):
        while rest and rest[0].calls <= number:
            yield rest.pop(0).block
        yield call


def _texts(text: str) -> Iterator[Json]:
    if not is_blank(text):
        yield {"type": "text", "text": text}


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


LONG_TTL_S: Final = 3_600
"""The one lifetime besides the usual that the protocol has."""


def with_breakpoints(body: Json, deployment: Deployment) -> Json:
    """Let the provider cache up to the last tool, the system prompt and the last message.

    Nothing is marked where the deployment marks it itself, or where the server takes no marks.
    """
    rules = deployment.rules
    if CACHE_CONTROL in body or CACHE_CONTROL in rules.omit:
        return body
    long = deployment.cache_ttl_s == LONG_TTL_S and CACHE_TTL not in rules.omit
    mark: Json = {CACHE_CONTROL: {"type": "ephemeral"} | ({"ttl": "1h"} if long else {})}
    if tools := body.get("tools"):
        body["tools"] = [*tools[:-1], tools[-1] | mark]
    system = body.get("system")
    if isinstance(system, str) and not is_blank(system):
        body["system"] = [{"type": "text", "text": system} | mark]
    elif isinstance(system, list):
        body["system"] = _marked(system, mark)
    if messages := body.get("messages"):
        content = _marked(blocks_of(messages[-1]["content"]), mark)
        body["messages"] = [*messages[:-1], messages[-1] | {"content": content}]
    return body


def blocks_of(content: str | list[Json]) -> list[Json]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _marked(content: list[Json], mark: Json) -> list[Json]:
    """Returns blocks with a mark on the last that may have one: thinking and blanks may not."""
    for index in range(len(content) - 1, -1, -1):
        block = content[index]
        if block["type"] not in _THOUGHTS and not (
            block["type"] == "text" and is_blank(block["text"])
        ):
            return [*content[:index], block | mark, *content[index + 1 :]]
    return content


LEAST_THINKING = 1_024


def with_thinking(body: Json, thoughtful: list[Json]) -> Json:
    """Thinking goes without temperature, top_p and a forced tool, within the output limit.

    It is left out where a request has no room for it, forces a tool, or goes on with the result
    of a call that was made without: such a turn has to begin with thinking, save where the model
    itself decides when to think. thoughtful: the messages with what was thought in them.
    """
    thinking, most = body["thinking"], body["max_tokens"]
    forced = body.get("tool_choice", {}).get("type") in ("any", "tool")
    kind = thinking.get("type") if isinstance(thinking, dict) else None
    budget = thinking.get("budget_tokens") if isinstance(thinking, dict) else None
    if isinstance(budget, int) and budget >= most:
        budget = max(LEAST_THINKING, most // 2)
        thinking = thinking | {"budget_tokens": budget}
    is_off = kind != "adaptive" and _goes_on_without(thoughtful)
    if kind != "disabled" and (forced or is_off or (budget or 0) >= most):
        return {name: value for name, value in body.items() if name != "thinking"}
    if kind == "disabled":
        return body
    kept = {name: value for name, value in body.items() if name not in ("temperature", "top_p")}
    return kept | {"thinking": thinking, "messages": thoughtful}


def _goes_on_without(turns: list[Json]) -> bool:
    """True if the last turn answers calls of a turn that does not begin with thinking."""
    answers = any(part["type"] == "tool_result" for part in blocks_of(turns[-1]["content"]))
    return answers and blocks_of(turns[-2]["content"])[0]["type"] not in _THOUGHTS


@dataclass(slots=True)
class AnthropicAssembler(Assembler):
    """_calling: by its index, whether a block is a call of the caller's tools.

    _thoughts: blocks of thinking in their order. _thinking: pieces of the text, by index.
    """

    beside: BesideMessage | None = None
    _calling: dict[int | None, bool] = field(default_factory=dict)
    _thoughts: list[tuple[Thought, list[str]]] = field(default_factory=list)
    _thinking: dict[int | None, tuple[Thought, list[str]]] = field(default_factory=dict)
    _index: int | None = None
    _noted: int = 0

    def read(self, body: Json, *, whole: bool) -> Iterator[Delta]:
        match body.get("type"):
            case "content_block_delta":
                yield from self._proceed(body, record_of(body.get("delta")))
            case "message_start":
                yield from self._message(record_of(body.get("message")), whole=whole)
            case "content_block_start":
                self._index = index_of(body.get("index"))
                yield from self._begin(self._index, record_of(body.get("content_block")))
            case "content_block_stop":
                self._note_thoughts()
            case "message_delta":
                self._ends(record_of(body.get("delta")), body)
                if self.beside is not None:
                    self.beside.end(record_of(body.get("delta")), body)
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
        if self.beside is not None:
            self.beside.begin(message)
        for index, block in enumerate(items_of(message.get("content"))):
            yield from self._begin(index, block, whole=whole)

    def _begin(self, index: int | None, block: Any, *, whole: bool = False) -> Iterator[Delta]:
        """A call's input comes with the block when the answer is whole, else in pieces."""
        call = record_of(block)
        if call.get("type") in _THOUGHTS and not self._is_cut:
            self._think(index, call)
        if whole or call.get("type") not in _THOUGHTS:
            self._note_thoughts()
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
            if (thought := self._thinking.get(index)) and self.has_room:
                _add(thought, delta)
            yield from self.say_parts(delta)
        elif self._calling.get(index):
            yield from self.call(CallPiece(index, arguments=arguments_of(pieces)))

    def _think(self, index: int | None, block: Json) -> None:
        thought = Thought(characters=self.heard, calls=sum(self._calling.values()))
        self._thinking[index] = thought, []
        self._thoughts.append(self._thinking[index])
        _add(self._thinking[index], block)

    def _note_thoughts(self) -> None:
        """Tell the caller of thinking that has come to its end."""
        if self.beside is None:
            return
        for thought, pieces in self._thoughts[self._noted :]:
            own = {"type": REDACTED, "data": thought.data}
            if not thought.data:
                told = {"thinking": exact("".join(pieces)), "signature": thought.signature}
                own = {"type": THINKING} | told
            own[WRITTEN_BY] = self.deployment.model
            self.beside.block(own, thought.characters, thought.calls)
        self._noted = len(self._thoughts)

    def kept(self, calls: tuple[ToolCall, ...]) -> Thoughts | None:
        """A signature stands for the very text: what came without one is not taken back."""
        del calls
        told = [thought for thought, _ in self._thoughts if thought.signature or thought.data]
        for thought, pieces in self._thoughts:
            thought.thinking = exact("".join(pieces))
        if not told or not self.has_room:
            return None
        return Thoughts(told, THINKING not in self.deployment.rules.parameters)


def _add(thinking: tuple[Thought, list[str]], told: Json) -> None:
    """Add a block or a piece of one; text comes in pieces, the rest at once."""
    thought, pieces = thinking
    text, signature, data = (told.get(name) for name in ("thinking", "signature", "data"))
    if isinstance(text, str):
        pieces.append(text)
    thought.signature = signature if isinstance(signature, str) else thought.signature
    thought.data = data if isinstance(data, str) else thought.data


DIALECT: Dialect = Anthropic()
