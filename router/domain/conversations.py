"""A conversation as it is recognised: by hashes of its messages, and what was served of it.

A request always ends right before an assistant message of the next one. So the hash of all of a
request's messages, under which its turn is kept, is one of the hashes that the next request has in
front of its last assistant messages: nobody has to name the conversation.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import msgspec

from router.domain import MS_PER_S
from router.domain.catalog import Deployment
from router.domain.chat import ChatRequest, Message, Role, TextPart, Usage
from router.domain.records import Attempt, AttemptOutcome

BOUNDARIES: Final = 4
"""Answers, the last ones in a request, before which an earlier one may have ended."""
MOST_SEEN: Final = 8
"""Deployments that a conversation's turn remembers, the newest."""
REMEMBER_S: Final = 3_600
_KEY_BYTES: Final = 16
_encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True)
class Seen:
    """Input tokens that a deployment reported for a prefix, and when, ms since the epoch."""

    tokens: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class Conversation:
    """What is known of the turns before a request; the default is a conversation that begins.

    seen: by deployment, what it last read of it. turns: answered so far, by whomever. first, last:
    deployments that answered the first and the last that are known. spent_usd, stay_usd: as in
    `TurnFacts`.
    """

    seen: tuple[tuple[str, Seen], ...] = ()
    turns: int = 0
    first: str = ""
    last: str = ""
    spent_usd: float = 0.0
    stay_usd: float = 0.0


@dataclass(frozen=True, slots=True)
class TurnKeys:
    """Hashes of a request's messages. own: of all of them, under which this turn is kept.

    earlier: up to each of the last answers, the longest first; the turns before are looked for
    under them. asking: how many of these answers follow the last question: they asked for tools.
    answers: how many there are in the request.
    """

    own: str = ""
    earlier: tuple[str, ...] = ()
    asking: int = 0
    answers: int = 0


def turn_keys(tenant: str, chat: ChatRequest) -> TurnKeys:
    """Returns the hashes of a request, in one walk over its messages.

    What a provider puts in front of the messages is a part of every hash, the tenant besides.
    """
    rolling = hashlib.blake2b(digest_size=_KEY_BYTES)
    rolling.update(_encode((tenant, chat.tools, chat.response_format)))
    answers, earlier = _answers(chat), list[str]()
    boundaries = [i for i in answers if i > 0][-BOUNDARIES:]
    for index, message in enumerate(chat.messages):
        if index in boundaries:
            earlier.append(_key(rolling.digest()))
        rolling.update(_encode(_hashed(message)))
    question = max((i for i, m in enumerate(chat.messages) if m.role is Role.USER), default=0)
    asking = sum(index > question for index in boundaries)
    return TurnKeys(_key(rolling.digest()), tuple(reversed(earlier)), asking, len(answers))


def _answers(chat: ChatRequest) -> list[int]:
    """Returns where the answers begin; some callers keep one in several messages."""
    roles = [None, *(message.role for message in chat.messages)]
    pairs = enumerate(pairwise(roles))
    return [i for i, (before, role) in pairs if role is Role.ASSISTANT and before is not role]


def _hashed(message: Message) -> tuple[object, ...]:
    """Returns what tells a message from another: callers may drop opaque parts, or trim texts."""
    parts = [
        part.text.strip() if isinstance(part, TextPart) else (part.url, part.detail)
        for part in message.content
    ]
    calls = [(call.id, call.name, call.arguments.strip()) for call in message.tool_calls]
    return message.role.value, [part for part in parts if part], calls, message.tool_call_id


def _key(digest: bytes) -> str:
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


def turn_number(conversation: Conversation, keys: TurnKeys) -> int:
    """Returns 1 for the first; answers in a history that is not known count as turns."""
    return 1 + (conversation.turns or keys.answers)


def application_digest(task: str, chat: ChatRequest) -> str:
    """Returns 16 hexadecimal digits for a label, or else for the system prompt; "" for neither."""
    told = ("task", task) if task else ("system", _system_prompt(chat))
    return hashlib.blake2b(_encode(told), digest_size=8).hexdigest() if told[1] else ""


def _system_prompt(chat: ChatRequest) -> str:
    """Returns the text of the system messages that a chat begins with."""
    texts = list[str]()
    for message in chat.messages:
        if message.role is not Role.SYSTEM:
            break
        texts.append(message.text.strip())
    return "\n".join(texts)


def warm_of(conversation: Conversation, deployment: Deployment, now_ms: int) -> int:
    """Returns the tokens of the conversation that a deployment's cache should hold."""
    seen = next((s for name, s in conversation.seen if name == deployment.name), None)
    return _warm(seen, deployment, now_ms)


def _warm(seen: Seen | None, deployment: Deployment, now_ms: int) -> int:
    if seen is None or seen.tokens < deployment.cache_least_tokens:
        return 0
    # What was read in the future is as old as nobody knows: a clock was set back.
    age_ms = abs(now_ms - seen.at_ms)
    return seen.tokens if age_ms < deployment.cache_ttl_s * MS_PER_S else 0


def warm_everywhere(
    conversation: Conversation, deployments: Sequence[Deployment], now_ms: int
) -> tuple[tuple[str, int], ...]:
    """Returns (deployment, tokens) where there are any, as `TurnFacts` has them."""
    if not conversation.seen:
        return ()
    found = ((d.name, warm_of(conversation, d, now_ms)) for d in deployments)
    return tuple((name, tokens) for name, tokens in found if tokens)


def ends_in_tool_results(chat: ChatRequest) -> bool:
    return chat.messages[-1].role is Role.TOOL


def after_turn(
    before: Conversation,
    deployment: Deployment,
    attempts: Sequence[Attempt],
    now_ms: int,
    *,
    number: int = 0,
    first: Deployment | None = None,
    remember_s: int = REMEMBER_S,
) -> Conversation:
    """Returns the conversation with one more turn.

    Args:
        before: The conversation as the request found it.
        deployment: The one whose answer was served.
        attempts: Every call of the turn, paid for and read by who was called.
        now_ms: When it was answered, since the epoch.
        number: `turn_number` of the turn; 0 for the one after those that are known.
        first: The deployment named by `before.first`; None where it is not configured any more.
        remember_s: How long what was read is carried along.

    """
    is_first = not before.turns
    baseline = deployment if is_first or first is None else first
    served = served_attempt(attempts, deployment.name)
    return Conversation(
        seen=_seen_after(before, attempts, now_ms, remember_s),
        turns=number or before.turns + 1,
        first=deployment.name if is_first else before.first,
        last=deployment.name,
        spent_usd=before.spent_usd + sum(a.cost_usd for a in attempts),
        stay_usd=before.stay_usd + _stay_usd(before, baseline, served, now_ms),
    )


def served_attempt(attempts: Sequence[Attempt], deployment: str) -> Attempt | None:
    """Returns the call whose answer was served; None where there was none."""
    own = (a for a in reversed(attempts) if a.deployment == deployment)
    return next((a for a in own if a.outcome is AttemptOutcome.ACCEPTED), None)


def _seen_after(
    before: Conversation, attempts: Sequence[Attempt], now_ms: int, remember_s: int
) -> tuple[tuple[str, Seen], ...]:
    """Returns who has read how much, the newest last. A guess is nobody's report."""
    reported = [a for a in attempts if a.input_tokens > 0 and not a.guessed]
    newest = {a.deployment: Seen(a.input_tokens, now_ms) for a in reported}
    oldest_ms = now_ms - remember_s * MS_PER_S
    carried = [
        (name, seen) for name, seen in before.seen if name not in newest and seen.at_ms > oldest_ms
    ]
    return (*carried, *newest.items())[-MOST_SEEN:]


def _stay_usd(
    before: Conversation, first: Deployment, served: Attempt | None, now_ms: int
) -> float:
    """Returns what the first deployment had charged for this turn, had it answered all of them."""
    if served is None:
        return 0.0
    if served.deployment == first.name and before.last in ("", first.name):
        return served.cost_usd
    warm = _warm(dict(before.seen).get(before.last), first, now_ms)
    cached = min(warm, served.input_tokens)
    writes = first.price.cache_write_usd_per_mtok is not None
    usage = Usage(
        served.input_tokens,
        served.output_tokens,
        cached_tokens=cached,
        written_tokens=served.input_tokens - cached if writes else 0,
        reasoning_tokens=served.reasoning_tokens,
    )
    return first.price.cost_usd(usage)
