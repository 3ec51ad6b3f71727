"""Gemini generateContent and streamGenerateContent."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from router.adapters.providers.dialect import Assembler, Dialect, Json, given, merged
from router.adapters.providers.reading.calls import CallPiece, arguments_of
from router.adapters.providers.reading.characters import clean
from router.adapters.providers.reading.fields import (
    end_of,
    first_of,
    index_of,
    items_of,
    number_of,
    record_of,
    string_of,
)
from router.domain.catalog import Deployment
from router.domain.chat import (
    ChatRequest,
    Content,
    Delta,
    Format,
    ImagePart,
    Message,
    Role,
    TextPart,
    Tool,
    ToolMode,
)

_MODES = {ToolMode.AUTO: "AUTO", ToolMode.NONE: "NONE", ToolMode.REQUIRED: "ANY"}
JSON_TYPE = "application/json"
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
        del deployment, stream
        system = "\n\n".join(m.text for m in chat.messages if m.role is Role.SYSTEM)
        turns = [m for m in chat.messages if m.role is not Role.SYSTEM]
        declared = [_tool(t) for t in chat.tools]
        return given(
            systemInstruction={"parts": [{"text": system}]} if system else None,
            contents=merged(_contents(turns), "parts"),
            tools=[{"functionDeclarations": declared}] if declared else None,
            toolConfig=_tool_config(chat),
            generationConfig=_config(chat) or None,
        )

    def assembler(self, deployment: Deployment, chat: ChatRequest) -> GeminiAssembler:
        return GeminiAssembler(deployment, chat)


def _contents(turns: Iterable[Message]) -> Iterator[Json]:
    """A tool's result carries the name that the nearest call before it with its id has."""
    names: dict[str, str] = {}
    for message in turns:
        names |= {call.id: call.name for call in message.tool_calls}
        yield _content(message, names)


def _content(message: Message, names: Mapping[str, str]) -> Json:
    if message.role is Role.TOOL:
        name = names.get(message.tool_call_id, message.tool_call_id)
        response = {"name": name, "response": {"result": message.text}}
        return {"role": "user", "parts": [{"functionResponse": response}]}
    calls = [
        {
            "functionCall": {"name": c.name, "args": json.loads(c.arguments or "{}")},
            "thoughtSignature": NO_SIGNATURE,
        }
        for c in message.tool_calls
    ]
    parts = [_wire_part(p) for p in message.content if not isinstance(p, TextPart) or p.text]
    return {
        "role": "model" if message.role is Role.ASSISTANT else "user",
        "parts": parts + calls,
    }


def _wire_part(part: Content) -> Json:
    if not isinstance(part, ImagePart):
        return {"text": part.text}
    if not part.url.startswith("data:"):
        return {"fileData": {"fileUri": part.url}}
    kind, _, data = part.url.removeprefix("data:").partition(";base64,")
    return {"inlineData": {"mimeType": kind, "data": data}}


def _tool(tool: Tool) -> Json:
    schema = json.loads(tool.parameters) if tool.parameters else None
    return given(name=tool.name, description=tool.description, parametersJsonSchema=schema)


def _tool_config(chat: ChatRequest) -> Json | None:
    choice = chat.tool_choice
    if not chat.tools or (choice.mode is ToolMode.AUTO and not choice.name):
        return None
    names = [choice.name] if choice.name else []
    calling = given(mode=_MODES[choice.mode], allowedFunctionNames=names)
    return {"functionCallingConfig": calling}


def _config(chat: ChatRequest) -> Json:
    sampling, wanted = chat.sampling, chat.response_format
    return given(
        temperature=sampling.temperature,
        topP=sampling.top_p,
        maxOutputTokens=sampling.max_output_tokens,
        stopSequences=list(sampling.stop),
        seed=sampling.seed,
        responseMimeType=None if wanted.kind is Format.TEXT else JSON_TYPE,
        responseJsonSchema=json.loads(wanted.schema) if wanted.schema else None,
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
                yield from self.call(_piece(call))


def _piece(call: Json) -> CallPiece:
    call_id, name = clean(string_of(call.get("id"))), clean(string_of(call.get("name")))
    arguments = arguments_of(first_of(call, "args", "arguments"))
    return CallPiece(None, call_id, name, arguments or "{}", begins=not call_id)


DIALECT: Dialect = Gemini()
