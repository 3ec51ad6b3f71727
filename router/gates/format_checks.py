"""The first gate on an answer: what can be told from the answer itself, without another model."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from annotated_types import Le

from router.domain.chat import Answer, ChatRequest, FinishReason, Format, ToolMode
from router.domain.errors import Overloaded
from router.domain.records import UNJUDGED
from router.runtime.fair_queue import CheckPool
from router.runtime.json_schema import SchemaCheck

PASSED = ""
REFUSAL_HEAD_CHARS = 200
QUICK_CHARACTERS = 8_000
_REFUSAL = re.compile(
    r"\b(i['\u2019]m sorry,? but|i (can['\u2019]?t|cannot|can not|am unable to|won['\u2019]t) "
    r"(help|assist|comply|provide|answer|do that|fulfil)|as an ai\b|i do not feel comfortable)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class FormatCheckSettings:
    """The checks between two rungs of every plan."""

    refusals: bool = True
    """Escalate an answer that reads like a refusal."""
    min_mean_logprob: Annotated[float, Le(0)] | None = None
    """Escalate an answer whose mean log-probability (natural) is lower; unset: no check."""


def judge(chat: ChatRequest, answer: Answer, settings: FormatCheckSettings) -> str:
    """Why the answer is too weak to be served from a rung that has another above it.

    "" when it passes, else: empty | refusal | filtered | cut_off | tool_call_missing |
    tool_call_invalid | json_invalid | schema_mismatch | low_logprob. What would take too
    long to check does not match its schema.
    """
    return (
        _by_ending(chat, answer, settings)
        or _by_tools(chat, answer)
        or _by_format(chat, answer)
        or _by_logprob(answer, settings)
    )


async def judge_aside(
    checks: CheckPool, tenant: str, chat: ChatRequest, answer: Answer, settings: FormatCheckSettings
) -> str:
    """Judge on a thread where that may take more than a moment; UNJUDGED where it has no room."""
    check = partial(judge, chat, answer, settings)
    if not _takes_time(chat, answer):
        return check()
    try:
        return await checks.run(tenant, check)
    except Overloaded:
        return UNJUDGED


def _takes_time(chat: ChatRequest, answer: Answer) -> bool:
    """True with a schema, since a small one can take many steps, and with much JSON."""
    if any(tool.parameters for tool in chat.tools) and answer.tool_calls:
        return True
    texts = [call.arguments for call in answer.tool_calls]
    if chat.response_format.kind is not Format.TEXT:
        texts.append(answer.text)
    return bool(chat.response_format.schema) or sum(map(len, texts)) > QUICK_CHARACTERS


def _by_ending(chat: ChatRequest, answer: Answer, settings: FormatCheckSettings) -> str:
    if answer.finish_reason is FinishReason.CONTENT_FILTER:
        return "filtered"
    # A caller's own token limit cuts every arm off alike: escalating would only cost more.
    if answer.finish_reason is FinishReason.LENGTH and chat.sampling.max_output_tokens is None:
        return "cut_off"
    if not answer.text.strip() and not answer.tool_calls:
        return "empty"
    if settings.refusals and (answer.refusal or _REFUSAL.search(answer.text[:REFUSAL_HEAD_CHARS])):
        return "refusal"
    return PASSED


def _by_tools(chat: ChatRequest, answer: Answer) -> str:
    if not answer.tool_calls:
        return "tool_call_missing" if chat.tool_choice.mode is ToolMode.REQUIRED else PASSED
    tools, check = {tool.name: tool for tool in chat.tools}, SchemaCheck()
    for call in answer.tool_calls:
        arguments = _parse(call.arguments or "{}")
        if call.name not in tools or not isinstance(arguments, dict):
            return "tool_call_invalid"
        if not check.matches(arguments, tools[call.name].parameters):
            return "tool_call_invalid"
    return PASSED


def _by_format(chat: ChatRequest, answer: Answer) -> str:
    kind = chat.response_format.kind
    if kind is Format.TEXT or answer.tool_calls:
        return PASSED
    value = _parse(answer.text)
    if value is _INVALID or (kind is Format.JSON_OBJECT and not isinstance(value, dict)):
        return "json_invalid"
    return (
        PASSED if SchemaCheck().matches(value, chat.response_format.schema) else "schema_mismatch"
    )


def _by_logprob(answer: Answer, settings: FormatCheckSettings) -> str:
    floor, mean = settings.min_mean_logprob, answer.mean_logprob
    return "low_logprob" if floor is not None and mean is not None and mean < floor else PASSED


_INVALID = object()


def _no_json(name: str) -> None:
    """Refuse NaN and Infinity, which the standard library takes and callers' parsers do not."""
    raise ValueError(name)


def _parse(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_json)
    except (ValueError, RecursionError):
        return _INVALID
