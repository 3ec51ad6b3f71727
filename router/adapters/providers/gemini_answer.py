"""Answers of Gemini: whole, and put together from a stream, in the same form."""

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


class _Usage(msgspec.Struct, rename="camel"):
    prompt_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None


class _Feedback(msgspec.Struct, rename="camel"):
    block_reason: str | None = None


class _Response(msgspec.Struct, rename="camel"):
    candidates: list[_Candidate] | None = None
    usage_metadata: _Usage | None = None
    model_version: str | None = None
    prompt_feedback: _Feedback | None = None
    error: Any = None


_decode = msgspec.json.Decoder(_Response).decode


def read_answer(data: bytes, deployment: Deployment, chat: ChatRequest) -> Answer:
    """Raises ProviderMalformed or msgspec.DecodeError."""
    assembler = GeminiAssembler(deployment, chat)
    for _ in assembler.feed(data):
        pass
    return assembler.finish()


@dataclass(slots=True)
class GeminiAssembler:
    """Implements `Assembler`. The end of the body is the only mark of the end."""

    deployment: Deployment
    chat: ChatRequest
    ended: bool = False
    _text: list[str] = field(default_factory=list)
    _calls: Calls = field(init=False)
    _usage: _Usage = field(default_factory=_Usage)
    _finish_reason: str = ""
    _model: str = ""
    _mean_logprob: float | None = None

    def __post_init__(self) -> None:
        self._calls = Calls(self.chat)

    def feed(self, data: bytes) -> Iterator[Delta]:
        response = _decode(data)
        if response.error is not None:
            raise ProviderMalformed("the provider reported an error in its answer")
        self._usage = response.usage_metadata or self._usage
        self._model = response.model_version or self._model
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
        if part.text and not part.thought:
            self._text.append(part.text)
            yield TextDelta(part.text)
        if part.function_call:
            call, number = part.function_call, len(self._calls)
            arguments = bytes(call.args).decode()
            yield self._calls.begin(number, call.id or "", call.name, arguments)

    def finish(self) -> Answer:
        if not self._finish_reason:
            raise ProviderMalformed("the provider's answer broke off")
        text, calls = "".join(self._text), self._calls.whole()
        reason = _FINISH.get(self._finish_reason, FinishReason.STOP)
        return Answer(
            text=text,
            finish_reason=FinishReason.TOOL_CALLS if calls else reason,
            usage=usage_or_guess(
                self._usage.prompt_token_count,
                (self._usage.candidates_token_count or 0) + (self._usage.thoughts_token_count or 0),
                self.chat,
                text + self._calls.text,
            ),
            model=self._model or self.deployment.model,
            tool_calls=calls,
            mean_logprob=self._mean_logprob,
        )
