"""What a caller asks of the router, and what it gets back."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Protocol

from router.domain.chat import Answer, ChatRequest, Delta
from router.domain.records import DecisionRecord, FeedbackReport, OutcomeReport
from router.domain.tenants import QuotaLeft, Tenant


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
    """deadline_s: seconds since the epoch by which the caller wants the answer; None for none."""

    tenant: Tenant
    chat: ChatRequest
    options: RoutingOptions = field(default_factory=RoutingOptions)
    deadline_s: float | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    answer: Answer
    record: DecisionRecord
    quota_left: QuotaLeft


@dataclass(frozen=True, slots=True)
class Directive:
    """What a caller of `Decide` is to call: the record's deployment first, then down the rungs."""

    record: DecisionRecord
    rungs: tuple[str, ...]
    quota_left: QuotaLeft


@dataclass(frozen=True, slots=True)
class OutcomeReceipt:
    already_recorded: bool
    cost_usd: float


class Service(Protocol):
    """The use cases, as the outside sees them. Every method raises RouterError only."""

    async def authenticate(self, api_key: str) -> Tenant:
        """Raises Unauthenticated."""
        ...

    async def complete(self, call: RouteRequest) -> Completion: ...

    def stream(self, call: RouteRequest) -> AsyncGenerator[Delta | Completion]:
        """Deltas, then the Completion as the last item; closing it cancels the upstream call."""
        ...

    async def decide(self, call: RouteRequest) -> Directive: ...

    async def report_outcome(
        self, tenant: Tenant, decision_id: str, report: OutcomeReport
    ) -> OutcomeReceipt: ...

    async def feedback(self, tenant: Tenant, decision_id: str, report: FeedbackReport) -> bool:
        """True when the same value had been recorded before."""
        ...

    async def decision(self, tenant: Tenant, decision_id: str) -> DecisionRecord: ...


class Live(Protocol):
    """Points at the service that answers now; after a reload it points at another."""

    @property
    def service(self) -> Service: ...
