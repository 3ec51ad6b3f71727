"""Requests of callers and operators, their replies, and the keys of a request."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

import msgspec
from msgspec import UNSET

from router.domain.canonical import MOST_CHARS, canonical
from router.domain.catalog import Catalog
from router.domain.chat import Answer, ChatRequest, Delta, Format, Message, Role, TextPart
from router.domain.events import GainFound, PolicyChanged, PolicyCommand
from router.domain.records import (
    CacheKey,
    DecisionRecord,
    FeedbackReceipt,
    FeedbackReport,
    OutcomeReport,
)
from router.domain.tenants import QuotaLeft, Tenant

REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
TRACE_PARENT: Final = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}.*")


def known_request_id(given: str) -> str:
    """Returns a caller's id of its request; "" for one that is long or no plain word.

    >>> known_request_id("req-7"), known_request_id("a b")
    ('req-7', '')
    """
    return given if REQUEST_ID.fullmatch(given) else ""


def known_trace_id(given: str) -> str:
    """Returns the trace that a `traceparent` names, "" where it names none.

    >>> known_trace_id("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    '0af7651916cd43dd8448eb211c80319c'
    """
    found = TRACE_PARENT.fullmatch(given)
    return found[1] if found else ""


@dataclass(frozen=True, slots=True)
class WeightOverrides:
    """None keeps the policy's weight."""

    quality: float | None = None
    cost: float | None = None
    latency: float | None = None
    failure: float | None = None


@dataclass(frozen=True, slots=True)
class RoutingOptions:
    """Empty or None means no wish; see `RoutingOptions` in the contract."""

    arm: str = ""
    max_cost_usd: float | None = None
    max_latency_ms: float | None = None
    weights: WeightOverrides = field(default_factory=WeightOverrides)
    session_id: str = ""
    idempotency_key: str = ""
    no_cache: bool = False


@dataclass(frozen=True, slots=True)
class RouteRequest:
    """A chat to route. deadline_s: seconds since the epoch, None for none.

    task: the caller's label of what asks, "" for none. plan: the only one that may answer, "" for
    any. no_evidence: no other arm is asked the same for evidence. They stand beside the options,
    whose digest goes with an idempotency key.
    """

    tenant: Tenant
    chat: ChatRequest
    options: RoutingOptions = field(default_factory=RoutingOptions)
    deadline_s: float | None = None
    task: str = ""
    plan: str = ""
    no_evidence: bool = False


@dataclass(frozen=True, slots=True)
class Completion:
    answer: Answer
    record: DecisionRecord
    quota_left: QuotaLeft


@dataclass(frozen=True, slots=True)
class Directive:
    """The deployment that a caller of `Decide` is to call first, then the arms down the rungs."""

    record: DecisionRecord
    rungs: tuple[str, ...]
    quota_left: QuotaLeft


@dataclass(frozen=True, slots=True)
class OutcomeReceipt:
    already_recorded: bool
    cost_usd: float


class Service(Protocol):
    """The use cases, as the outside sees them. Every method raises RouterError only."""

    @property
    def catalog(self) -> Catalog:
        """The arms and plans that answer."""
        ...

    async def authenticate(self, api_key: str) -> Tenant:
        """Raises Unauthenticated."""
        ...

    async def complete(self, request: RouteRequest) -> Completion: ...

    def stream(self, request: RouteRequest) -> AsyncGenerator[Delta | Completion]:
        """Deltas, then the Completion as the last item; closing it cancels the upstream request."""
        ...

    async def decide(self, request: RouteRequest) -> Directive: ...

    async def report_outcome(
        self, tenant: Tenant, decision_id: str, report: OutcomeReport
    ) -> OutcomeReceipt: ...

    async def feedback(self, tenant: Tenant, decision_id: str, report: FeedbackReport) -> bool:
        """True when the same value had been recorded before."""
        ...

    async def session_feedback(
        self, tenant: Tenant, session_id: str, report: FeedbackReport
    ) -> FeedbackReceipt:
        """Credit every decision of a session alike."""
        ...

    async def decision(self, tenant: Tenant, decision_id: str) -> DecisionRecord: ...


class Live(Protocol):
    """Points at the service that answers now; after a reload it points at another."""

    @property
    def service(self) -> Service: ...


@dataclass(frozen=True, slots=True)
class EvidenceListing:
    """Evidence known and bought; see `Evidence` in the contract. outlook: why it is bought or not.

    gold: scored answers that callers judged too. budget_usd: of a day, 0 where none is bought.
    """

    prompts: int
    gold: int
    spent_usd: float
    worth_usd: float
    spent_today_usd: float
    budget_usd: float
    outlook: str


@dataclass(frozen=True, slots=True)
class PolicyListing:
    """The policies. kinds: policy name by member, in config order. found: gains of challengers.

    version: of the snapshot that says so, 0 where there is none yet. changes: newest first.
    evidence: None where none is known or bought.
    """

    kinds: Mapping[str, str]
    champion: str
    previous: str
    version: int
    found: Sequence[GainFound]
    changes: Sequence[PolicyChanged]
    evidence: EvidenceListing | None = None


class Administration(Protocol):
    """Every method raises RouterError only."""

    async def policies(self) -> PolicyListing: ...

    async def command(
        self, command: PolicyCommand, wait_s: float
    ) -> tuple[str, PolicyChanged | None]:
        """Position of the command in the log, and what came of it; None when nothing did in time.

        Raises PolicyUnknown.
        """
        ...


_encode = msgspec.msgpack.Encoder(order="deterministic").encode


TRAILING: Final = " \t\r\n"
"""White space that makes no other request where it ends the last user message."""


def cache_key(
    tenant: str, chat: ChatRequest, weights: WeightOverrides | None = None, scope: str = ""
) -> CacheKey:
    """Keys of a request; hashes only, so no prompt text stands in a key.

    weights: who asks for others is answered by other arms, so they tell requests apart.
    scope: of the tenant, its name if empty.
    """
    scope = scope or tenant
    plain = canonical(chat.prompt) if is_prose(chat) else None
    chat, *extras = _told(chat)
    rest = replace(chat, messages=_without_prompt(chat.messages))
    weighed = [*extras, *(() if weights in (None, WeightOverrides()) else (weights,))]
    return CacheKey(
        tenant=tenant,
        exact=_digest(scope, _trimmed(chat), *weighed),
        partition="" if plain is None else _digest(scope, rest, plain, *weighed),
        prompt=prompt_digest(tenant, chat.prompt),
    )


def prompt_digest(tenant: str, prompt: str) -> str:
    """Returns the digest by which a tenant's answers to a prompt are found again."""
    return _digest(tenant, prompt.rstrip(TRAILING))


def _trimmed(chat: ChatRequest) -> ChatRequest:
    """Returns the chat without white space at the end of its last user message."""
    index = _last_user(chat.messages)
    last = chat.messages[index].parts[-1:] if index >= 0 else ()
    if not last or not isinstance(last[0], TextPart) or last[0].text[-1:] not in TRAILING:
        return chat
    message = chat.messages[index]
    parts = (*message.parts[:-1], TextPart(last[0].text.rstrip(TRAILING)))
    trimmed = replace(message, parts=parts)
    return replace(chat, messages=(*chat.messages[:index], trimmed, *chat.messages[index + 1 :]))


def _last_user(messages: Sequence[Message]) -> int:
    """Returns the index of the last user message, -1 where there is none."""
    return max((i for i, m in enumerate(messages) if m.role is Role.USER), default=-1)


def request_digest(chat: ChatRequest, *more: object) -> str:
    """Returns the digest that two requests with one idempotency key must share."""
    return _digest(*_told(chat), *more)


def _told(chat: ChatRequest) -> tuple[Any, ...]:
    """Returns what tells a chat from others: its form at the door is not a part of it."""
    if chat.original is UNSET:
        return (chat,)
    bare = replace(chat, original=UNSET)
    if not chat.original.extras and not chat.original.headers:
        return (bare,)
    return bare, (chat.original.protocol, chat.original.extras, chat.original.headers)


def _without_prompt(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    index = _last_user(messages)
    blank = (
        replace(m, parts=tuple(p for p in m.parts if not hasattr(p, "text"))) if i == index else m
        for i, m in enumerate(messages)
    )
    return tuple(blank)


def _digest(*values: object) -> str:
    return hashlib.blake2b(_encode(values), digest_size=20).hexdigest()


_CODE = re.compile(
    r"[`{}<>\\|;^~]|\w\(|[=!]=|\w=|\w_\w|://|&&"  # code
    r"|^(?:\t| {2,})\S"  # indented
    r"|(?:^|\s)(?:--?[A-Za-z]|[.~]*/\w|[$#>%] \S)"  # options, paths and prompts of a shell
    r"|^\s*(?:sudo|rm|cd|ls|cp|mv|chmod|grep|sed|curl|git|docker|kubectl|npm|pip|apt|ssh) "
    r"|^\s*(?:def|class|import|return|const|func|fn|#include) |^\s*(?:at|File) [\w.\"]+[,:/]"
    r"|\b(?:SELECT|INSERT INTO|DELETE FROM|UPDATE \w+ SET)\b"
    r"|Traceback|\w(?:Error|Exception)\b|\bpanic: |\bexit (?:code|status) \d",
    re.MULTILINE,
)


def is_prose(chat: ChatRequest) -> bool:
    """Returns whether another wording may be answered alike: a question in words, for a reader.

    Tools and JSON are read by programs, and in code one sign decides.

    >>> def asked(text): return is_prose(ChatRequest((Message(Role.USER, (TextPart(text),)),)))
    >>> asked("What is the capital of Norway?"), asked("rm -rf ./build"), asked("x" * 501)
    (True, False, False)
    """
    if chat.tools or chat.response_format.kind is not Format.TEXT:
        return False
    if any(m.role is Role.TOOL or m.tool_calls for m in chat.messages):
        return False
    prompt = chat.prompt
    return len(prompt) <= MOST_CHARS and not _CODE.search(prompt)
