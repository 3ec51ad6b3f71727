from adaptive_router_client.stubs import chat_pb2 as _chat_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Step(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STEP_UNSPECIFIED: _ClassVar[Step]
    STEP_ACCEPT: _ClassVar[Step]
    STEP_SECOND: _ClassVar[Step]
    STEP_ASK: _ClassVar[Step]
    STEP_ESCALATE: _ClassVar[Step]

class AttemptOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ATTEMPT_OUTCOME_UNSPECIFIED: _ClassVar[AttemptOutcome]
    ATTEMPT_OUTCOME_ACCEPTED: _ClassVar[AttemptOutcome]
    ATTEMPT_OUTCOME_ESCALATED: _ClassVar[AttemptOutcome]
    ATTEMPT_OUTCOME_FAILED: _ClassVar[AttemptOutcome]
    ATTEMPT_OUTCOME_CANCELLED: _ClassVar[AttemptOutcome]
    ATTEMPT_OUTCOME_SECOND_OPINION: _ClassVar[AttemptOutcome]

class CacheStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CACHE_STATUS_UNSPECIFIED: _ClassVar[CacheStatus]
    CACHE_STATUS_MISS: _ClassVar[CacheStatus]
    CACHE_STATUS_EXACT: _ClassVar[CacheStatus]
    CACHE_STATUS_SEMANTIC: _ClassVar[CacheStatus]
    CACHE_STATUS_BYPASS: _ClassVar[CacheStatus]
STEP_UNSPECIFIED: Step
STEP_ACCEPT: Step
STEP_SECOND: Step
STEP_ASK: Step
STEP_ESCALATE: Step
ATTEMPT_OUTCOME_UNSPECIFIED: AttemptOutcome
ATTEMPT_OUTCOME_ACCEPTED: AttemptOutcome
ATTEMPT_OUTCOME_ESCALATED: AttemptOutcome
ATTEMPT_OUTCOME_FAILED: AttemptOutcome
ATTEMPT_OUTCOME_CANCELLED: AttemptOutcome
ATTEMPT_OUTCOME_SECOND_OPINION: AttemptOutcome
CACHE_STATUS_UNSPECIFIED: CacheStatus
CACHE_STATUS_MISS: CacheStatus
CACHE_STATUS_EXACT: CacheStatus
CACHE_STATUS_SEMANTIC: CacheStatus
CACHE_STATUS_BYPASS: CacheStatus

class Weights(_message.Message):
    __slots__ = ("quality", "cost", "latency", "failure")
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    LATENCY_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    quality: float
    cost: float
    latency: float
    failure: float
    def __init__(self, quality: _Optional[float] = ..., cost: _Optional[float] = ..., latency: _Optional[float] = ..., failure: _Optional[float] = ...) -> None: ...

class RoutingOptions(_message.Message):
    __slots__ = ("arm", "max_cost_usd", "max_latency_ms", "weights", "session_id", "idempotency_key", "no_cache", "task", "no_evidence")
    ARM_FIELD_NUMBER: _ClassVar[int]
    MAX_COST_USD_FIELD_NUMBER: _ClassVar[int]
    MAX_LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    NO_CACHE_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    NO_EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    arm: str
    max_cost_usd: float
    max_latency_ms: int
    weights: Weights
    session_id: str
    idempotency_key: str
    no_cache: bool
    task: str
    no_evidence: bool
    def __init__(self, arm: _Optional[str] = ..., max_cost_usd: _Optional[float] = ..., max_latency_ms: _Optional[int] = ..., weights: _Optional[_Union[Weights, _Mapping]] = ..., session_id: _Optional[str] = ..., idempotency_key: _Optional[str] = ..., no_cache: _Optional[bool] = ..., task: _Optional[str] = ..., no_evidence: _Optional[bool] = ...) -> None: ...

class CompleteRequest(_message.Message):
    __slots__ = ("chat", "routing")
    CHAT_FIELD_NUMBER: _ClassVar[int]
    ROUTING_FIELD_NUMBER: _ClassVar[int]
    chat: _chat_pb2.ChatRequest
    routing: RoutingOptions
    def __init__(self, chat: _Optional[_Union[_chat_pb2.ChatRequest, _Mapping]] = ..., routing: _Optional[_Union[RoutingOptions, _Mapping]] = ...) -> None: ...

class CompleteResponse(_message.Message):
    __slots__ = ("answer", "receipt")
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    answer: _chat_pb2.Answer
    receipt: Receipt
    def __init__(self, answer: _Optional[_Union[_chat_pb2.Answer, _Mapping]] = ..., receipt: _Optional[_Union[Receipt, _Mapping]] = ...) -> None: ...

class StreamCompleteRequest(_message.Message):
    __slots__ = ("chat", "routing")
    CHAT_FIELD_NUMBER: _ClassVar[int]
    ROUTING_FIELD_NUMBER: _ClassVar[int]
    chat: _chat_pb2.ChatRequest
    routing: RoutingOptions
    def __init__(self, chat: _Optional[_Union[_chat_pb2.ChatRequest, _Mapping]] = ..., routing: _Optional[_Union[RoutingOptions, _Mapping]] = ...) -> None: ...

class ToolCallDelta(_message.Message):
    __slots__ = ("index", "id", "name", "arguments")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    index: int
    id: str
    name: str
    arguments: str
    def __init__(self, index: _Optional[int] = ..., id: _Optional[str] = ..., name: _Optional[str] = ..., arguments: _Optional[str] = ...) -> None: ...

class StreamCompleteResponse(_message.Message):
    __slots__ = ("text_delta", "tool_call_delta", "done")
    class Done(_message.Message):
        __slots__ = ("finish_reason", "input_tokens", "output_tokens", "receipt", "opaque", "cached_input_tokens", "cache_write_tokens", "reasoning_tokens")
        FINISH_REASON_FIELD_NUMBER: _ClassVar[int]
        INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
        OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
        RECEIPT_FIELD_NUMBER: _ClassVar[int]
        OPAQUE_FIELD_NUMBER: _ClassVar[int]
        CACHED_INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
        CACHE_WRITE_TOKENS_FIELD_NUMBER: _ClassVar[int]
        REASONING_TOKENS_FIELD_NUMBER: _ClassVar[int]
        finish_reason: _chat_pb2.FinishReason
        input_tokens: int
        output_tokens: int
        receipt: Receipt
        opaque: _containers.RepeatedCompositeFieldContainer[_chat_pb2.OpaquePart]
        cached_input_tokens: int
        cache_write_tokens: int
        reasoning_tokens: int
        def __init__(self, finish_reason: _Optional[_Union[_chat_pb2.FinishReason, str]] = ..., input_tokens: _Optional[int] = ..., output_tokens: _Optional[int] = ..., receipt: _Optional[_Union[Receipt, _Mapping]] = ..., opaque: _Optional[_Iterable[_Union[_chat_pb2.OpaquePart, _Mapping]]] = ..., cached_input_tokens: _Optional[int] = ..., cache_write_tokens: _Optional[int] = ..., reasoning_tokens: _Optional[int] = ...) -> None: ...
    TEXT_DELTA_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALL_DELTA_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    text_delta: str
    tool_call_delta: ToolCallDelta
    done: StreamCompleteResponse.Done
    def __init__(self, text_delta: _Optional[str] = ..., tool_call_delta: _Optional[_Union[ToolCallDelta, _Mapping]] = ..., done: _Optional[_Union[StreamCompleteResponse.Done, _Mapping]] = ...) -> None: ...

class DecideRequest(_message.Message):
    __slots__ = ("chat", "routing")
    CHAT_FIELD_NUMBER: _ClassVar[int]
    ROUTING_FIELD_NUMBER: _ClassVar[int]
    chat: _chat_pb2.ChatRequest
    routing: RoutingOptions
    def __init__(self, chat: _Optional[_Union[_chat_pb2.ChatRequest, _Mapping]] = ..., routing: _Optional[_Union[RoutingOptions, _Mapping]] = ...) -> None: ...

class DecideResponse(_message.Message):
    __slots__ = ("receipt", "rungs")
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    RUNGS_FIELD_NUMBER: _ClassVar[int]
    receipt: Receipt
    rungs: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, receipt: _Optional[_Union[Receipt, _Mapping]] = ..., rungs: _Optional[_Iterable[str]] = ...) -> None: ...

class ReportOutcomeRequest(_message.Message):
    __slots__ = ("decision_id", "latency_ms", "input_tokens", "output_tokens", "failure", "cached_input_tokens", "cache_write_tokens", "reasoning_tokens")
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    CACHED_INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHE_WRITE_TOKENS_FIELD_NUMBER: _ClassVar[int]
    REASONING_TOKENS_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    latency_ms: float
    input_tokens: int
    output_tokens: int
    failure: str
    cached_input_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    def __init__(self, decision_id: _Optional[str] = ..., latency_ms: _Optional[float] = ..., input_tokens: _Optional[int] = ..., output_tokens: _Optional[int] = ..., failure: _Optional[str] = ..., cached_input_tokens: _Optional[int] = ..., cache_write_tokens: _Optional[int] = ..., reasoning_tokens: _Optional[int] = ...) -> None: ...

class ReportOutcomeResponse(_message.Message):
    __slots__ = ("already_recorded", "cost_usd")
    ALREADY_RECORDED_FIELD_NUMBER: _ClassVar[int]
    COST_USD_FIELD_NUMBER: _ClassVar[int]
    already_recorded: bool
    cost_usd: float
    def __init__(self, already_recorded: _Optional[bool] = ..., cost_usd: _Optional[float] = ...) -> None: ...

class FeedbackRequest(_message.Message):
    __slots__ = ("decision_id", "quality", "accepted", "correction", "session_id")
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    CORRECTION_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    quality: float
    accepted: bool
    correction: bool
    session_id: str
    def __init__(self, decision_id: _Optional[str] = ..., quality: _Optional[float] = ..., accepted: _Optional[bool] = ..., correction: _Optional[bool] = ..., session_id: _Optional[str] = ...) -> None: ...

class FeedbackResponse(_message.Message):
    __slots__ = ("already_recorded", "decisions")
    ALREADY_RECORDED_FIELD_NUMBER: _ClassVar[int]
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    already_recorded: bool
    decisions: int
    def __init__(self, already_recorded: _Optional[bool] = ..., decisions: _Optional[int] = ...) -> None: ...

class GetDecisionRequest(_message.Message):
    __slots__ = ("decision_id",)
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    def __init__(self, decision_id: _Optional[str] = ...) -> None: ...

class GetDecisionResponse(_message.Message):
    __slots__ = ("receipt", "plans", "weights", "feature_version", "created_unix_ms", "settled", "feedback_quality", "judgement")
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    PLANS_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    FEATURE_VERSION_FIELD_NUMBER: _ClassVar[int]
    CREATED_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    SETTLED_FIELD_NUMBER: _ClassVar[int]
    FEEDBACK_QUALITY_FIELD_NUMBER: _ClassVar[int]
    JUDGEMENT_FIELD_NUMBER: _ClassVar[int]
    receipt: Receipt
    plans: _containers.RepeatedCompositeFieldContainer[PlanEstimate]
    weights: Weights
    feature_version: str
    created_unix_ms: int
    settled: bool
    feedback_quality: float
    judgement: Judgement
    def __init__(self, receipt: _Optional[_Union[Receipt, _Mapping]] = ..., plans: _Optional[_Iterable[_Union[PlanEstimate, _Mapping]]] = ..., weights: _Optional[_Union[Weights, _Mapping]] = ..., feature_version: _Optional[str] = ..., created_unix_ms: _Optional[int] = ..., settled: _Optional[bool] = ..., feedback_quality: _Optional[float] = ..., judgement: _Optional[_Union[Judgement, _Mapping]] = ...) -> None: ...

class Judgement(_message.Message):
    __slots__ = ("gate", "signals_version", "signals", "second_signals", "agreement", "verified", "steps", "second_usd", "strong_usd")
    GATE_FIELD_NUMBER: _ClassVar[int]
    SIGNALS_VERSION_FIELD_NUMBER: _ClassVar[int]
    SIGNALS_FIELD_NUMBER: _ClassVar[int]
    SECOND_SIGNALS_FIELD_NUMBER: _ClassVar[int]
    AGREEMENT_FIELD_NUMBER: _ClassVar[int]
    VERIFIED_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    SECOND_USD_FIELD_NUMBER: _ClassVar[int]
    STRONG_USD_FIELD_NUMBER: _ClassVar[int]
    gate: str
    signals_version: str
    signals: _containers.RepeatedScalarFieldContainer[float]
    second_signals: _containers.RepeatedScalarFieldContainer[float]
    agreement: float
    verified: float
    steps: _containers.RepeatedCompositeFieldContainer[StepTaken]
    second_usd: float
    strong_usd: float
    def __init__(self, gate: _Optional[str] = ..., signals_version: _Optional[str] = ..., signals: _Optional[_Iterable[float]] = ..., second_signals: _Optional[_Iterable[float]] = ..., agreement: _Optional[float] = ..., verified: _Optional[float] = ..., steps: _Optional[_Iterable[_Union[StepTaken, _Mapping]]] = ..., second_usd: _Optional[float] = ..., strong_usd: _Optional[float] = ...) -> None: ...

class StepTaken(_message.Message):
    __slots__ = ("step", "propensity", "probabilities", "score", "by")
    STEP_FIELD_NUMBER: _ClassVar[int]
    PROPENSITY_FIELD_NUMBER: _ClassVar[int]
    PROBABILITIES_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    step: Step
    propensity: float
    probabilities: _containers.RepeatedCompositeFieldContainer[StepProbability]
    score: float
    by: str
    def __init__(self, step: _Optional[_Union[Step, str]] = ..., propensity: _Optional[float] = ..., probabilities: _Optional[_Iterable[_Union[StepProbability, _Mapping]]] = ..., score: _Optional[float] = ..., by: _Optional[str] = ...) -> None: ...

class StepProbability(_message.Message):
    __slots__ = ("step", "probability")
    STEP_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    step: Step
    probability: float
    def __init__(self, step: _Optional[_Union[Step, str]] = ..., probability: _Optional[float] = ...) -> None: ...

class PlanEstimate(_message.Message):
    __slots__ = ("plan", "probability", "expected_quality", "expected_cost_usd", "expected_utility", "prior_cost_usd", "input_usd", "ahead_usd")
    PLAN_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_QUALITY_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_COST_USD_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_UTILITY_FIELD_NUMBER: _ClassVar[int]
    PRIOR_COST_USD_FIELD_NUMBER: _ClassVar[int]
    INPUT_USD_FIELD_NUMBER: _ClassVar[int]
    AHEAD_USD_FIELD_NUMBER: _ClassVar[int]
    plan: str
    probability: float
    expected_quality: float
    expected_cost_usd: float
    expected_utility: float
    prior_cost_usd: float
    input_usd: float
    ahead_usd: float
    def __init__(self, plan: _Optional[str] = ..., probability: _Optional[float] = ..., expected_quality: _Optional[float] = ..., expected_cost_usd: _Optional[float] = ..., expected_utility: _Optional[float] = ..., prior_cost_usd: _Optional[float] = ..., input_usd: _Optional[float] = ..., ahead_usd: _Optional[float] = ...) -> None: ...

class Attempt(_message.Message):
    __slots__ = ("arm", "deployment", "model", "outcome", "why", "latency_ms", "input_tokens", "output_tokens", "cost_usd", "agrees", "usage_guessed", "cached_input_tokens", "cache_write_tokens", "reasoning_tokens")
    ARM_FIELD_NUMBER: _ClassVar[int]
    DEPLOYMENT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COST_USD_FIELD_NUMBER: _ClassVar[int]
    AGREES_FIELD_NUMBER: _ClassVar[int]
    USAGE_GUESSED_FIELD_NUMBER: _ClassVar[int]
    CACHED_INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHE_WRITE_TOKENS_FIELD_NUMBER: _ClassVar[int]
    REASONING_TOKENS_FIELD_NUMBER: _ClassVar[int]
    arm: str
    deployment: str
    model: str
    outcome: AttemptOutcome
    why: str
    latency_ms: float
    input_tokens: int
    output_tokens: int
    cost_usd: float
    agrees: bool
    usage_guessed: bool
    cached_input_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    def __init__(self, arm: _Optional[str] = ..., deployment: _Optional[str] = ..., model: _Optional[str] = ..., outcome: _Optional[_Union[AttemptOutcome, str]] = ..., why: _Optional[str] = ..., latency_ms: _Optional[float] = ..., input_tokens: _Optional[int] = ..., output_tokens: _Optional[int] = ..., cost_usd: _Optional[float] = ..., agrees: _Optional[bool] = ..., usage_guessed: _Optional[bool] = ..., cached_input_tokens: _Optional[int] = ..., cache_write_tokens: _Optional[int] = ..., reasoning_tokens: _Optional[int] = ...) -> None: ...

class QuotaLeft(_message.Message):
    __slots__ = ("requests", "tokens", "daily_usd", "monthly_usd")
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    DAILY_USD_FIELD_NUMBER: _ClassVar[int]
    MONTHLY_USD_FIELD_NUMBER: _ClassVar[int]
    requests: int
    tokens: int
    daily_usd: float
    monthly_usd: float
    def __init__(self, requests: _Optional[int] = ..., tokens: _Optional[int] = ..., daily_usd: _Optional[float] = ..., monthly_usd: _Optional[float] = ...) -> None: ...

class Receipt(_message.Message):
    __slots__ = ("decision_id", "plan", "arm", "deployment", "model", "propensity", "explored", "policy", "policy_version", "attempts", "cache", "similarity", "cost_usd", "quota_left", "would_plan", "degraded", "locked", "turn")
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    ARM_FIELD_NUMBER: _ClassVar[int]
    DEPLOYMENT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROPENSITY_FIELD_NUMBER: _ClassVar[int]
    EXPLORED_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    CACHE_FIELD_NUMBER: _ClassVar[int]
    SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    COST_USD_FIELD_NUMBER: _ClassVar[int]
    QUOTA_LEFT_FIELD_NUMBER: _ClassVar[int]
    WOULD_PLAN_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    LOCKED_FIELD_NUMBER: _ClassVar[int]
    TURN_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    plan: str
    arm: str
    deployment: str
    model: str
    propensity: float
    explored: bool
    policy: str
    policy_version: int
    attempts: _containers.RepeatedCompositeFieldContainer[Attempt]
    cache: CacheStatus
    similarity: float
    cost_usd: float
    quota_left: QuotaLeft
    would_plan: str
    degraded: bool
    locked: bool
    turn: Turn
    def __init__(self, decision_id: _Optional[str] = ..., plan: _Optional[str] = ..., arm: _Optional[str] = ..., deployment: _Optional[str] = ..., model: _Optional[str] = ..., propensity: _Optional[float] = ..., explored: _Optional[bool] = ..., policy: _Optional[str] = ..., policy_version: _Optional[int] = ..., attempts: _Optional[_Iterable[_Union[Attempt, _Mapping]]] = ..., cache: _Optional[_Union[CacheStatus, str]] = ..., similarity: _Optional[float] = ..., cost_usd: _Optional[float] = ..., quota_left: _Optional[_Union[QuotaLeft, _Mapping]] = ..., would_plan: _Optional[str] = ..., degraded: _Optional[bool] = ..., locked: _Optional[bool] = ..., turn: _Optional[_Union[Turn, _Mapping]] = ...) -> None: ...

class Turn(_message.Message):
    __slots__ = ("number", "warm_tokens", "spent_usd", "stay_usd", "turns_ahead")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    WARM_TOKENS_FIELD_NUMBER: _ClassVar[int]
    SPENT_USD_FIELD_NUMBER: _ClassVar[int]
    STAY_USD_FIELD_NUMBER: _ClassVar[int]
    TURNS_AHEAD_FIELD_NUMBER: _ClassVar[int]
    number: int
    warm_tokens: int
    spent_usd: float
    stay_usd: float
    turns_ahead: float
    def __init__(self, number: _Optional[int] = ..., warm_tokens: _Optional[int] = ..., spent_usd: _Optional[float] = ..., stay_usd: _Optional[float] = ..., turns_ahead: _Optional[float] = ...) -> None: ...
