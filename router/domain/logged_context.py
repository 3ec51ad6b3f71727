"""Between the bandit's values and what is written down of them."""

from __future__ import annotations

import itertools
import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bandit.context.features import content_words
from bandit.types import Action, Context, PromptFacts, Vector
from router.domain.catalog import Plan
from router.domain.chat import ChatRequest, Format, Message, Role, TextPart
from router.domain.records import LoggedContext

Vector32: TypeAlias = NDArray[np.float32]

_GREATEST_HALF: Final = 65_504
MOST_MESSAGES: Final = 64
"""Messages, from the last one, among which those of the user are looked for."""
MOST_USER_TEXTS: Final = 4
MOST_SAID: Final = MOST_USER_TEXTS + 1
"""Texts of a conversation that are embedded, its system prompt among them."""
MOST_SYSTEM: Final = 8
LEAST_SYSTEM_WORDS: Final = 3
"""Content words of a system prompt that tells anything."""
_LEAST_NORM: Final = 1e-3
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


Priced: TypeAlias = tuple[tuple[str, float, float, float], ...]
"""`Choice.prices`."""


def action_of(plan: Plan, prices: Priced = ()) -> Action:
    """Returns the plan at the prices of a request, as far as they were logged."""
    for name, prior_usd, input_usd, ahead_usd in prices:
        if name == plan.name:
            return Action(name, prior_usd, input_usd, ahead_usd)
    return Action(plan.name, plan.prior_cost_usd)


def price_of(action: Action) -> tuple[str, float, float, float]:
    """Returns what is logged of an action that was priced for a request."""
    ahead_usd = action.input_usd if action.ahead_usd is None else action.ahead_usd
    return action.name, action.prior_cost_usd, action.input_usd, ahead_usd


def application_of(digest: str) -> int:
    """Returns the number of an application by its digest in hex; 0 for "", not known.

    >>> application_of("ffffffff01234567"), application_of("")
    (2147483647, 0)
    """
    return int(digest[:8], 16) & _MOST_APPLICATION if digest else 0


@dataclass(frozen=True, slots=True)
class SaidWeights:
    """How far the parts of a conversation tell what is asked.

    enough: content words of a user message that needs no other. own: the most that the last message
    with content has where there are others before it. system: weight of the system prompt beside
    all user messages together.
    """

    enough: int = 3
    own: float = 0.9
    system: float = 0.3


WEIGHTS: Final = SaidWeights()


Said: TypeAlias = tuple[tuple[str, float], ...]


def said_in(chat: ChatRequest, weights: SaidWeights = WEIGHTS) -> Said:
    """Returns what a conversation is about: texts to embed, and how much each of them weighs.

    The last user message comes first, then up to three before it, then the system prompt. A message
    weighs by its content words, those before share what it leaves: "yes, please" leaves all.
    """
    said, system = _users_said(chat.messages, weights), _system_text(chat.messages)
    if content_words(system, LEAST_SYSTEM_WORDS) >= LEAST_SYSTEM_WORDS:
        said.append((system, weights.system))
    return tuple(pair for i, pair in enumerate(said) if pair[1] or not i)


def _users_said(messages: Sequence[Message], weights: SaidWeights) -> list[tuple[str, float]]:
    users, said, left = _user_texts(messages), [], 1.0
    if len(users) == 1:
        return [(users[0], float(bool(users[0].strip())))]
    for text in users:
        content = (content_words(text, weights.enough) / weights.enough) ** 2
        said.append((text, left * content * weights.own))
        left -= said[-1][1]
    total = sum(weight for _, weight in said)
    return [(t, w / total) for t, w in said] if total else [(users[0], 1.0)]


def blended(parts: Sequence[tuple[Vector32 | None, float]]) -> Vector32:
    """Returns the weighted mean of unit vectors, of unit norm; None for one that is not known.

    A single one is returned as it is. The first must be known, and is returned where no other is.
    """
    known = [(vector, weight) for vector, weight in parts if vector is not None and weight]
    if not known:
        assert parts[0][0] is not None  # noqa: S101 - as above
        return parts[0][0]
    if len(known) == 1:
        return known[0][0]
    mean = np.sum([weight * vector for vector, weight in known], axis=0)
    norm = float(np.linalg.norm(mean))
    result: Vector32 = (mean / norm).astype(np.float32) if norm > _LEAST_NORM else known[0][0]
    return result


def _user_texts(messages: Sequence[Message]) -> list[str]:
    """Returns the last user messages, the newest first; what is read is bounded."""
    near = messages[-MOST_MESSAGES:]
    users = (message.text for message in reversed(near) if message.role is Role.USER)
    found = [next(users, "")]
    found += [text for text in users if text and not text.isspace()]
    return found[:MOST_USER_TEXTS]


def _system_text(messages: Sequence[Message]) -> str:
    head = itertools.takewhile(lambda message: message.role is Role.SYSTEM, messages[:MOST_SYSTEM])
    return "\n".join(message.text for message in head)


def facts_of(chat: ChatRequest, application: str = "") -> PromptFacts:
    """Returns what a context is made of besides the embedding. application: its digest."""
    messages, said = chat.messages, _users_said(chat.messages, WEIGHTS)
    last = _size(messages[-1]) if messages else 0
    results = [message for message in messages if message.role is Role.TOOL]
    return PromptFacts(
        text=_asking(said),
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


def _asking(said: Sequence[tuple[str, float]]) -> str:
    """Returns the user's words that weigh most, the later ones where two weigh as much."""
    return max(said, key=lambda pair: pair[1])[0]


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


def _rounded(*parts: Vector) -> Iterator[tuple[float, ...]]:
    """Yields each part `rounded`, all of them at once where none holds a huge number."""
    together = np.concatenate(parts)
    # The sum of the squares is no less than the greatest of them, and found sooner.
    if not together.dot(together) <= _GREATEST_HALF**2:
        yield from map(rounded, parts)
        return
    numbers, start = tuple(together.astype(np.float16).tolist()), 0
    for part in parts:
        yield numbers[start : start + len(part)]
        start += len(part)


def _rounded_unless_0(numbers: Vector) -> tuple[float, ...]:
    return rounded(numbers) if len(numbers) and numbers.any() else ()


def single(number: float) -> float:
    """Returns one of `singles`."""
    return singles(number)[0]


def singles(*numbers: float) -> list[float]:
    """Returns them to the seven digits of a single float, in which each is kept in four bytes.

    >>> singles(0.1, 0.5)
    [0.10000000149011612, 0.5]
    """
    return array("f", numbers).tolist()


def log_context(context: Context) -> LoggedContext:
    """Returns what is written down of a context, and learned: its numbers are rounded."""
    membership, projection, features = _rounded(
        context.membership, context.projection, context.features
    )
    return LoggedContext(
        membership=membership,
        projection=projection,
        features=features,
        version=context.version,
        conversation=_rounded_unless_0(context.conversation),
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
