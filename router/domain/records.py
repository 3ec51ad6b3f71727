"""Records of a decision, of a cached answer and of a session."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from bandit.gates import Step
from router.domain.catalog import Price
from router.domain.chat import Answer, Usage


class Mode(StrEnum):
    COMPLETE = "complete"
    STREAM = "stream"
    DECIDE = "decide"


class AttemptOutcome(StrEnum):
    ACCEPTED = "accepted"
    ESCALATED = "escalated"
    SECOND_OPINION = "second_opinion"
    FAILED = "failed"
    CANCELLED = "cancelled"


BASE = "policy"
"""The member that the config's section `policy` describes; the others are its challengers."""

OWN = "own"
"""A policy of the tenant's own, which began as a copy of that one: no evidence for challengers."""

JUDGED = "judged"
"""Why an answer that passed the certain checks was not served."""

MOST_OF_SESSION = 256
"""The newest decisions of a session that feedback on it credits."""

UNJUDGED = "unjudged"
"""Why another one was not: its judging was cut off."""


class CacheStatus(StrEnum):
    MISS = "miss"
    EXACT = "exact"
    SEMANTIC = "semantic"
    BYPASS = "bypass"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call of one deployment. why: a gate's verdict or a ProviderError's reason.

    agrees: whether its closed answer equals the one that was served; None where that can't be
    told, and for the served one itself.
    guessed: the provider did not count all tokens, so that they and the cost are guesses. heard:
    such an attempt ended in the middle of its stream.
    cached_tokens, written_tokens, reasoning_tokens: as in `Usage`. input_usd: part of the cost.
    """

    arm: str
    deployment: str
    model: str
    outcome: AttemptOutcome
    why: str
    latency_ms: float
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    agrees: bool | None = None
    guessed: bool = False
    heard: bool = False
    cached_tokens: int = 0
    written_tokens: int = 0
    reasoning_tokens: int = 0
    input_usd: float = 0.0

    def charged(self, usage: Usage, price: Price | None) -> Attempt:
        """Returns the attempt with its tokens and their cost. price: None where it is not known."""
        return replace(
            self,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cost_usd=price.cost_usd(usage) if price else 0.0,
            guessed=usage.guessed,
            cached_tokens=usage.cached_tokens,
            written_tokens=usage.written_tokens,
            reasoning_tokens=usage.reasoning_tokens,
            input_usd=price.input_cost_usd(usage) if price else 0.0,
        )


@dataclass(frozen=True, slots=True)
class WeightSet:
    """Mirror of the bandit's weights, as logged."""

    quality: float
    cost: float
    latency: float
    failure: float


@dataclass(frozen=True, slots=True)
class LoggedContext:
    """The projected context, never the prompt.

    conversation: features of the whole request. application: a hash of it, 0 for none. Both are
    empty in records of earlier versions.
    """

    membership: tuple[float, ...]
    projection: tuple[float, ...]
    features: tuple[float, ...]
    version: str
    conversation: tuple[float, ...] = ()
    application: int = 0


@dataclass(frozen=True, slots=True)
class Observation:
    """The choice that the policy would have made where it only watched.

    plan: drawn from probabilities, (plan, probability) of all it would have chosen among.
    """

    plan: str
    probabilities: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """The bandit's part of a decision.

    probabilities: (plan, probability) of every eligible plan; sums to 1. Where the policy only
    watched, the caller's plan has 1 and all others 0.
    expected: (plan, quality, cost_usd, utility) posterior means, the reason for the choice.
    member: who served among the policy of the config and its challengers.
    prices: (plan, prior_usd, input_usd, ahead_usd) of this request, see `bandit.Action`; empty in
    records of earlier versions, where a plan's prior was one number for every request.
    turns_ahead: further turns that were expected of the conversation.
    """

    plan: str
    propensity: float
    explored: bool
    probabilities: tuple[tuple[str, float], ...]
    policy: str
    policy_version: int
    weights: WeightSet
    context: LoggedContext
    expected: tuple[tuple[str, float, float, float], ...] = ()
    observed: Observation | None = None
    member: str = BASE
    prices: tuple[tuple[str, float, float, float], ...] = ()
    turns_ahead: float = 0.0


class Judge(StrEnum):
    """The part that chose a step."""

    GATE = "gate"
    VERIFIER = "verifier"
    PROMISE = "promise"


@dataclass(frozen=True, slots=True)
class StepTaken:
    """One choice after an answer.

    probabilities: (step, probability) of every eligible step; sums to 1.
    score: what the gate held for the probability that what would be accepted is good.
    instead: what the gate had chosen, where a promise did not permit it.
    """

    step: Step
    propensity: float
    probabilities: tuple[tuple[Step, float], ...]
    score: float
    by: Judge = Judge.GATE
    instead: Step | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """The signals that a plan's gate read off the answers and its choices, never their text.

    signals, second_signals: of the first answer and the second opinion; the latter is empty where
    none came. second_usd, strong_usd: the price priors it reckoned with, None for no such step;
    strong_input_usd: the part of the latter that was known before the call.
    verified: what the caller's verifier said of the first answer.
    """

    gate: str
    version: str
    signals: tuple[float, ...]
    steps: tuple[StepTaken, ...]
    second_signals: tuple[float, ...] = ()
    agreement: float | None = None
    second_usd: float | None = None
    strong_usd: float | None = None
    verified: float | None = None
    strong_input_usd: float = 0.0


@dataclass(frozen=True, slots=True)
class TurnFacts:
    """A request's place in its conversation.

    application: digest of the caller's label, or of the system prompt. number: 1 for the first
    turn. input_bytes: of everything that is sent, 0 with images, whose tokens no bytes tell. warm:
    (deployment, input tokens it has read of this conversation before, while its cache keeps them).
    spent_usd: of the conversation, this turn included; stay_usd: what it had cost if the deployment
    of its first turn had answered all. key: hash of the messages, under which the turn is kept once
    the outcome of `DECIDE` is known; "" for other modes.
    """

    application: str = ""
    number: int = 1
    input_bytes: int = 0
    warm: tuple[tuple[str, int], ...] = ()
    spent_usd: float = 0.0
    stay_usd: float = 0.0
    key: str = ""


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """The receipt of one request.

    session_id: its `session_digest`; as the caller gave it in records of earlier versions.
    choice is None for an answer out of the cache: nothing was decided, nothing is learned.
    judged is None where no learned gate looked at an answer.
    settled: every attempt is known (always true unless mode is DECIDE and no outcome came yet).
    feedback: the quality reported so far; filled in by the log when the record is read.
    session_share: its weight where it was reported of the whole session, else None; as `feedback`.
    cache_exact/cache_partition: where the answer is cached, so that bad feedback can evict it.
    price: by which an outcome of `DECIDE` is charged, whatever the config says by then; None for
    other modes.
    degraded: it was answered or written down while the store was away.
    turn: None in records of earlier versions. locked: the deployment that had asked for tools was
    called again with what they gave: nothing was chosen.
    evidence_share: with which the other arms were to be asked as well; 0 for not.
    """

    id: str
    tenant: str
    created_ms: int
    mode: Mode
    session_id: str = ""
    choice: Choice | None = None
    attempts: tuple[Attempt, ...] = ()
    arm: str = ""
    deployment: str = ""
    model: str = ""
    cache: CacheStatus = CacheStatus.MISS
    similarity: float = 0.0
    cache_exact: str = ""
    cache_partition: str = ""
    settled: bool = True
    feedback: float | None = None
    judged: Judged | None = None
    price: Price | None = None
    degraded: bool = False
    turn: TurnFacts | None = None
    locked: bool = False
    session_share: float | None = None
    evidence_share: float = 0.0

    @property
    def cost_usd(self) -> float:
        return sum(a.cost_usd for a in self.attempts)

    @property
    def latency_ms(self) -> float:
        return sum(a.latency_ms for a in self.attempts)

    @property
    def answered(self) -> bool:
        return any(a.outcome is AttemptOutcome.ACCEPTED for a in self.attempts)

    def line(self) -> dict[str, str | float]:
        """Returns what a log tells of it: names, numbers and digests."""
        return {
            "plan": self.choice.plan if self.choice else "",
            "arm": self.arm,
            "deployment": self.deployment,
            "cache": self.cache.value,
            "attempts": len(self.attempts),
            "input_tokens": sum(a.input_tokens for a in self.attempts),
            "output_tokens": sum(a.output_tokens for a in self.attempts),
            "cost_usd": self.cost_usd,
            "session": self.session_id,
        }

    @property
    def is_credited(self) -> bool:
        """True where feedback on its session is meant for it too, as far as that is known yet."""
        return self.choice is not None and (self.answered or not self.settled)


RANDOM_BITS: Final = 74
_UUID: Final = re.compile(r"[0-9a-f]{8}(-?)(?:[0-9a-f]{4}\1){3}[0-9a-f]{12}", re.IGNORECASE)
_MADE_IN: Final = re.compile(r"([0-9a-f]{12})7[0-9a-f]{19}")


def new_decision_id(now_ms: int, bits: int) -> str:
    """Returns a UUID of version 7 (RFC 9562) as hexadecimal digits. bits: 74 random ones.

    >>> new_decision_id(1_700_000_000_000, 0), made_ms(new_decision_id(1_700_000_000_000, 5))
    ('018bcfe5680070008000000000000000', 1700000000000)
    """
    high, low = divmod(bits, 1 << 62)
    return f"{now_ms:012x}{0x7000 | high:04x}{(2 << 62) | low:016x}"


def made_ms(decision_id: str) -> int | None:
    """Returns when a decision was made, since the epoch; None where its id does not tell.

    >>> made_ms("b1946ac92492d2347c6235b4d2611184"), made_ms("wrong")
    (None, None)
    """
    found = _MADE_IN.fullmatch(decision_id)
    return int(found[1], 16) if found else None


def as_made(decision_id: str) -> str:
    """Returns an id as decisions are stored under it; databases write a UUID in other ways.

    >>> as_made("018BCFE5-6800-7000-8000-000000000000"), as_made("D-1")
    ('018bcfe5680070008000000000000000', 'D-1')
    """
    is_uuid = _UUID.fullmatch(decision_id) is not None
    return decision_id.replace("-", "").lower() if is_uuid else decision_id


def session_digest(tenant: str, session_id: str) -> str:
    """Returns the form in which a caller's session is recorded; "" for none.

    >>> session_digest("acme", "s-1"), session_digest("acme", "")
    ('52d06f7c3347c9fe8b91f726cce3918e', '')
    """
    if not session_id:
        return ""
    named = f"{len(tenant)}:{tenant}{len(session_id)}:{session_id}"
    return hashlib.sha256(named.encode(errors="surrogatepass")).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class OutcomeReport:
    """The outcome of a call that a caller of `Decide` made itself. failure: "" for success.

    cached_tokens, written_tokens, reasoning_tokens: as in `Usage`.
    """

    latency_ms: float
    input_tokens: int
    output_tokens: int
    failure: str = ""
    cached_tokens: int = 0
    written_tokens: int = 0
    reasoning_tokens: int = 0

    @property
    def usage(self) -> Usage:
        return Usage(
            self.input_tokens,
            self.output_tokens,
            cached_tokens=self.cached_tokens,
            written_tokens=self.written_tokens,
            reasoning_tokens=self.reasoning_tokens,
        )


@dataclass(frozen=True, slots=True)
class FeedbackReport:
    """quality in [0, 1]; accepted stands for 1 and 0 where no quality is given.

    correction: it may replace another value that was reported before.
    """

    quality: float | None = None
    accepted: bool | None = None
    correction: bool = False

    @property
    def value(self) -> float:
        if self.quality is not None:
            return self.quality
        return 1.0 if self.accepted else 0.0


@dataclass(frozen=True, slots=True)
class FeedbackReceipt:
    """already_recorded: the same value was. decisions: how many share the credit."""

    already_recorded: bool
    decisions: int = 1


@dataclass(frozen=True, slots=True)
class CachedAnswer:
    """An answer that passed its gate, which decision paid for it, and the exact key it has.

    model: the deployment's by the config that answered. tenant, prompt, partition: by which it is
    purged, the prompt as its `prompt_digest`. All are empty in entries of earlier versions.
    """

    answer: Answer
    arm: str
    deployment: str
    decision_id: str
    exact: str
    model: str = ""
    tenant: str = ""
    prompt: str = ""
    partition: str = ""


@dataclass(frozen=True, slots=True)
class CacheKey:
    """The keys of an answer in the cache. exact: hash of tenant and the whole request.

    partition: hash of the tenant, everything but the last user text (system prompt, history, tools,
    parameters) and the canonical form of that text: only prompts that agree on all of these are
    compared by similarity. Empty for a request that has none. prompt: hash of the tenant and
    that text.
    """

    tenant: str
    exact: str
    partition: str
    prompt: str = ""


@dataclass(frozen=True, slots=True)
class SessionTurn:
    """The last turn of a session. embedding: (384,) as float32 bytes.

    attached: a digest of what makes another question of the same words. letters: a fingerprint of
    the prompt's.
    """

    decision_id: str
    at_ms: int
    embedding: bytes = field(repr=False)
    attached: str = ""
    letters: bytes = field(default=b"", repr=False)
