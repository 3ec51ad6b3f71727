"""OpenAI chat completions, the protocol most providers and local servers speak."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Annotated, Any, Final, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from router.adapters.providers.dialect import (
    MAX_KEPT,
    Assembler,
    Dialect,
    Json,
    as_written,
    carried,
    fitting,
    given,
    in_texts,
    is_plain,
    sent_stops,
    temperature_of,
)
from router.adapters.providers.failures import told
from router.adapters.providers.reading.beside import BesideChat
from router.adapters.providers.reading.calls import piece_of
from router.adapters.providers.reading.characters import exact
from router.adapters.providers.reading.contents import text_of
from router.adapters.providers.reading.fields import (
    end_of,
    first_of,
    has_error,
    index_of,
    items_of,
    number_of,
    record_of,
    string_of,
)
from router.adapters.providers.sending.call_ids import PRINTED, IdForm, exactly
from router.adapters.providers.sending.conversations import (
    alternating,
    fitted,
    says_json,
    wish_of,
    wishing,
)
from router.adapters.providers.sending.originals import (
    as_system,
    passed_on,
    reasoned_here,
    stream_options_of,
    strict_as_asked,
    with_reasoning,
    with_wish,
)
from router.adapters.providers.sending.schemas import (
    arguments_text,
    describes_object,
    is_closed,
    parameters_of,
    schema_of,
)
from router.domain.catalog import BodyRules, Deployment
from router.domain.chat import (
    RESPONSES,
    ChatRequest,
    Delta,
    Format,
    ImagePart,
    Message,
    Original,
    ResponseFormat,
    TextPart,
    Tool,
    ToolCall,
    ToolMode,
)

ANY_JSON: Final = "json"
JSON_OBJECT: Final = {"type": "json_object"}
_Text: TypeAlias = str | UnsetType | None


class Detail(msgspec.Struct, omit_defaults=True):
    """A piece of reasoning in OpenRouter's form."""

    type: str
    id: _Text = UNSET
    format: _Text = UNSET
    index: int | UnsetType | None = UNSET
    text: _Text = UNSET
    summary: _Text = UNSET
    data: _Text = UNSET
    signature: _Text = UNSET


class Reasoning(msgspec.Struct, omit_defaults=True):
    """What was reasoned before calls, in the fields that it came in."""

    reasoning_content: str | UnsetType = UNSET
    reasoning: str | UnsetType = UNSET
    reasoning_details: Annotated[list[Detail], msgspec.Meta(max_length=MAX_KEPT)] | UnsetType = (
        UNSET
    )


class OpenAI:
    """Translates to and from chat completions."""

    def path(self, deployment: Deployment, *, stream: bool) -> str:
        del stream
        query = deployment.rules.query
        return f"/chat/completions?{query}" if query else "/chat/completions"

    def headers(self, key: str) -> Mapping[str, str]:
        return {"authorization": f"Bearer {key}"} if key else {}

    def body(self, deployment: Deployment, chat: ChatRequest, *, stream: bool) -> Json:
        sampling, rules = chat.sampling, deployment.rules
        body = given(
            model=deployment.model,
            messages=_wire_messages(_messages(chat, rules), deployment),
            tools=[_tool(t) for t in chat.tools],
            tool_choice=_tool_choice(chat),
            response_format=format_of(chat.response_format, rules),
            temperature=temperature_of(deployment, chat),
            top_p=sampling.top_p,
            stop=sent_stops(deployment, chat),
            seed=sampling.seed,
            logprobs=deployment.logprobs or None,
        )
        if sampling.max_output_tokens is not None:
            body[rules.limit_field or "max_tokens"] = sampling.max_output_tokens
        if stream:
            body["stream"] = True
            if rules.stream_usage is not False:
                body["stream_options"] = {"include_usage": True}
        if chat.original is not UNSET:
            body = _as_asked(body, chat, chat.original, deployment)
        return fitting(body, deployment)

    def assembler(self, deployment: Deployment, chat: ChatRequest) -> OpenAIAssembler:
        own = chat.original is not UNSET and chat.original.protocol in ("openai", RESPONSES)
        return OpenAIAssembler(
            deployment, chat, beside=BesideChat(deployment.model) if own else None
        )


def _as_asked(body: Json, chat: ChatRequest, original: Original, deployment: Deployment) -> Json:
    """Returns the body with what its caller wrote, as far as the deployment takes that."""
    rules, sampling = deployment.rules, chat.sampling
    changed = {"logprobs"} if deployment.logprobs else set()
    if len(body.get("stop", ())) < len(sampling.stop):
        changed.add("stop")
    if body.get("temperature") != sampling.temperature:
        changed.add("temperature")
    wanted = chat.response_format.kind is not Format.TEXT
    if wanted and (rules.prompted or "response_format" not in body):
        changed.add("response_format")
    if rules.alternate_roles or not _fits(chat, rules):
        changed.add("messages")
    told, wish = body["messages"], wish_for(chat, rules)
    body = passed_on(body, chat, original, deployment, protocol="openai", changed=changed)
    if "messages" not in changed and original.protocol == "openai":
        messages = reasoned_here(body["messages"], deployment.model)
        own = as_system(with_wish(messages, wish))
        body["messages"] = with_reasoning(own, told)
    if original.protocol == RESPONSES and "tools" in body:
        body["tools"] = strict_as_asked(body["tools"], original)
    if "stream_options" in body and original.protocol == "openai":
        body["stream_options"] = stream_options_of(original) | body["stream_options"]
    return body


def _fits(chat: ChatRequest, rules: BodyRules) -> bool:
    """True for a conversation that goes out as it is."""
    return is_plain(chat) or fitted(chat.messages, _id_form(rules)) == [*chat.messages]


def _messages(chat: ChatRequest, rules: BodyRules) -> Sequence[Message]:
    wish = wish_for(chat, rules)
    if is_plain(chat) and not wish and not rules.alternate_roles:
        return chat.messages
    messages = fitted(chat.messages, _id_form(rules))
    messages = wishing(messages, wish) if wish else messages
    return alternating(messages) if rules.alternate_roles else messages


def _id_form(rules: BodyRules) -> IdForm:
    return exactly(rules.call_id_length) if rules.call_id_length else PRINTED


def wish_for(chat: ChatRequest, rules: BodyRules) -> str:
    """Returns what the format alone can't say, or not without these words."""
    wanted = chat.response_format
    if wanted.kind is Format.TEXT:
        return ""
    if wanted.kind is Format.JSON_SCHEMA:
        is_object = describes_object(schema_of(wanted.schema))
        prompted = rules.prompted or not is_object
        return wish_of(wanted, is_object=is_object) if prompted else ""
    return "" if says_json(chat) and rules.prompted != ANY_JSON else wish_of(wanted)


def _wire_messages(messages: Sequence[Message], deployment: Deployment) -> list[Json]:
    """Returns them with what this model reasoned before its calls.

    Where it wants that, it misses the field on the calls of others too.
    """
    wires = [_message(message) for message in messages]
    if not any(message.tool_calls for message in messages):
        return wires
    own = [carried(m, deployment, Reasoning) if m.tool_calls else None for m in messages]
    told = any(r is not None and r.reasoning_content is not UNSET for r in own)
    missed = deployment.rules.reasoned_calls or told
    for wire, reasoning in zip(wires, own, strict=True):
        if reasoning is not None:
            wire.update(in_texts(msgspec.to_builtins(reasoning), as_written))
        elif missed and "tool_calls" in wire:
            wire["reasoning_content"] = ""
    return wires


def _message(message: Message) -> Json:
    """An assistant's turn of calls alone has the content null, which some miss otherwise."""
    wire = given(role=message.role.value, tool_call_id=message.tool_call_id)
    wire["content"] = _content(message)
    if message.tool_calls:
        wire["tool_calls"] = [
            {
                "id": c.id,
                "type": "function",
                "function": {"name": c.name, "arguments": arguments_text(c.arguments)},
            }
            for c in message.tool_calls
        ]
    return wire


def _content(message: Message) -> Any:
    if any(isinstance(part, ImagePart) for part in message.parts):
        return [_part(part) for part in message.content]
    return message.text or (None if message.tool_calls else "")


def _part(part: TextPart | ImagePart) -> Json:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    return {"type": "image_url", "image_url": given(url=part.url, detail=part.detail)}


def _tool(tool: Tool) -> Json:
    function = given(name=tool.name, description=tool.description)
    return {"type": "function", "function": function | {"parameters": parameters_of(tool)}}


def _tool_choice(chat: ChatRequest) -> Any:
    choice = chat.tool_choice
    if choice.name:
        return {"type": "function", "function": {"name": choice.name}}
    is_default = choice.mode is ToolMode.AUTO or not chat.tools
    return None if is_default else choice.mode.value


def format_of(wanted: ResponseFormat, rules: BodyRules) -> Json | None:
    """A schema of no object can't be sent: the system prompt alone asks for it."""
    if wanted.kind is Format.TEXT or rules.prompted == ANY_JSON:
        return None
    if wanted.kind is Format.JSON_OBJECT:
        return JSON_OBJECT
    schema = schema_of(wanted.schema)
    if not describes_object(schema):
        return None
    if rules.prompted:
        return JSON_OBJECT
    strict = is_closed(schema) if rules.strict_schema is None else rules.strict_schema
    named = {"name": wanted.name, "schema": schema, "strict": strict}
    return {"type": "json_schema", "json_schema": named}


@dataclass(slots=True)
class OpenAIAssembler(Assembler):
    """Follows the first choice alone. Some servers send the whole message beside each piece."""

    beside: BesideChat | None = None
    _choice: int | None = None
    _beside: Json = field(default_factory=dict)
    _reasoned: dict[str, list[str]] = field(default_factory=dict)
    _details: list[Detail] = field(default_factory=list)
    _logprobs: int = 0
    _logprob: float = 0.0

    def read(self, body: Json, *, whole: bool) -> Iterator[Delta]:
        self.model = string_of(body.get("model")) or self.model
        if self.beside is not None:
            self.beside.count(body.get("usage"))
        for choice in items_of(body.get("choices")):
            if isinstance(choice, dict) and self._is_followed(choice):
                self._note(body, choice, whole=whole)
                yield from self._read_choice(choice, whole=whole)
                return

    def _note(self, body: Json, choice: Json, *, whole: bool) -> None:
        if self.beside is not None:
            places = ("message", "delta") if whole else ("delta", "message")
            self.beside.note(body, choice, record_of(first_of(choice, *places)))

    def _is_followed(self, choice: Json) -> bool:
        index = index_of(choice.get("index"))
        if self._choice is None:
            self._choice = index
        return index is None or index == self._choice

    def _read_choice(self, choice: Json, *, whole: bool) -> Iterator[Delta]:
        if has_error(choice):
            raise told(choice)
        self.counts.add(choice)
        self._add_logprobs(choice)
        message, delta = record_of(choice.get("message")), record_of(choice.get("delta"))
        told_end = (
            choice.get(_END) or choice.get("finishReason") or message.get(_END) or delta.get(_END)
        )
        if told_end:
            self.end = end_of(told_end) or self.end
        if whole:
            yield from self._message(message or delta or choice, whole=True)
        elif message and "delta" in choice:
            self._beside = message
            yield from self._message(delta)
        elif message:
            yield from self._rest_of(message)
        else:
            yield from self._message(delta or choice)

    def _message(self, message: Json, *, whole: bool = False) -> Iterator[Delta]:
        """Read a message, or a piece of one; `text` stands in older completions."""
        refusal = message.get("refusal") and text_of(message["refusal"])
        self.refusal = self.refusal or bool(refusal)
        if not isinstance(content := message.get("content"), str):
            content = content or message.get("text")
        thought = first_of(message, "reasoning_content", "reasoning", "thinking")
        if not _REASONED.isdisjoint(message) and self.has_room:
            self._reason_with(message)
        self.hidden += len(text_of(thought)) if thought else 0
        yield from self.say_parts(content or refusal)
        if calls := message.get("tool_calls"):
            for value in items_of(calls):
                yield from self.call(piece_of(value, begins=whole))
        if older := record_of(message.get("function_call")):
            yield from self.call(piece_of({"index": 0, "function": older}, begins=whole))

    def _rest_of(self, message: Json) -> Iterator[Delta]:
        """Read a message in a stream: it is whole so far, so what was said is left out."""
        self._reasoned, self._details = {}, []
        text = text_of(message.get("content"))
        if 0 < self.said <= len(text) and text.startswith("".join(self._text)):
            message = message | {"content": text[self.said :]}
        yield from self._message(message)

    def _reason_with(self, message: Json) -> None:
        for name in ("reasoning_content", "reasoning"):
            if isinstance(text := message.get(name), str):
                self._reasoned.setdefault(name, []).append(text)
        for value in items_of(message.get("reasoning_details")):
            try:
                self._details.append(msgspec.convert(value, Detail))
            except msgspec.ValidationError:
                continue

    def kept(self, calls: tuple[ToolCall, ...]) -> Reasoning | None:
        """Within a loop of tools alone it is read again."""
        if not calls or not (self._reasoned or self._details):
            return None
        texts = {name: exact("".join(pieces)) for name, pieces in self._reasoned.items()}
        return Reasoning(**texts, reasoning_details=_joined(self._details) or UNSET)

    def _add_logprobs(self, choice: Json) -> None:
        logprobs = choice.get("logprobs")
        if not logprobs:
            return
        tokens = items_of(record_of(logprobs).get("content"))
        told = (number_of(record_of(token).get("logprob")) for token in tokens)
        for number in told:
            if number is not None:
                self._logprobs += 1
                self._logprob += number
        if self._logprobs:
            self.mean_logprob = self._logprob / self._logprobs

    def close(self) -> Iterator[Delta]:
        if self._beside and not self.has_said:
            self._reasoned, self._details = {}, []
            yield from self._message(self._beside)
        yield from Assembler.close(self)


def _joined(details: list[Detail]) -> list[Detail]:
    """Join the pieces of a stream: neighbours of one kind and index; encrypted ones come whole."""
    whole: list[Detail] = []
    for _, group in groupby(enumerate(details), _place):
        pieces = [detail for _, detail in group]
        told = {name: _last(pieces, name) for name in Detail.__struct_fields__}
        for name in ("text", "summary"):
            texts = [text for each in pieces if isinstance(text := getattr(each, name), str)]
            told[name] = exact("".join(texts)) if texts else told[name]
        whole.append(Detail(**told))
    return whole


def _place(numbered: tuple[int, Detail]) -> tuple[Any, ...]:
    number, detail = numbered
    is_piece = isinstance(detail.index, int) and not isinstance(detail.data, str)
    return (detail.type, detail.index) if is_piece else (number, detail.type, None)


def _last(pieces: list[Detail], name: str) -> Any:
    told = [value for each in pieces if (value := getattr(each, name)) is not UNSET]
    return next(
        (value for value in reversed(told) if value is not None), told[0] if told else UNSET
    )


_END: Final = "finish_reason"
_REASONED: Final = frozenset(("reasoning_content", "reasoning", "reasoning_details"))
DIALECT: Dialect = OpenAI()
