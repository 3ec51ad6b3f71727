"""Between the bandit's values and what is written down of them."""

from __future__ import annotations

import re
from ctypes import c_float
from typing import Final

import numpy as np

from bandit.types import Action, Context, PromptFacts, Vector
from router.domain.catalog import Plan
from router.domain.chat import ChatRequest, Format, Message, Role, TextPart
from router.domain.records import LoggedContext

_GREATEST_HALF: Final = 65_504
_MOST_APPLICATION: Final = 0x7FFF_FFFF
_CHARS_PER_TOKEN: Final = 4
_READ_OF_RESULT: Final = 400
_FAILURE: Final = re.compile(
    r"^[\s\[(*#>-]{0,8}(?:error|fatal|failed|failure|traceback|exception|\w{1,40}(?:error|exception)\b|"
    r"(?:command|permission|access|file|module|page) (?:not found|denied))"
    r'|"(?:is_?error|failed)"\s{0,4}:\s{0,4}true'
    r'|"(?:ok|success)"\s{0,4}:\s{0,4}false'
    r'|"(?:error|exception|errors)"\s{0,4}:\s{0,4}(?!null|false|""|\[\s*\]|\{\s*\}|0\b)\S'
    r'|"status"\s{0,4}:\s{0,4}"?(?:error|failed|failure|[45]\d\d\b)'
    r"|\bTraceback \(most recent|\bexit (?:code|status):? ?[1-9]|No such file or directory",
    re.IGNORECASE,
)


def action_of(plan: Plan) -> Action:
    return Action(plan.name, plan.prior_cost_usd)


def application_of(digest: str) -> int:
    """Returns the number of an application by its digest in hex; 0 for "", not known.

    >>> application_of("ffffffff01234567"), application_of("")
    (2147483647, 0)
    """
    return int(digest[:8], 16) & _MOST_APPLICATION if digest else 0


def facts_of(chat: ChatRequest, application: str = "") -> PromptFacts:
    """Returns what a context is made of besides the embedding. application: its digest."""
    messages = chat.messages
    last = _size(messages[-1]) if messages else 0
    results = [message for message in messages if message.role is Role.TOOL]
    return PromptFacts(
        text=chat.prompt,
        turns=max(1, chat.turns),
        tools=len(chat.tools),
        wants_json=chat.response_format.kind is not Format.TEXT,
        other_tokens=(sum(map(_size, messages)) - last) / _CHARS_PER_TOKEN,
        last_tokens=last / _CHARS_PER_TOKEN,
        answers=sum(message.role is Role.ASSISTANT for message in messages),
        tool_results=len(results),
        tool_failed=bool(results) and _tells_failure(results[-1].text),
        images=chat.images,
        has_system=any(message.role is Role.SYSTEM for message in messages),
        output_limit=chat.sampling.max_output_tokens,
        application=application_of(application),
    )


def _size(message: Message) -> int:
    texts = sum(len(part.text) for part in message.parts if isinstance(part, TextPart))
    return texts + sum(len(call.arguments) for call in message.tool_calls)


def _tells_failure(result: str) -> bool:
    """Returns whether a tool's result says at its beginning that the call failed.

    >>> _tells_failure('{"error": "no such file"}'), _tells_failure('{"error": null, "rows": []}')
    (True, False)
    """
    return _FAILURE.search(result[:_READ_OF_RESULT]) is not None


def rounded(numbers: Vector) -> tuple[float, ...]:
    """Returns them to the three digits of a half float, in which they are kept in two bytes each.

    >>> rounded(np.array([0.1, -1.5])), rounded(np.array([70_000.0]))
    ((0.0999755859375, -1.5), (70000.0,))
    """
    if numbers.size and np.abs(numbers).max() > _GREATEST_HALF:
        return tuple(numbers.tolist())
    return tuple(numbers.astype(np.float16).tolist())


def single(number: float) -> float:
    """Returns it to the seven digits of a single float, in which it is kept in four bytes.

    >>> single(0.1)
    0.10000000149011612
    """
    return c_float(number).value


def log_context(context: Context) -> LoggedContext:
    """Returns what is written down of a context, and learned: its numbers are rounded."""
    return LoggedContext(
        membership=rounded(context.membership),
        projection=rounded(context.projection),
        features=rounded(context.features),
        version=context.version,
        conversation=rounded(context.conversation) if context.conversation.any() else (),
        application=context.application,
    )


def read_context(logged: LoggedContext) -> Context:
    return Context(
        membership=np.asarray(logged.membership),
        projection=np.asarray(logged.projection),
        features=np.asarray(logged.features),
        version=logged.version,
        conversation=np.asarray(logged.conversation, dtype=np.float64),
        application=logged.application,
    )
