"""OpenAI chat completions, the protocol most providers and local servers speak."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import msgspec

from router.adapters.providers.dialect import Assembler, Dialect, Json, given
from router.domain.catalog import Deployment
from router.domain.chat import (
    Answer,
    ChatRequest,
    Delta,
    FinishReason,
    Format,
    ImagePart,
    Message,
    ResponseFormat,
    Role,
    TextPart,
    Tool,
    ToolMode,
)
from router.domain.errors import ProviderMalformed


class OpenAI:
    """Translates to and from chat completions."""

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

    def answer(self, data: bytes, deployment: Deployment, chat: ChatRequest) -> Answer:
        completion, assembler = _decode(data), OpenAIAssembler(deployment, chat)
        if not completion.choices or completion.choices[0].message is None:
            raise ProviderMalformed("the provider's answer holds no message")
        for _ in assembler.add(completion):
            pass
        # Whole as it is, it needs no mark of its end.
        assembler.finish_reason = assembler.finish_reason or "stop"
        return assembler.finish()

    def assembler(self, deployment: Deployment, chat: ChatRequest) -> OpenAIAssembler:
        return OpenAIAssembler(deployment, chat)


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
        wire["content"] = [_part(part) for part in message.content]
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
    schema = json.loads(wanted.schema)
    named = {"name": wanted.name, "schema": schema, "strict": _is_closed(schema)}
    return {"type": "json_schema", "json_schema": named}


def _is_closed(schema: Any) -> bool:
    """Strict mode takes only objects that require every property and allow no other."""
    if isinstance(schema, list):
        return all(map(_is_closed, schema))
    if not isinstance(schema, dict):
        return True
    if schema.get("type") == "object" or "properties" in schema:
        names, required = schema.get("properties") or {}, schema.get("required") or ()
        if schema.get("additionalProperties") is not False or {*required} != {*names}:
            return False
    return all(map(_is_closed, schema.values()))


DONE = b"[DONE]"
_FINISH = {
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "tool_calls": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
    "content_filter": FinishReason.CONTENT_FILTER,
}


class _Function(msgspec.Struct):
    """arguments: JSON text; some servers send the object itself."""

    name: str | None = None
    arguments: str | dict[str, Any] | None = None

    def text(self) -> str:
        if isinstance(self.arguments, dict):
            return msgspec.json.encode(self.arguments).decode()
        return self.arguments or ""


class _CallPiece(msgspec.Struct):
    function: _Function
    index: int | None = None
    id: str | None = None


class _ChatMessage(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[_CallPiece] | None = None


class _Token(msgspec.Struct):
    logprob: float


class _Logprobs(msgspec.Struct):
    content: list[_Token] | None = None


class _Choice(msgspec.Struct):
    """message: of a whole answer; delta: of a piece."""

    message: _ChatMessage | None = None
    delta: _ChatMessage | None = None
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _OpenAIUsage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None

    def output_tokens(self) -> int:
        """Some servers count hidden reasoning in the total only."""
        total, prompt = self.total_tokens or 0, self.prompt_tokens or 0
        return max(self.completion_tokens or 0, total - prompt if total > prompt > 0 else 0)


class _Completion(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: _OpenAIUsage | None = None
    model: str | None = None
    error: Any = None


_decode = msgspec.json.Decoder(_Completion).decode


@dataclass(slots=True)
class OpenAIAssembler(Assembler):
    finish_reason: str = ""
    _logprobs: list[float] = field(default_factory=list)
    _usage: _OpenAIUsage = field(default_factory=_OpenAIUsage)
    _refusal: bool = False

    def feed(self, data: bytes) -> Iterator[Delta]:
        if data == DONE:
            self.ended = True
            return
        yield from self.add(_decode(data))

    def add(self, completion: _Completion) -> Iterator[Delta]:
        if completion.error is not None:
            raise ProviderMalformed("the provider reported an error in its answer")
        self.model = completion.model or self.model
        self._usage = completion.usage or self._usage
        for choice in (completion.choices or ())[:1]:
            self.finish_reason = choice.finish_reason or self.finish_reason
            if choice.logprobs and choice.logprobs.content:
                self._logprobs += [token.logprob for token in choice.logprobs.content]
            yield from self._message(choice.message or choice.delta or _ChatMessage())

    def _message(self, message: _ChatMessage) -> Iterator[Delta]:
        self._refusal = self._refusal or bool(message.refusal)
        yield from self.say(message.content or message.refusal)
        for call in message.tool_calls or ():
            yield self._call(call)

    def _call(self, call: _CallPiece) -> Delta:
        index = self._index(call)
        if index in self.calls:
            return self.calls.proceed(index, call.function.text())
        return self.calls.begin(
            index, call.id or "", call.function.name or "", call.function.text()
        )

    def _index(self, call: _CallPiece) -> int:
        """Returns the call's index; without one, an id or a name begins the next call."""
        if call.index is not None:
            return call.index
        begins = call.id or call.function.name or not self.calls
        return len(self.calls) - (0 if begins else 1)

    def finish(self) -> Answer:
        if not self.finish_reason:
            raise ProviderMalformed("the provider's stream broke off")
        logprobs = self._logprobs
        return self.assembled(
            _FINISH.get(self.finish_reason, FinishReason.STOP),
            self._usage.prompt_tokens,
            self._usage.output_tokens(),
            mean_logprob=sum(logprobs) / len(logprobs) if logprobs else None,
            refusal=self._refusal,
        )


DIALECT: Dialect = OpenAI()
