"""Converts messages of the contract into values of the domain; every violation at once."""

from __future__ import annotations

from typing import TypeAlias

from adaptive_router.v1 import router_pb2 as router_pb

from router.domain.chat import ChatRequest
from router.domain.records import FeedbackReport, OutcomeReport
from router.domain.requests import RoutingOptions, WeightOverrides
from router.rpc.checks import ID, RequestLimits, Violations
from router.rpc.convert_chat import ChatReader, given, is_laborious, too_long

Routed: TypeAlias = (
    router_pb.CompleteRequest | router_pb.StreamCompleteRequest | router_pb.DecideRequest
)

FAILURES = "timeout, rate_limited, unavailable, refused, malformed, cancelled, other"
_NO_CALL = "failure: cancelled where none was made"
MAX_TOKENS = 1e9
QUICK_BYTES = 2_048
DAY_MS = 86_400_000
MAX_USD = 1e6


def takes_time(request: Routed) -> bool:
    """True if conversion may take more than a moment, by the sizes that its time grows with."""
    return request.ByteSize() > QUICK_BYTES and is_laborious(request.chat)


def read_routed(request: Routed, limits: RequestLimits) -> tuple[ChatRequest, RoutingOptions]:
    """Returns what to answer and how to route it. Raises InvalidRequest, PromptTooLong."""
    found = Violations()
    reader = ChatReader(found, limits)
    reader.check_sizes(request.chat)
    chat = reader.read(request.chat)
    options = _options(request.routing, limits, found)
    if chat.characters > limits.characters:
        error = too_long(limits)
        if not found:
            raise error
        for violation in error.violations:
            found.add(violation.field, violation.description)
    found.done()
    return chat, options


def _options(
    routing: router_pb.RoutingOptions, limits: RequestLimits, found: Violations
) -> RoutingOptions:
    for name in ("arm", "session_id", "idempotency_key"):
        found.short(getattr(routing, name), limits.name_characters, f"routing.{name}")
    weights = {name: given(routing.weights, name) for name in _WEIGHTS}
    for name, value in weights.items():
        found.within(value, 0, limits.weight, f"routing.weights.{name}")
    cost_usd, latency_ms = given(routing, "max_cost_usd"), given(routing, "max_latency_ms")
    found.within(cost_usd, 1e-9, MAX_USD, "routing.max_cost_usd")
    found.within(latency_ms, 1, DAY_MS, "routing.max_latency_ms")
    return RoutingOptions(
        arm=routing.arm,
        max_cost_usd=cost_usd,
        max_latency_ms=latency_ms,
        weights=WeightOverrides(**weights),
        session_id=routing.session_id,
        idempotency_key=routing.idempotency_key,
        no_cache=routing.no_cache,
    )


def read_outcome(request: router_pb.ReportOutcomeRequest) -> tuple[str, OutcomeReport]:
    """Decision id and report. Raises InvalidRequest."""
    found = Violations()
    _check_id(found, request.decision_id)
    found.within(request.latency_ms, 0, DAY_MS, "latency_ms")
    found.within(request.input_tokens, 0, MAX_TOKENS, "input_tokens")
    found.within(request.output_tokens, 0, MAX_TOKENS, "output_tokens")
    if request.failure:
        named = request.failure in FAILURES.split(", ")
        found.require(named, "failure", f"leave it empty, or send one of: {FAILURES}")
    else:
        counted = request.input_tokens or request.output_tokens
        found.require(
            request.latency_ms, "latency_ms", f"send how long the call took, or {_NO_CALL}"
        )
        found.require(counted, "output_tokens", f"send what the provider counted, or {_NO_CALL}")
    found.done()
    return request.decision_id, OutcomeReport(
        latency_ms=request.latency_ms,
        input_tokens=request.input_tokens,
        output_tokens=request.output_tokens,
        failure=request.failure,
    )


def read_feedback(request: router_pb.FeedbackRequest) -> tuple[str, FeedbackReport]:
    """Decision id and report. Raises InvalidRequest."""
    found = Violations()
    _check_id(found, request.decision_id)
    report = FeedbackReport(
        given(request, "quality"), given(request, "accepted"), request.correction
    )
    found.within(report.quality, 0, 1, "quality")
    if report.quality is None and report.accepted is None:
        found.add("quality", "send quality in [0, 1], accepted, or both")
    found.done()
    return request.decision_id, report


def read_decision_id(decision_id: str) -> str:
    """Raises InvalidRequest."""
    found = Violations()
    _check_id(found, decision_id)
    found.done()
    return decision_id


_WEIGHTS = ("quality", "cost", "latency", "failure")


def _check_id(found: Violations, decision_id: str) -> None:
    found.require(ID.fullmatch(decision_id), "decision_id", "send the id of a receipt")
