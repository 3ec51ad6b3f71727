"""The service of the contract: convert, call, convert back."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial
from typing import Any, TypeAlias

import grpc
from adaptive_router.v1 import router_pb2 as router_pb
from adaptive_router.v1 import router_pb2_grpc

from router.domain.chat import Beside, ChatRequest
from router.domain.records import FeedbackReceipt, FeedbackReport, OutcomeReport
from router.domain.requests import Completion, Live, RouteRequest, RoutingOptions, WeightOverrides
from router.domain.tenants import Tenant
from router.doors.checks import RequestLimits, Violations
from router.doors.reports import DAY_MS, check_feedback, check_outcome, checked_id
from router.rpc import convert_out
from router.rpc.convert_chat import ChatReader, given, is_laborious, too_long
from router.rpc.interceptor import current_call, current_tenant
from router.runtime.fair_queue import CheckPool

Routed: TypeAlias = (
    router_pb.CompleteRequest | router_pb.StreamCompleteRequest | router_pb.DecideRequest
)

QUICK_BYTES = 2_048
TASK_CHARACTERS = 64
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
MAX_USD = 1e6


def takes_time(request: Routed) -> bool:
    """True if conversion may take more than a moment, by the sizes that its time grows with."""
    return request.ByteSize() > QUICK_BYTES and is_laborious(request.chat)


def read_routed(request: Routed, limits: RequestLimits) -> tuple[ChatRequest, RoutingOptions, str]:
    """Returns what to answer, how to route it, and the caller's label of it.

    Raises InvalidRequest, PromptTooLong.
    """
    found = Violations()
    reader = ChatReader(found, limits)
    reader.check_sizes(request.chat)
    chat = reader.read(request.chat)
    options = _options(request.routing, limits, found)
    task = _task(request.routing.task, found)
    if chat.characters > limits.characters:
        error = too_long(limits)
        if not found:
            raise error
        for violation in error.violations:
            found.add(violation.field, violation.description)
    found.done()
    return chat, options, task


def _task(label: str, found: Violations) -> str:
    found.short(label, TASK_CHARACTERS, "routing.task")
    found.require(not CONTROL.search(label), "routing.task", "leave control characters out")
    return label.strip()


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
    report = OutcomeReport(
        latency_ms=request.latency_ms,
        input_tokens=request.input_tokens,
        output_tokens=request.output_tokens,
        failure=request.failure,
        cached_tokens=request.cached_input_tokens,
        written_tokens=request.cache_write_tokens,
        reasoning_tokens=request.reasoning_tokens,
    )
    return check_outcome(request.decision_id, report), report


def read_feedback(
    request: router_pb.FeedbackRequest, limits: RequestLimits
) -> tuple[str, FeedbackReport]:
    """Decision id, "" for a session, and what is told of it. Raises InvalidRequest."""
    report = FeedbackReport(
        given(request, "quality"), given(request, "accepted"), request.correction
    )
    return check_feedback(request.decision_id, request.session_id, report, limits), report


_WEIGHTS = ("quality", "cost", "latency", "failure")

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
        current_call.get().note(done.record)
        return convert_out.completion(done)

    async def StreamComplete(  # noqa: N802 - the contract's name
        self, request: router_pb.StreamCompleteRequest, context: Context
    ) -> AsyncGenerator[router_pb.StreamCompleteResponse]:
        call = await self._call(request, context)
        async with aclosing(self._live.service.stream(call)) as items:
            async for item in items:
                if isinstance(item, Completion):
                    current_call.get().note(item.record)
                if not isinstance(item, Beside):
                    yield convert_out.stream_item(item)

    async def Decide(  # noqa: N802 - the contract's name
        self, request: router_pb.DecideRequest, context: Context
    ) -> router_pb.DecideResponse:
        made = await self._live.service.decide(await self._call(request, context))
        current_call.get().note(made.record)
        return convert_out.directive(made)

    async def ReportOutcome(  # noqa: N802 - the contract's name
        self, request: router_pb.ReportOutcomeRequest, _: Context
    ) -> router_pb.ReportOutcomeResponse:
        decision_id, report = read_outcome(request)
        current_call.get().decision_id = decision_id
        receipt = await self._live.service.report_outcome(current_tenant.get(), decision_id, report)
        return router_pb.ReportOutcomeResponse(
            already_recorded=receipt.already_recorded, cost_usd=receipt.cost_usd
        )

    async def Feedback(  # noqa: N802 - the contract's name
        self, request: router_pb.FeedbackRequest, _: Context
    ) -> router_pb.FeedbackResponse:
        decision_id, report = read_feedback(request, self._limits)
        service, tenant = self._live.service, current_tenant.get()
        if request.session_id:
            done = await service.session_feedback(tenant, request.session_id, report)
            return convert_out.credited(done)
        current_call.get().decision_id = decision_id
        known = await service.feedback(tenant, decision_id, report)
        return convert_out.credited(FeedbackReceipt(known))

    async def GetDecision(  # noqa: N802 - the contract's name
        self, request: router_pb.GetDecisionRequest, _: Context
    ) -> router_pb.GetDecisionResponse:
        decision_id = checked_id(request.decision_id)
        current_call.get().decision_id = decision_id
        record = await self._live.service.decision(current_tenant.get(), decision_id)
        return convert_out.decision(record)

    async def _call(self, request: Routed, context: Context) -> RouteRequest:
        remaining_s, tenant = context.time_remaining(), current_tenant.get()
        deadline_s = None if remaining_s is None else self._clock() + remaining_s
        read = partial(read_routed, request, self._limits)
        routed = await self._checks.run(tenant.name, read) if takes_time(request) else read()
        chat, options, task = routed
        quiet = request.routing.no_evidence
        return RouteRequest(tenant, chat, options, deadline_s, task, no_evidence=quiet)
