"""The server of the contract on a real channel, over a service that does as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc
from adaptive_router.v1 import chat_pb2, router_pb2, router_pb2_grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from router.domain.chat import (
    Answer,
    Delta,
    FinishReason,
    OpaquePart,
    TextDelta,
    ToolCall,
    Usage,
)
from router.domain.errors import Unauthenticated
from router.domain.records import (
    Attempt,
    AttemptOutcome,
    CacheStatus,
    Choice,
    DecisionRecord,
    FeedbackReceipt,
    FeedbackReport,
    LoggedContext,
    Mode,
    OutcomeReport,
    WeightSet,
)
from router.domain.requests import Completion, Directive, OutcomeReceipt, RouteRequest
from router.domain.tenants import QuotaLeft, Tenant
from router.rpc.health import HealthReporter
from router.rpc.server import RouterServer, ServerSettings

KEY = "ar_test"
METADATA = (("authorization", f"Bearer {KEY}"),)
TENANT = Tenant("test")
PATIENCE_S = 60.0

RECORD = DecisionRecord(
    id="d1",
    tenant="test",
    created_ms=1_700_000_000_000,
    mode=Mode.COMPLETE,
    choice=Choice(
        plan="ladder",
        propensity=0.75,
        explored=True,
        probabilities=(("ladder", 0.75), ("cheap", 0.25)),
        policy="adaptive",
        policy_version=7,
        weights=WeightSet(1.0, 0.1, 0.2, 0.3),
        context=LoggedContext((1.0,), (0.5,), (0.1,), "ctx-1"),
        expected=(("ladder", 0.9, 0.002, 0.8), ("cheap", 0.5, 0.001, 0.4)),
    ),
    attempts=(
        Attempt("cheap", "mini", "m", AttemptOutcome.ESCALATED, "empty", 12.5, 10, 1, 0.25),
        Attempt("reasoning", "big", "b", AttemptOutcome.ACCEPTED, "passed", 80.0, 10, 40, 0.5),
    ),
    arm="reasoning",
    deployment="big",
    model="b",
    cache=CacheStatus.MISS,
    feedback=0.5,
)
QUOTA = QuotaLeft(requests=9, tokens=None, daily_usd=1.5, monthly_usd=None)
ANSWER = Answer(
    text="Forty-two.",
    finish_reason=FinishReason.TOOL_CALLS,
    usage=Usage(10, 40),
    model="b",
    tool_calls=(ToolCall("c1", "look", '{"at": 1}'),),
    opaque=(OpaquePart("gemini", "m", b"\x00s"),),
)
DONE = Completion(ANSWER, RECORD, QUOTA)


@dataclass(slots=True)
class ScriptedService:
    """Implements `Service`. error: raised by every use case, in a stream after its items.

    hold: what is waited for before answering. tidy: whether a stream was closed by the task that
    ran it, not later by the garbage collector.
    """

    error: Exception | None = None
    hold: asyncio.Event | None = None
    items: tuple[Delta | Completion, ...] = (TextDelta("Forty-"), TextDelta("two."), DONE)
    calls: list[RouteRequest] = field(default_factory=list)
    reports: list[tuple[Tenant, str, object]] = field(default_factory=list)
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    tidy: bool = False

    async def authenticate(self, api_key: str) -> Tenant:
        if api_key != KEY:
            raise Unauthenticated("send a valid API key")
        return TENANT

    async def complete(self, call: RouteRequest) -> Completion:
        self.calls.append(call)
        await self._play()
        return DONE

    async def stream(self, call: RouteRequest) -> AsyncGenerator[Delta | Completion]:
        self.calls.append(call)
        task = asyncio.current_task()
        try:
            for item in self.items:
                yield item
            await self._play()
        finally:
            self.tidy = asyncio.current_task() is task
            self.left.set()

    async def decide(self, call: RouteRequest) -> Directive:
        self.calls.append(call)
        await self._play()
        return Directive(RECORD, ("cheap", "reasoning"), QUOTA)

    async def report_outcome(
        self, tenant: Tenant, decision_id: str, report: OutcomeReport
    ) -> OutcomeReceipt:
        self.reports.append((tenant, decision_id, report))
        await self._play()
        return OutcomeReceipt(already_recorded=True, cost_usd=0.25)

    async def feedback(self, tenant: Tenant, decision_id: str, report: FeedbackReport) -> bool:
        self.reports.append((tenant, decision_id, report))
        await self._play()
        return True

    async def session_feedback(
        self, tenant: Tenant, session_id: str, report: FeedbackReport
    ) -> FeedbackReceipt:
        self.reports.append((tenant, session_id, report))
        await self._play()
        return FeedbackReceipt(already_recorded=False, decisions=3)

    async def decision(self, tenant: Tenant, decision_id: str) -> DecisionRecord:
        self.reports.append((tenant, decision_id, None))
        await self._play()
        return RECORD

    async def _play(self) -> None:
        self.entered.set()
        try:
            if self.hold:
                await self.hold.wait()
        finally:
            self.left.set()
        if self.error:
            raise self.error


@dataclass(frozen=True, slots=True)
class FixedService:
    service: ScriptedService


@dataclass(slots=True)
class Wire:
    """observed: (method, code) of every call that ended."""

    service: ScriptedService
    health: HealthReporter
    server: RouterServer
    channel: grpc.aio.Channel
    observed: list[tuple[str, str]]
    stub: router_pb2_grpc.RouterServiceStub = field(init=False)

    def __post_init__(self) -> None:
        self.stub = router_pb2_grpc.RouterServiceStub(self.channel)

    def start(self, method: str, request: Message, **options: object) -> grpc.aio.Call:
        """Start a call with the key of the tenant `test`."""
        call = getattr(self.stub, method)
        return call(request, metadata=METADATA, timeout=PATIENCE_S, **options)

    async def send(self, method: str, request: Message) -> list[Message]:
        """Every message of the answer. Raises AioRpcError."""
        call = self.start(method, request)
        if method == "StreamComplete":
            return [item async for item in call]
        return [await call]


@asynccontextmanager
async def served(service: ScriptedService | None = None, **settings: object) -> AsyncIterator[Wire]:
    """A server that is ready; stopped and closed at the end."""
    service, health = service or ScriptedService(), HealthReporter()
    observed: list[tuple[str, str]] = []

    def observe(method: str, code: str, seconds: float) -> None:
        assert seconds >= 0
        observed.append((method, code))

    bounds = ServerSettings(port=0, **settings)
    server = RouterServer(FixedService(service), health, observe, bounds)
    for component in ("redis", "embedder"):
        await health.set(component, serving=True)
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            yield Wire(service, health, server, channel, observed)
    finally:
        await server.stop()


async def refused(call: Awaitable[object]) -> grpc.aio.AioRpcError:
    """The error that the call ends with."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error
    raise AssertionError("the call was answered")


def details(error: grpc.aio.AioRpcError) -> dict[str, Message]:
    """google.rpc details by the name of their type, unpacked."""
    status = rpc_status.from_call(error)
    found: dict[str, Message] = {}
    for packed in status.details if status else ():
        name = packed.TypeName().rsplit(".", 1)[-1]
        found[name] = getattr(error_details_pb2, name)()
        assert packed.Unpack(found[name])
    return found


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds():
            await asyncio.sleep(0.005)


def user(text: str = "hi", **more: object) -> chat_pb2.Message:
    return chat_pb2.Message(role=chat_pb2.ROLE_USER, text=text, **more)


def chat(*messages: chat_pb2.Message, **more: object) -> chat_pb2.ChatRequest:
    return chat_pb2.ChatRequest(messages=messages or [user()], **more)


def complete(**routing: object) -> router_pb2.CompleteRequest:
    return router_pb2.CompleteRequest(chat=chat(), routing=router_pb2.RoutingOptions(**routing))


GOOD: dict[str, Message] = {
    "Complete": router_pb2.CompleteRequest(chat=chat()),
    "StreamComplete": router_pb2.StreamCompleteRequest(chat=chat()),
    "Decide": router_pb2.DecideRequest(chat=chat()),
    "ReportOutcome": router_pb2.ReportOutcomeRequest(
        decision_id="d1", latency_ms=5.0, input_tokens=9
    ),
    "Feedback": router_pb2.FeedbackRequest(decision_id="d1", quality=0.5),
    "GetDecision": router_pb2.GetDecisionRequest(decision_id="d1"),
}
"""A request for every method that is in order."""
