"""Values that come back: answers with their receipts, decisions, and acknowledgements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from adaptive_router_client.values import Message, OpaquePart, ToolCall, Weights

FinishReason = Literal["unspecified", "stop", "length", "tool_calls", "content_filter", "unknown"]
CacheStatus = Literal["unspecified", "miss", "exact", "semantic", "bypass", "unknown"]
AttemptOutcome = Literal[
    "unspecified", "accepted", "escalated", "failed", "cancelled", "second_opinion", "unknown"
]
Step = Literal["unspecified", "accept", "second", "ask", "escalate", "unknown"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call of one deployment.

    why: a gate's verdict, or a provider error's reason. usage_guessed: tokens and cost are guesses.
    """

    arm: str
    deployment: str
    model: str
    outcome: AttemptOutcome
    why: str
    latency_ms: float
    input_tokens: int
    output_tokens: int
    cost_usd: float
    agrees: bool | None
    usage_guessed: bool
    cached_input_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int


@dataclass(frozen=True, slots=True)
class QuotaLeft:
    """Amounts that the tenant may still use; None where it has no such limit."""

    requests: int | None
    tokens: int | None
    daily_usd: float | None
    monthly_usd: float | None


@dataclass(frozen=True, slots=True)
class Turn:
    """A request's place in its conversation, from 1."""

    number: int
    warm_tokens: int
    spent_usd: float
    stay_usd: float
    turns_ahead: float


@dataclass(frozen=True, slots=True)
class Receipt:
    """The decision and its cost: the fields are those of the contract's Receipt."""

    decision_id: str
    plan: str
    arm: str
    deployment: str
    model: str
    propensity: float
    explored: bool
    policy: str
    policy_version: int
    attempts: tuple[Attempt, ...]
    cache: CacheStatus
    similarity: float
    cost_usd: float
    quota_left: QuotaLeft | None
    would_plan: str
    degraded: bool
    locked: bool
    turn: Turn | None


@dataclass(frozen=True, slots=True)
class Answer:
    """The model's answer. cached and written tokens are parts of input_tokens."""

    text: str
    tool_calls: tuple[ToolCall, ...]
    finish_reason: FinishReason
    input_tokens: int
    output_tokens: int
    opaque: tuple[OpaquePart, ...]
    cached_input_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int


@dataclass(frozen=True, slots=True)
class Completion:
    """An answer with its receipt."""

    answer: Answer
    receipt: Receipt

    @property
    def text(self) -> str:
        return self.answer.text

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        return self.answer.tool_calls

    @property
    def decision_id(self) -> str:
        return self.receipt.decision_id

    @property
    def message(self) -> Message:
        """The answer as the next request's conversation holds it."""
        answer = self.answer
        return Message("assistant", answer.text, tool_calls=answer.tool_calls, opaque=answer.opaque)


@dataclass(frozen=True, slots=True)
class TextDelta:
    text: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of a tool call; id and name come with its first piece."""

    index: int
    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """The last message of a stream."""

    finish_reason: FinishReason
    input_tokens: int
    output_tokens: int
    receipt: Receipt
    opaque: tuple[OpaquePart, ...]
    cached_input_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int


@dataclass(frozen=True, slots=True)
class Decided:
    """The deployment to call. rungs: all arms of the plan, first to last."""

    receipt: Receipt
    rungs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OutcomeRecorded:
    """already_recorded: the same report was there before, and nothing changed."""

    already_recorded: bool
    cost_usd: float


@dataclass(frozen=True, slots=True)
class FeedbackRecorded:
    """decisions: how many share the credit."""

    already_recorded: bool
    decisions: int


@dataclass(frozen=True, slots=True)
class PlanEstimate:
    """One eligible plan as the policy saw it."""

    plan: str
    probability: float
    expected_quality: float
    expected_cost_usd: float
    expected_utility: float
    prior_cost_usd: float
    input_usd: float
    ahead_usd: float


@dataclass(frozen=True, slots=True)
class StepProbability:
    step: Step
    probability: float


@dataclass(frozen=True, slots=True)
class StepTaken:
    """One choice after an answer. by: gate, verifier or promise."""

    step: Step
    propensity: float
    probabilities: tuple[StepProbability, ...]
    score: float
    by: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """The steps of the plan's gate: what it saw of the answers, and chose."""

    gate: str
    signals_version: str
    signals: tuple[float, ...]
    second_signals: tuple[float, ...]
    agreement: float | None
    verified: float | None
    steps: tuple[StepTaken, ...]
    second_usd: float | None
    strong_usd: float | None


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision on record, and why it was made."""

    receipt: Receipt
    plans: tuple[PlanEstimate, ...]
    weights: Weights | None
    feature_version: str
    created_unix_ms: int
    settled: bool
    feedback_quality: float | None
    judgement: Judgement | None
