"""The service of the contract: convert, call, convert back."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial
from typing import Any

import grpc
from adaptive_router.v1 import router_pb2 as router_pb
from adaptive_router.v1 import router_pb2_grpc

from router.domain.records import DecisionRecord
from router.domain.requests import Completion, Live, RouteRequest
from router.domain.tenants import Tenant
from router.rpc import convert_out
from router.rpc.checks import RequestLimits
from router.rpc.convert_in import (
    Routed,
    read_decision_id,
    read_feedback,
    read_outcome,
    read_routed,
    takes_time,
)
from router.rpc.interceptor import current_decision, current_tenant
from router.runtime.fair_queue import CheckPool

SERVICE = router_pb.DESCRIPTOR.services_by_name["RouterService"].full_name

Context = grpc.aio.ServicerContext[Any, Any]


class RouterServicer(router_pb2_grpc.RouterServiceServicer):
    """Expects `CallGuard` in front, which sets the tenant and turns errors into statuses.

    checks: runs conversions that take more than a moment. clock: seconds since the epoch.
    """

    def __init__(
        self,
        live: Live,
        limits: RequestLimits,
        checks: CheckPool,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._live = live
        self._checks = checks
        self._limits = limits
        self._clock = clock

    async def tenant_of(self, api_key: str) -> Tenant:
        return await self._live.service.authenticate(api_key)

    async def Complete(  # noqa: N802 - the contract's name
        self, request: router_pb.CompleteRequest, context: Context
    ) -> router_pb.CompleteResponse:
        done = await self._live.service.complete(await self._call(request, context))
        _note(done.record)
        return convert_out.completion(done)

    async def StreamComplete(  # noqa: N802 - the contract's name
        self, request: router_pb.StreamCompleteRequest, context: Context
    ) -> AsyncGenerator[router_pb.StreamCompleteResponse]:
        call = await self._call(request, context)
        async with aclosing(self._live.service.stream(call)) as items:
            async for item in items:
                if isinstance(item, Completion):
                    _note(item.record)
                yield convert_out.stream_item(item)

    async def Decide(  # noqa: N802 - the contract's name
        self, request: router_pb.DecideRequest, context: Context
    ) -> router_pb.DecideResponse:
        made = await self._live.service.decide(await self._call(request, context))
        _note(made.record)
        return convert_out.directive(made)

    async def ReportOutcome(  # noqa: N802 - the contract's name
        self, request: router_pb.ReportOutcomeRequest, _: Context
    ) -> router_pb.ReportOutcomeResponse:
        decision_id, report = read_outcome(request)
        current_decision.set(decision_id)
        receipt = await self._live.service.report_outcome(current_tenant.get(), decision_id, report)
        return router_pb.ReportOutcomeResponse(
            already_recorded=receipt.already_recorded, cost_usd=receipt.cost_usd
        )

    async def Feedback(  # noqa: N802 - the contract's name
        self, request: router_pb.FeedbackRequest, _: Context
    ) -> router_pb.FeedbackResponse:
        decision_id, report = read_feedback(request)
        current_decision.set(decision_id)
        known = await self._live.service.feedback(current_tenant.get(), decision_id, report)
        return router_pb.FeedbackResponse(already_recorded=known)

    async def GetDecision(  # noqa: N802 - the contract's name
        self, request: router_pb.GetDecisionRequest, _: Context
    ) -> router_pb.GetDecisionResponse:
        decision_id = read_decision_id(request.decision_id)
        current_decision.set(decision_id)
        record = await self._live.service.decision(current_tenant.get(), decision_id)
        return convert_out.decision(record)

    async def _call(self, request: Routed, context: Context) -> RouteRequest:
        remaining_s, tenant = context.time_remaining(), current_tenant.get()
        deadline_s = None if remaining_s is None else self._clock() + remaining_s
        read = partial(read_routed, request, self._limits)
        chat, options = await self._checks.run(tenant.name, read) if takes_time(request) else read()
        return RouteRequest(tenant=tenant, chat=chat, options=options, deadline_s=deadline_s)


def _note(record: DecisionRecord) -> None:
    current_decision.set(record.id)
