"""The use cases under one roof, as the wire calls them."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from router.domain.chat import Delta
from router.domain.records import DecisionRecord, FeedbackReport, Mode, OutcomeReport
from router.domain.requests import Completion, Directive, OutcomeReceipt, RouteRequest
from router.domain.tenants import Tenant
from router.serving.admission import Admission
from router.serving.feedback import FeedbackService
from router.serving.pipeline import Pipeline


class RouterService:
    """Implements `router.domain.requests.Service`."""

    def __init__(
        self, admission: Admission, pipeline: Pipeline, reporting: FeedbackService
    ) -> None:
        self._admission = admission
        self._pipeline = pipeline
        self._reporting = reporting

    async def authenticate(self, api_key: str) -> Tenant:
        return await self._admission.authenticate(api_key)

    async def complete(self, call: RouteRequest) -> Completion:
        completion = [
            item
            async for item in self._pipeline.answer(call, Mode.COMPLETE)
            if isinstance(item, Completion)
        ]
        return completion[0]

    def stream(self, call: RouteRequest) -> AsyncGenerator[Delta | Completion]:
        return self._pipeline.answer(call, Mode.STREAM)

    async def decide(self, call: RouteRequest) -> Directive:
        return await self._pipeline.decide(call)

    async def report_outcome(
        self, tenant: Tenant, decision_id: str, report: OutcomeReport
    ) -> OutcomeReceipt:
        return await self._reporting.report_outcome(tenant, decision_id, report)

    async def feedback(self, tenant: Tenant, decision_id: str, report: FeedbackReport) -> bool:
        return await self._reporting.feedback(tenant, decision_id, report)

    async def decision(self, tenant: Tenant, decision_id: str) -> DecisionRecord:
        return await self._reporting.decision(tenant, decision_id)
