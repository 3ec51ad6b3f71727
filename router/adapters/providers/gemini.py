"""Gemini generateContent and streamGenerateContent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated
from urllib.parse import quote

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
from router.adapters.providers.reading.calls import CallPiece, arguments_of
from router.adapters.providers.reading.fields import (
    end_of,
    first_of,
    index_of,
    items_of,
    number_of,
    record_of,
    string_of,
)
from router.adapters.providers.sending.call_ids import MAX_NAME_CHARACTERS, PRINTED
from router.adapters.providers.sending.conversations import (
    begun,
    fitted,
    is_blank,
    merged,
    system_of,
)
from router.adapters.providers.sending.images import inlined, kind_of
from router.adapters.providers.sending.originals import passed_on
from router.adapters.providers.sending.schemas import object_of, parameters_of, schema_of
from router.domain.catalog import Deployment
from router.domain.chat import (
    ChatRequest,
    Content,
    Delta,
    Format,
    ImagePart,
    Message,
    ResponseFormat,
    Role,
    Tool,
    ToolCall,
    ToolMode,
)

_MODES = {ToolMode.AUTO: "AUTO", ToolMode.NONE: "NONE", ToolMode.REQUIRED: "ANY"}
JSON_TYPE = "application/json"
SEED_BITS = 0x7FFF_FFFF
# Calls of an earlier turn may be another model's, or have lost their signature on the way through
# a protocol that has none; this value is the documented way to say so.
NO_SIGNATURE = "skip_thought_signature_validator"


class SignedCall(msgspec.Struct, omit_defaults=True):
    """A call of an answer, whether it was signed or not."""

    id: str
    signature: str = ""


class SignedText(msgspec.Struct):
    """A part of an answer's text, perhaps an empty one."""

    begin: int
    end: int
    signature: str


class Signatures(msgspec.Struct, omit_defaults=True):
    """What signs the parts of one turn: each has to come back on its part."""

    calls: Annotated[list[SignedCall], msgspec.Meta(max_length=MAX_KEPT)] = []
    texts: Annotated[list[SignedText], msgspec.Meta(max_length=MAX_KEPT)] = []


class Gemini:
    """Tool results are matched by the name of their tool."""

    def path(self, deployment: Deployment, *, stream: bool) -> str:
        verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return f"/v1beta/models/{quote(deployment.model)}:{verb}"

    def headers(self, key: str) -> Mapping[str, str]:
        return {"x-goog-api-key": key} if key else {}

    def body(self, deployment: Deployment, chat: ChatRequest, *, stream: bool) -> Json:
        del stream
        messages = _messages(chat)
        turns = begun([m for m in messages if m.role is not Role.SYSTEM])
        prompted, formal = _formats(chat)
        system = system_of(messages, prompted)
        declared = [_tool(t) for t in chat.tools]
        body = given(
            systemInstruction={"parts": [{"text": system}]} if system else None,
            contents=merged(_contents(turns, deployment), "parts"),
            tools=[{"functionDeclarations": declared}] if declared else None,
            toolConfig=_tool_config(chat),
            generationConfig=_config(deployment, chat, formal) or None,
        )
        if chat.original is not UNSET:
            body = passed_on(body, chat, chat.original, deployment, protocol="gemini")
        return fitting(body, deployment)

    def assembler(self, deployment: Deployment, chat: ChatRequest) -> GeminiAssembler:
        return GeminiAssembler(deployment, chat)


def _messages(chat: ChatRequest) -> Sequence[Message]:
    return chat.messages if is_plain(chat) else fitted(chat.messages, PRINTED)


def _contents(turns: Iterable[Message], deployment: Deployment) -> Iterator[Json]:
    """A tool's result carries the name that the nearest call before it with its id has."""
    names: dict[str, str] = {}
    for message in turns:
        names |= {call.id: call.name for call in message.tool_calls}
        yield _content(message, names, carried(message, deployment, Signatures) or Signatures())


def _content(message: Message, names: Mapping[str, str], own: Signatures) -> Json:
    if message.role is Role.TOOL:
        name = names.get(message.tool_call_id, message.tool_call_id)
        response = {"name": sent_name(name), "response": {"result": message.text}}
        return {"role": "user", "parts": [{"functionResponse": response}]}
    calls = [
        given(
            functionCall={"name": sent_name(c.name), "args": object_of(c.arguments)},
            thoughtSignature=signature,
        )
        for c, signature in zip(message.tool_calls, _signed(message, own.calls), strict=True)
    ]
    return {
        "role": "model" if message.role is Role.ASSISTANT else "user",
        "parts": [*(_signed_texts(message, own.texts) or map(_wire_part, message.content)), *calls],
    }


def _signed(message: Message, own: Sequence[SignedCall]) -> list[str | msgspec.Raw]:
    """Returns each call's signature: of calls made together the first alone has to have one."""
    told = [(call.id, as_written(call.signature)) for call in own]
    by_id, calls = dict(reversed(told)), message.tool_calls
    signed = [by_id.get(call.id, "") for call in calls]
    if by_id.keys().isdisjoint(call.id for call in calls):  # mapped, but in the same order
        signed = [signature for _, signature in told] + [""] * len(calls)
        signed = signed[: len(calls)]
    if not any(signed):
        return [NO_SIGNATURE] * len(signed)
    return [signed[0] or NO_SIGNATURE, *signed[1:]]


def _signed_texts(message: Message, own: Sequence[SignedText]) -> list[Json]:
    """Returns the text in the parts that were signed; [] where it has changed since."""
    text, parts, at = message.text, list[Json](), 0
    for each in own:
        if not at <= each.begin <= each.end <= len(text):
            return []
        parts += [{"text": t} for t in (text[at : each.begin],) if not is_blank(t)]
        signature, at = as_written(each.signature), each.end
        parts.append({"text": text[each.begin : at], "thoughtSignature": signature})
    rest = [{"text": t} for t in (text[at:],) if not is_blank(t)]
    return [*parts, *rest] if parts else []


def _wire_part(part: Content) -> Json:
    if not isinstance(part, ImagePart):
        return {"text": part.text}
    if not part.url.startswith("data:"):
        return {"fileData": {"mimeType": kind_of(part.url), "fileUri": part.url}}
    kind, data = inlined(part.url)
    return {"inlineData": {"mimeType": kind, "data": data}}


def _tool(tool: Tool) -> Json:
    """An object without properties is refused: a tool without parameters has no schema."""
    schema = parameters_of(tool)
    is_empty = not schema["properties"] and {*schema} <= {"type", "properties"}
    declared = given(name=sent_name(tool.name), description=tool.description)
    return declared if is_empty else declared | {"parametersJsonSchema": schema}


def sent_name(name: str) -> str:
    """Returns a name that begins with a letter or an underscore, as the protocol demands."""
    begins_well = name[:1].isalpha() or name.startswith("_")
    return name if begins_well else f"_{name}"[:MAX_NAME_CHARACTERS]


def _tool_config(chat: ChatRequest) -> Json | None:
    choice = chat.tool_choice
    if not chat.tools or (choice.mode is ToolMode.AUTO and not choice.name):
        return None
    names = [sent_name(choice.name)] if choice.name else []
    calling = given(mode=_MODES[choice.mode], allowedFunctionNames=names)
    return {"functionCallingConfig": calling}


def _formats(chat: ChatRequest) -> tuple[ResponseFormat, ResponseFormat]:
    """Returns the format that the prompt asks for, and the one that a field does.

    Tools and such a field are refused together.
    """
    wanted, none = chat.response_format, ResponseFormat()
    prompted = chat.tools or (wanted.schema and not isinstance(schema_of(wanted.schema), dict))
    return (wanted, none) if prompted else (none, wanted)


def _config(deployment: Deployment, chat: ChatRequest, wanted: ResponseFormat) -> Json:
    sampling = chat.sampling
    return given(
        temperature=temperature_of(deployment, chat),
        topP=sampling.top_p,
        maxOutputTokens=sampling.max_output_tokens,
        stopSequences=sent_stops(deployment, chat),
        # Of 32 bits here, of 64 in other protocols.
        seed=None if sampling.seed is None else sampling.seed & SEED_BITS,
        responseMimeType=None if wanted.kind is Format.TEXT else JSON_TYPE,
        responseJsonSchema=schema_of(wanted.schema) if wanted.schema else None,
    )


@dataclass(slots=True)
class GeminiAssembler(Assembler):
    """The end of the body is the protocol's only mark of the end.

    _signatures: by the number of the call.
    """

    _signatures: dict[int, str] = field(default_factory=dict)
    _texts: list[SignedText] = field(default_factory=list)

    def read(self, body: Json, *, whole: bool) -> Iterator[Delta]:
        del whole
        self.model = string_of(first_of(body, "modelVersion", "model_version")) or self.model
        feedback = record_of(first_of(body, "promptFeedback", "prompt_feedback"))
        if end_of(first_of(feedback, "blockReason", "block_reason")):
            self.end = "safety"
        for candidate in items_of(body.get("candidates")):
            if isinstance(candidate, dict) and not index_of(candidate.get("index")):
                yield from self._candidate(candidate)
                return

    def _candidate(self, candidate: Json) -> Iterator[Delta]:
        self.end = end_of(first_of(candidate, "finishReason", "finish_reason")) or self.end
        logprob = number_of(first_of(candidate, "avgLogprobs", "avg_logprobs"))
        self.mean_logprob = self.mean_logprob if logprob is None else logprob
        content = record_of(candidate.get("content"))
        for part in items_of(content.get("parts")):
            begin, record = self.heard, record_of(part)
            yield from self.say_parts(part)
            call = record_of(first_of(record, "functionCall", "function_call"))
            if call:
                yield from self.call(_piece(call, self.chat.tools))
            signature = first_of(record, "thoughtSignature", "thought_signature")
            if signature and isinstance(signature, str) and not self._is_cut:
                self._sign(
                    signature, begin, is_call=bool(call), is_thought=bool(record.get("thought"))
                )

    def _sign(self, signature: str, begin: int, *, is_call: bool, is_thought: bool) -> None:
        """A text that is unwrapped from its fence is another than the one that was signed."""
        if is_call and self._calls is not None:
            self._signatures[self._calls.begun - 1] = signature
        elif not is_call and not is_thought and self.chat.response_format.kind is Format.TEXT:
            self._texts.append(SignedText(begin, self.heard, signature))

    def kept(self, calls: tuple[ToolCall, ...]) -> Signatures | None:
        signed = [SignedCall(c.id, self._signatures.get(i, "")) for i, c in enumerate(calls)]
        has_signed = any(each.signature for each in signed)
        if not has_signed and not self._texts:
            return None
        return Signatures(signed if has_signed else [], self._texts)


def _own_name(name: str, tools: Sequence[Tool]) -> str:
    """Returns the caller's name of a tool that was sent by another."""
    own = (t.name for t in tools if sent_name(t.name) == name)
    return next(own, name) if name.startswith("_") else name


def _piece(call: Json, tools: Sequence[Tool]) -> CallPiece:
    call_id, name = string_of(call.get("id")), string_of(call.get("name"))
    name = _own_name(name, tools)
    arguments = arguments_of(first_of(call, "args", "arguments"))
    return CallPiece(None, call_id, name, arguments or "{}", begins=not call_id)


DIALECT: Dialect = Gemini()
