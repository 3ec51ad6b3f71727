"""Answers of OpenAI chat completions: whole, and put together from a stream."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from router.adapters.providers.calls import Calls
from router.adapters.providers.dialect import usage_or_guess
from router.domain.catalog import Deployment
from router.domain.chat import Answer, ChatRequest, Delta, FinishReason, TextDelta
from router.domain.errors import ProviderMalformed

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


class _Call(msgspec.Struct):
    function: _Function
    index: int | None = None
    id: str | None = None


class _Message(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None


class _Token(msgspec.Struct):
    logprob: float


class _Logprobs(msgspec.Struct):
    content: list[_Token] | None = None


class _Choice(msgspec.Struct):
    """message: of a whole answer; delta: of a piece."""

    message: _Message | None = None
    delta: _Message | None = None
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None

    def output_tokens(self) -> int:
        """Some servers count hidden reasoning in the total only."""
        total, prompt = self.total_tokens or 0, self.prompt_tokens or 0
        return max(self.completion_tokens or 0, total - prompt if total > prompt > 0 else 0)


class _Completion(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    model: str | None = None
    error: Any = None


_decode = msgspec.json.Decoder(_Completion).decode


def read_answer(data: bytes, deployment: Deployment, chat: ChatRequest) -> Answer:
    """Raises ProviderMalformed or msgspec.DecodeError."""
    completion, assembler = _decode(data), OpenAIAssembler(deployment, chat)
    if not completion.choices or completion.choices[0].message is None:
        raise ProviderMalformed("the provider's answer holds no message")
    for _ in assembler.add(completion):
        pass
    # Whole as it is, it needs no mark of its end.
    assembler.finish_reason = assembler.finish_reason or "stop"
    return assembler.finish()


@dataclass(slots=True)
class OpenAIAssembler:
    """Implements `Assembler`."""

    deployment: Deployment
    chat: ChatRequest
    ended: bool = False
    finish_reason: str = ""
    _text: list[str] = field(default_factory=list)
    _calls: Calls = field(init=False)
    _logprobs: list[float] = field(default_factory=list)
    _usage: _Usage = field(default_factory=_Usage)
    _model: str = ""
    _refusal: bool = False

    def __post_init__(self) -> None:
        self._calls = Calls(self.chat)

    def feed(self, data: bytes) -> Iterator[Delta]:
        if data == DONE:
            self.ended = True
            return
        yield from self.add(_decode(data))

    def add(self, completion: _Completion) -> Iterator[Delta]:
        if completion.error is not None:
            raise ProviderMalformed("the provider reported an error in its answer")
        self._model = completion.model or self._model
        self._usage = completion.usage or self._usage
        for choice in (completion.choices or ())[:1]:
            self.finish_reason = choice.finish_reason or self.finish_reason
            if choice.logprobs and choice.logprobs.content:
                self._logprobs += [token.logprob for token in choice.logprobs.content]
            yield from self._message(choice.message or choice.delta or _Message())

    def _message(self, message: _Message) -> Iterator[Delta]:
        self._refusal = self._refusal or bool(message.refusal)
        text = message.content or message.refusal
        if text:
            self._text.append(text)
            yield TextDelta(text)
        for call in message.tool_calls or ():
            yield self._call(call)

    def _call(self, call: _Call) -> Delta:
        index = self._index(call)
        if index in self._calls:
            return self._calls.proceed(index, call.function.text())
        return self._calls.begin(
            index, call.id or "", call.function.name or "", call.function.text()
        )

    def _index(self, call: _Call) -> int:
        """Where a server gives no index, an id or a name begins the next call."""
        if call.index is not None:
            return call.index
        begins = call.id or call.function.name or not self._calls
        return len(self._calls) - (0 if begins else 1)

    def finish(self) -> Answer:
        if not self.finish_reason:
            raise ProviderMalformed("the provider's stream broke off")
        text = "".join(self._text)
        return Answer(
            text=text,
            finish_reason=_FINISH.get(self.finish_reason, FinishReason.STOP),
            usage=usage_or_guess(
                self._usage.prompt_tokens,
                self._usage.output_tokens(),
                self.chat,
                text + self._calls.text,
            ),
            model=self._model or self.deployment.model,
            tool_calls=self._calls.whole(),
            mean_logprob=_mean(self._logprobs),
            refusal=self._refusal,
        )


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
