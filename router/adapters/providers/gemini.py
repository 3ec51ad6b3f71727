"""Gemini generateContent and streamGenerateContent."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import msgspec

from router.adapters.providers.dialect import Assembler, Dialect, Json, given, merged
from router.domain.catalog import Deployment
from router.domain.chat import (
    Answer,
    ChatRequest,
    Content,
    Delta,
    FinishReason,
    Format,
    ImagePart,
    Message,
    Role,
    TextPart,
    Tool,
    ToolMode,
)
from router.domain.errors import ProviderMalformed

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

    def answer(self, data: bytes, deployment: Deployment, chat: ChatRequest) -> Answer:
        assembler = GeminiAssembler(deployment, chat)
        for _ in assembler.feed(data):
            pass
        return assembler.finish()

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


_FINISH = {
    "STOP": FinishReason.STOP,
    "MAX_TOKENS": FinishReason.LENGTH,
    "SAFETY": FinishReason.CONTENT_FILTER,
    "RECITATION": FinishReason.CONTENT_FILTER,
    "BLOCKLIST": FinishReason.CONTENT_FILTER,
    "PROHIBITED_CONTENT": FinishReason.CONTENT_FILTER,
    "SPII": FinishReason.CONTENT_FILTER,
}


class _FunctionCall(msgspec.Struct):
    name: str
    args: msgspec.Raw = msgspec.Raw(b"{}")
    id: str | None = None


class _Part(msgspec.Struct, rename="camel"):
    text: str | None = None
    thought: bool = False
    function_call: _FunctionCall | None = None


class _Content(msgspec.Struct):
    parts: list[_Part] | None = None


class _Candidate(msgspec.Struct, rename="camel"):
    """avg_logprobs: not a number for some models ("NaN")."""

    content: _Content | None = None
    finish_reason: str | None = None
    avg_logprobs: float | str | None = None


class _GeminiUsage(msgspec.Struct, rename="camel"):
    prompt_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None


class _Feedback(msgspec.Struct, rename="camel"):
    block_reason: str | None = None


class _Response(msgspec.Struct, rename="camel"):
    candidates: list[_Candidate] | None = None
    usage_metadata: _GeminiUsage | None = None
    model_version: str | None = None
    prompt_feedback: _Feedback | None = None
    error: Any = None


_decode = msgspec.json.Decoder(_Response).decode


@dataclass(slots=True)
class GeminiAssembler(Assembler):
    """The end of the body is the protocol's only mark of the end."""

    _usage: _GeminiUsage = field(default_factory=_GeminiUsage)
    _finish_reason: str = ""
    _mean_logprob: float | None = None

    def feed(self, data: bytes) -> Iterator[Delta]:
        response = _decode(data)
        if response.error is not None:
            raise ProviderMalformed("the provider reported an error in its answer")
        self._usage = response.usage_metadata or self._usage
        self.model = response.model_version or self.model
        if response.prompt_feedback and response.prompt_feedback.block_reason:
            self._finish_reason = "SAFETY"
        for candidate in (response.candidates or ())[:1]:
            yield from self._candidate(candidate)

    def _candidate(self, candidate: _Candidate) -> Iterator[Delta]:
        self._finish_reason = candidate.finish_reason or self._finish_reason
        if isinstance(candidate.avg_logprobs, float):
            self._mean_logprob = candidate.avg_logprobs
        for part in (candidate.content and candidate.content.parts) or ():
            yield from self._part(part)

    def _part(self, part: _Part) -> Iterator[Delta]:
        if not part.thought:
            yield from self.say(part.text)
        if part.function_call:
            call, number = part.function_call, len(self.calls)
            arguments = bytes(call.args).decode()
            yield self.calls.begin(number, call.id or "", call.name, arguments)

    def finish(self) -> Answer:
        if not self._finish_reason:
            raise ProviderMalformed("the provider's answer broke off")
        usage, reason = self._usage, _FINISH.get(self._finish_reason, FinishReason.STOP)
        return self.assembled(
            FinishReason.TOOL_CALLS if self.calls else reason,
            usage.prompt_token_count,
            (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0),
            mean_logprob=self._mean_logprob,
        )


DIALECT: Dialect = Gemini()
