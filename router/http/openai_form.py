"""Writes answers, streams and errors in the form of OpenAI's chat completions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final

import msgspec
from msgspec import UNSET

from router.domain import errors as e
from router.domain.chat import Answer, Beside, Delta, FinishReason, TextDelta, ToolCall, Usage
from router.domain.requests import Completion
from router.http.opaque import packed
from router.http.options import receipt
from router.http.status import OWN_FAULT, Problem, UnknownModel

Object = dict[str, Any]
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode
PROTOCOL: Final = "openai"
DONE: Final = b"data: [DONE]\n\n"
PING: Final = b": ping\n\n"
FINISH: Final = {
    FinishReason.STOP: "stop",
    FinishReason.LENGTH: "length",
    FinishReason.TOOL_CALLS: "tool_calls",
    FinishReason.CONTENT_FILTER: "content_filter",
}
CODES: Final[dict[type[e.RouterError], str]] = {
    UnknownModel: "model_not_found",
    e.PromptTooLong: "context_length_exceeded",
    e.ContextTooLong: "context_length_exceeded",
    e.ContentRefused: "content_policy_violation",
    e.Unauthenticated: "invalid_api_key",
}
TYPES: Final = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    500: "server_error",
}


def event(value: object) -> bytes:
    return b"data: " + _encode(value) + b"\n\n"


class OpenAiErrors:
    """Errors as OpenAI's APIs tell them."""

    def whole(self, problem: Problem) -> Object:
        status = problem.status
        default = "invalid_request_error" if status < OWN_FAULT else "server_error"
        return {
            "error": {
                "message": problem.message,
                "type": TYPES.get(status, default),
                "param": problem.field or None,
                "code": self._code(problem),
            }
        }

    def event(self, problem: Problem) -> bytes:
        return event(self.whole(problem))

    def _code(self, problem: Problem) -> str:
        known = (CODES[kind] for kind in problem.kind.__mro__ if kind in CODES)
        return next(known, problem.reason.lower())


class ChatCompletionWriter:
    """Writes one answer. tells_usage: a stream ends with a chunk of what was counted."""

    ping: ClassVar = PING
    errors: ClassVar = OpenAiErrors()

    def __init__(
        self, new_id: Callable[[], str], now_s: float, model: str, *, tells_usage: bool
    ) -> None:
        self._new_id = new_id
        self._now_s = int(now_s)
        self._model = model
        self._tells_usage = tells_usage
        self._is_begun = False
        self._own: Object = {}

    def whole(self, done: Completion) -> Object:
        answer, told = done.answer, beside_of(done)
        told, own = dict(told), dict((told.get("choices") or [{}])[0])
        message = own.pop("delta", {}) | _message(answer)
        choice = {"index": 0, "message": message, "logprobs": None}
        finish = {"finish_reason": FINISH[answer.finish_reason]}
        own_id = {"id": f"chatcmpl-{done.record.id}", "created": self._now_s}
        return (
            own_id
            | told
            | {
                "object": "chat.completion",
                "model": done.record.model or self._model,
                "choices": [choice | own | finish],
                "usage": usage_as_told(answer.usage, told),
                "router": receipt(done.record, done.quota_left),
            }
        )

    def delta(self, item: Delta) -> bytes:
        if isinstance(item, TextDelta):
            return self._chunk({"refusal" if item.refusal else "content": item.text})
        if isinstance(item, Beside):
            return self._beside(_decode(item.data)) if item.protocol == PROTOCOL else b""
        function: Object = {"arguments": item.arguments}
        call: Object = {"index": item.index, "function": function}
        if item.id:
            call |= {"id": item.id, "type": "function"}
        if item.name:
            function["name"] = item.name
        return self._chunk({"tool_calls": [call]})

    def _beside(self, told: Object) -> bytes:
        """Tell what the provider's stream held beside the words; what stands around them stays.

        Clients add up the usage of all chunks, so the last one alone has any.
        """
        choices = told.pop("choices", [])
        told.pop("usage", None)
        if self._is_begun:
            told.pop("id", None)
        self._own |= told
        return b"".join(self._chunk(own.pop("delta", {}), **own) for own in choices)

    def end(self, done: Completion) -> bytes:
        told = {"router": receipt(done.record, done.quota_left)}
        finish = FINISH[done.answer.finish_reason]
        self._model = done.record.model or self._model
        carried = _carried(done.answer)
        choice = self._choice(carried, finish_reason=finish)
        if not self._tells_usage:
            return event(self._body([choice]) | told) + DONE
        last = event(self._body([choice]))
        counted = usage_as_told(done.answer.usage, beside_of(done))
        usage = event(self._body([]) | {"usage": counted} | told)
        return last + usage + DONE

    def _chunk(self, delta: Object, /, **own: object) -> bytes:
        return event(self._body([self._choice(delta, **own)]))

    def _choice(self, delta: Object, /, **own: object) -> Object:
        if not self._is_begun:
            self._is_begun = True
            self._own = {"id": f"chatcmpl-{self._new_id()}", "created": self._now_s} | self._own
            delta = {"role": "assistant", "content": ""} | delta
        return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None} | own

    def _body(self, choices: list[Object]) -> Object:
        own = {"object": "chat.completion.chunk", "model": self._model, "choices": choices}
        return self._own | own


def _message(answer: Answer) -> Object:
    message: Object = {"role": "assistant", "content": answer.text or None, "refusal": None}
    if answer.refusal:
        message |= {"content": None, "refusal": answer.text}
    if answer.tool_calls:
        message["tool_calls"] = [_call(call) for call in answer.tool_calls]
    elif not answer.refusal:
        message["content"] = answer.text
    return message | _carried(answer)


def _carried(answer: Answer) -> Object:
    """Returns what a client hands back with the message, where there is any."""
    parts = [packed(part) for part in answer.opaque]
    return {"router_opaque": parts} if parts else {}


def _call(call: ToolCall) -> Object:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}


def beside_of(done: Completion) -> Object:
    """Returns what the provider's own answer held beyond text and calls; {} for no such answer."""
    told = done.answer.beside
    if told is UNSET or not told or told[0].protocol != PROTOCOL:
        return {}
    return _decode(told[0].data)


def usage_as_told(usage: Usage, told: Object) -> Object:
    """Returns the provider's own counts, with those that it left out."""
    own, counted = told.get("usage") or {}, usage_of(usage)
    for name, value in own.items():
        known = counted.get(name)
        both = isinstance(known, dict) and isinstance(value, dict)
        counted[name] = known | value if both else value
    return counted


def usage_of(usage: Usage) -> Object:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }
