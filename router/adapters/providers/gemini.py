"""Gemini generateContent and streamGenerateContent."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote

from router.adapters.providers.dialect import Json, given, merged
from router.adapters.providers.gemini_answer import GeminiAssembler, read_answer
from router.domain.catalog import Deployment
from router.domain.chat import (
    Answer,
    ChatRequest,
    Format,
    ImagePart,
    Message,
    Part,
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
    """Implements `Dialect`. Tool results are matched by the name of their tool."""

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

    def answer(self, data: bytes, deployment: Deployment, chat: ChatRequest) -> Answer:
        return read_answer(data, deployment, chat)

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
    parts = [_wire_part(p) for p in message.parts if not isinstance(p, TextPart) or p.text]
    return {
        "role": "model" if message.role is Role.ASSISTANT else "user",
        "parts": parts + calls,
    }


def _wire_part(part: Part) -> Json:
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
