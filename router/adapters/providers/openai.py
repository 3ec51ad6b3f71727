"""OpenAI chat completions, the protocol most providers and local servers speak."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

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
    ResponseFormat,
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
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "tool_calls": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
    "content_filter": FinishReason.CONTENT_FILTER,
}


class OpenAI:
    """Implements `Dialect`."""

    def path(self, deployment: Deployment, *, stream: bool) -> str:
        del deployment, stream
        return "/chat/completions"

    def headers(self, key: str) -> Mapping[str, str]:
        return {"authorization": f"Bearer {key}"} if key else {}

    def body(self, deployment: Deployment, chat: ChatRequest, *, stream: bool) -> Json:
        sampling = chat.sampling
        body = given(
            model=deployment.model,
            messages=[_message(m) for m in chat.messages],
            tools=[_tool(t) for t in chat.tools],
            tool_choice=_tool_choice(chat),
            response_format=_format(chat.response_format),
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            stop=list(sampling.stop),
            seed=sampling.seed,
            logprobs=deployment.logprobs or None,
        )
        if sampling.max_output_tokens is not None:
            body[_limit_name(deployment)] = sampling.max_output_tokens
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return body

    def answer(self, body: Json, deployment: Deployment, chat: ChatRequest) -> Answer:
        choice, usage = body["choices"][0], body.get("usage") or {}
        message = choice["message"]
        text = message.get("content") or message.get("refusal") or ""
        calls = tuple(
            ToolCall(c["id"], c["function"]["name"], c["function"]["arguments"])
            for c in message.get("tool_calls") or ()
        )
        spoken = text + "".join(c.arguments for c in calls)
        return Answer(
            text=text,
            finish_reason=_FINISH.get(choice.get("finish_reason"), FinishReason.STOP),
            usage=usage_or_guess(
                usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0), chat, spoken
            ),
            model=str(body.get("model") or deployment.model),
            tool_calls=calls,
            mean_logprob=_mean(_logprobs(choice)),
            refusal=bool(message.get("refusal")),
        )

    def assembler(self, deployment: Deployment, chat: ChatRequest) -> _Assembler:
        return _Assembler(deployment, chat)


@dataclass(slots=True)
class _Assembler:
    deployment: Deployment
    chat: ChatRequest
    text: list[str] = field(default_factory=list)
    calls: dict[int, ToolCall] = field(default_factory=dict)
    logprobs: list[float] = field(default_factory=list)
    usage: Json = field(default_factory=dict)
    finish_reason: str = ""
    model: str = ""
    refusal: bool = False

    def feed(self, event: Json) -> Iterator[Delta]:
        if "error" in event:
            raise ProviderMalformed("the provider reported an error in mid-stream")
        self.model = event.get("model") or self.model
        self.usage = event.get("usage") or self.usage
        for choice in event.get("choices") or ():
            self.finish_reason = choice.get("finish_reason") or self.finish_reason
            self.logprobs += _logprobs(choice)
            yield from self._delta(choice.get("delta") or {})

    def _delta(self, delta: Json) -> Iterator[Delta]:
        self.refusal = self.refusal or bool(delta.get("refusal"))
        text = delta.get("content") or delta.get("refusal")
        if text:
            self.text.append(text)
            yield TextDelta(text)
        for piece in delta.get("tool_calls") or ():
            index, function = int(piece.get("index", 0)), piece.get("function") or {}
            before = self.calls.get(index, ToolCall("", "", ""))
            call_id, name = piece.get("id") or "", function.get("name") or ""
            arguments = function.get("arguments") or ""
            self.calls[index] = ToolCall(
                before.id or call_id, before.name or name, before.arguments + arguments
            )
            yield ToolCallDelta(index, call_id, name, arguments)

    def finish(self) -> Answer:
        if not self.finish_reason:
            raise ProviderMalformed("the provider's stream broke off")
        text = "".join(self.text)
        calls = tuple(self.calls[i] for i in sorted(self.calls))
        spoken = text + "".join(c.arguments for c in calls)
        return Answer(
            text=text,
            finish_reason=_FINISH.get(self.finish_reason, FinishReason.STOP),
            usage=usage_or_guess(
                self.usage.get("prompt_tokens", 0),
                self.usage.get("completion_tokens", 0),
                self.chat,
                spoken,
            ),
            model=self.model or self.deployment.model,
            tool_calls=calls,
            mean_logprob=_mean(self.logprobs),
            refusal=self.refusal,
        )


def _limit_name(deployment: Deployment) -> str:
    """OpenAI's reasoning models refuse the older name that other servers still need."""
    is_own = urlsplit(deployment.base_url).hostname == "api.openai.com"
    return "max_completion_tokens" if is_own else "max_tokens"


def _message(message: Message) -> Json:
    wire = given(role=message.role.value, tool_call_id=message.tool_call_id)
    if message.tool_calls:
        wire["tool_calls"] = [
            {
                "id": c.id,
                "type": "function",
                "function": {"name": c.name, "arguments": c.arguments},
            }
            for c in message.tool_calls
        ]
    if any(isinstance(part, ImagePart) for part in message.parts):
        wire["content"] = [_part(part) for part in message.parts]
    elif message.text or message.role is not Role.ASSISTANT:
        wire["content"] = message.text
    return wire


def _part(part: TextPart | ImagePart) -> Json:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    return {"type": "image_url", "image_url": given(url=part.url, detail=part.detail)}


def _tool(tool: Tool) -> Json:
    parameters = json.loads(tool.parameters) if tool.parameters else None
    function = given(name=tool.name, description=tool.description, parameters=parameters)
    return {"type": "function", "function": function}


def _tool_choice(chat: ChatRequest) -> Any:
    choice = chat.tool_choice
    if choice.name:
        return {"type": "function", "function": {"name": choice.name}}
    is_default = choice.mode is ToolMode.AUTO or not chat.tools
    return None if is_default else choice.mode.value


def _format(wanted: ResponseFormat) -> Json | None:
    if wanted.kind is Format.TEXT:
        return None
    if wanted.kind is Format.JSON_OBJECT:
        return {"type": "json_object"}
    schema = {"name": wanted.name, "schema": json.loads(wanted.schema), "strict": True}
    return {"type": "json_schema", "json_schema": schema}


def _logprobs(choice: Json) -> list[float]:
    content = (choice.get("logprobs") or {}).get("content") or ()
    return [float(token["logprob"]) for token in content]


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
