"""Gemini generateContent and streamGenerateContent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

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
    number_of,
    record_of,
    string_of,
)
from router.adapters.providers.sending.call_ids import MAX_NAME_CHARACTERS, PRINTED
from router.adapters.providers.sending.conversations import begun, fitted, merged, system_of
from router.adapters.providers.sending.images import inlined, kind_of
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
    ToolMode,
)

_MODES = {ToolMode.AUTO: "AUTO", ToolMode.NONE: "NONE", ToolMode.REQUIRED: "ANY"}
JSON_TYPE = "application/json"
SEED_BITS = 0x7FFF_FFFF
# Calls of an earlier turn may be another model's, or have lost their signature on the way through
# a protocol that has none; this value is the documented way to say so.
NO_SIGNATURE = "skip_thought_signature_validator"


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
            contents=merged(_contents(turns), "parts"),
            tools=[{"functionDeclarations": declared}] if declared else None,
            toolConfig=_tool_config(chat),
            generationConfig=_config(deployment, chat, formal) or None,
        )
        return fitting(body, deployment)

    def assembler(self, deployment: Deployment, chat: ChatRequest) -> GeminiAssembler:
        return GeminiAssembler(deployment, chat)


def _messages(chat: ChatRequest) -> Sequence[Message]:
    return chat.messages if is_plain(chat) else fitted(chat.messages, PRINTED)


def _contents(turns: Iterable[Message]) -> Iterator[Json]:
    """A tool's result carries the name that the nearest call before it with its id has."""
    names: dict[str, str] = {}
    for message in turns:
        names |= {call.id: call.name for call in message.tool_calls}
        yield _content(message, names)


def _content(message: Message, names: Mapping[str, str]) -> Json:
    if message.role is Role.TOOL:
        name = names.get(message.tool_call_id, message.tool_call_id)
        response = {"name": sent_name(name), "response": {"result": message.text}}
        return {"role": "user", "parts": [{"functionResponse": response}]}
    calls = [
        {
            "functionCall": {"name": sent_name(c.name), "args": object_of(c.arguments)},
            "thoughtSignature": NO_SIGNATURE,
        }
        for c in message.tool_calls
    ]
    return {
        "role": "model" if message.role is Role.ASSISTANT else "user",
        "parts": [*map(_wire_part, message.content), *calls],
    }


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
    """The end of the body is the protocol's only mark of the end."""

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
            yield from self.say_parts(part)
            call = record_of(first_of(record_of(part), "functionCall", "function_call"))
            if call:
                yield from self.call(_piece(call, self.chat.tools))


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
