"""Gemini generateContent and streamGenerateContent."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from router.adapters.providers.dialect import Json, given, usage_or_guess
from router.core.arms import Deployment
from router.core.chat import (
    Answer,
    ChatRequest,
    Delta,
    FinishReason,
    Format,
    ImagePart,
    Message,
    Part,
    Role,
    TextDelta,
    TextPart,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolMode,
)
from router.core.errors import ProviderMalformed

_FINISH = {
    "STOP": FinishReason.STOP,
    "MAX_TOKENS": FinishReason.LENGTH,
    "SAFETY": FinishReason.CONTENT_FILTER,
    "RECITATION": FinishReason.CONTENT_FILTER,
    "BLOCKLIST": FinishReason.CONTENT_FILTER,
    "PROHIBITED_CONTENT": FinishReason.CONTENT_FILTER,
    "SPII": FinishReason.CONTENT_FILTER,
}
_MODES = {ToolMode.AUTO: "AUTO", ToolMode.NONE: "NONE", ToolMode.REQUIRED: "ANY"}
JSON_TYPE = "application/json"


class Gemini:
    """Implements `Dialect`. The protocol has no ids for tool calls: they are numbered."""

    def path(self, deployment: Deployment, *, stream: bool) -> str:
        verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return f"/v1beta/models/{quote(deployment.model)}:{verb}"

    def headers(self, key: str) -> Mapping[str, str]:
        return {"x-goog-api-key": key} if key else {}

    def body(self, deployment: Deployment, chat: ChatRequest, *, stream: bool) -> Json:
        del deployment, stream
        system = "\n\n".join(m.text for m in chat.messages if m.role is Role.SYSTEM)
        names = {c.id: c.name for m in chat.messages for c in m.tool_calls}
        turns = [m for m in chat.messages if m.role is not Role.SYSTEM]
        declared = [_tool(t) for t in chat.tools]
        return given(
            systemInstruction={"parts": [{"text": system}]} if system else None,
            contents=[_content(m, names) for m in turns],
            tools=[{"functionDeclarations": declared}] if declared else None,
            toolConfig=_tool_config(chat),
            generationConfig=_config(chat) or None,
        )

    def answer(self, body: Json, deployment: Deployment, chat: ChatRequest) -> Answer:
        assembler = self.assembler(deployment, chat)
        for _ in assembler.feed(body):
            pass
        return assembler.finish()

    def assembler(self, deployment: Deployment, chat: ChatRequest) -> _Assembler:
        return _Assembler(deployment, chat)


@dataclass(slots=True)
class _Assembler:
    deployment: Deployment
    chat: ChatRequest
    text: list[str] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    usage: Json = field(default_factory=dict)
    finish_reason: str = ""
    model: str = ""
    mean_logprob: float | None = None

    def feed(self, event: Json) -> Iterator[Delta]:
        if "error" in event:
            raise ProviderMalformed("the provider reported an error in mid-stream")
        self.usage = event.get("usageMetadata") or self.usage
        self.model = event.get("modelVersion") or self.model
        if (event.get("promptFeedback") or {}).get("blockReason"):
            self.finish_reason = "SAFETY"
        for candidate in (event.get("candidates") or ())[:1]:
            self.finish_reason = candidate.get("finishReason") or self.finish_reason
            self.mean_logprob = candidate.get("avgLogprobs", self.mean_logprob)
            for part in (candidate.get("content") or {}).get("parts") or ():
                yield from self._part(part)

    def _part(self, part: Json) -> Iterator[Delta]:
        if part.get("thought"):
            return
        if part.get("text"):
            self.text.append(part["text"])
            yield TextDelta(part["text"])
        if "functionCall" in part:
            call, number = part["functionCall"], len(self.calls)
            arguments = json.dumps(call.get("args") or {})
            made = ToolCall(call.get("id") or f"call_{number}", call["name"], arguments)
            self.calls.append(made)
            yield ToolCallDelta(number, made.id, made.name, made.arguments)

    def finish(self) -> Answer:
        if not self.finish_reason:
            raise ProviderMalformed("the provider's answer broke off")
        text = "".join(self.text)
        reason = _FINISH.get(self.finish_reason, FinishReason.STOP)
        kinds = ("candidatesTokenCount", "thoughtsTokenCount")
        return Answer(
            text=text,
            finish_reason=FinishReason.TOOL_CALLS if self.calls else reason,
            usage=usage_or_guess(
                self.usage.get("promptTokenCount") or 0,
                sum(self.usage.get(kind) or 0 for kind in kinds),
                self.chat,
                text + "".join(c.arguments for c in self.calls),
            ),
            model=self.model or self.deployment.model,
            tool_calls=tuple(self.calls),
            mean_logprob=self.mean_logprob,
        )


def _content(message: Message, names: Mapping[str, str]) -> Json:
    if message.role is Role.TOOL:
        name = names.get(message.tool_call_id, message.tool_call_id)
        response = {"name": name, "response": {"result": message.text}}
        return {"role": "user", "parts": [{"functionResponse": response}]}
    calls = [
        {"functionCall": {"name": c.name, "args": json.loads(c.arguments or "{}")}}
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
