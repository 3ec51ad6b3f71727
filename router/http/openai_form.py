"""Writes answers, streams and errors in the form of OpenAI's chat completions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final

import msgspec

from router.domain import errors as e
from router.domain.chat import Answer, Delta, FinishReason, TextDelta, ToolCall, Usage
from router.domain.requests import Completion
from router.http.opaque import packed
from router.http.options import receipt
from router.http.status import OWN_FAULT, Problem, UnknownModel

Object = dict[str, Any]
_encode = msgspec.json.Encoder().encode
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

    def __init__(
        self, new_id: Callable[[], str], now_s: float, model: str, *, tells_usage: bool
    ) -> None:
        self._new_id = new_id
        self._now_s = int(now_s)
        self._model = model
        self._tells_usage = tells_usage
        self._is_begun = False
        self._id = ""

    def whole(self, done: Completion) -> Object:
        answer = done.answer
        choice = {
            "index": 0,
            "message": _message(answer),
            "logprobs": None,
            "finish_reason": FINISH[answer.finish_reason],
        }
        return {
            "id": f"chatcmpl-{done.record.id}",
            "object": "chat.completion",
            "created": self._now_s,
            "model": done.record.model or self._model,
            "choices": [choice],
            "usage": usage_of(answer.usage),
            "router": receipt(done.record, done.quota_left),
        }

    def delta(self, item: Delta) -> bytes:
        if isinstance(item, TextDelta):
            return self._chunk({"content": item.text})
        function: Object = {"arguments": item.arguments}
        call: Object = {"index": item.index, "function": function}
        if item.id:
            call |= {"id": item.id, "type": "function"}
        if item.name:
            function["name"] = item.name
        return self._chunk({"tool_calls": [call]})

    def end(self, done: Completion) -> bytes:
        told = {"router": receipt(done.record, done.quota_left)}
        finish = FINISH[done.answer.finish_reason]
        self._model = done.record.model or self._model
        carried = _carried(done.answer)
        if not self._tells_usage:
            return self._chunk(carried, finish, **told) + DONE
        usage = event(self._body([]) | {"usage": usage_of(done.answer.usage)} | told)
        return self._chunk(carried, finish) + usage + DONE

    def _chunk(self, delta: Object, finish: str | None = None, **more: object) -> bytes:
        if not self._is_begun:
            self._is_begun, self._id = True, f"chatcmpl-{self._new_id()}"
            delta = {"role": "assistant", "content": ""} | delta
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return event(self._body([choice]) | more)

    def _body(self, choices: list[Object]) -> Object:
        return {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._now_s,
            "model": self._model,
            "choices": choices,
        }


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


def usage_of(usage: Usage) -> Object:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }
