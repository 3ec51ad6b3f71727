"""Every call at any door: what is told of it, and how much of them there may be at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from uuid import uuid4

import structlog

from router.domain.errors import Overloaded, QuotaExceeded, RouterError
from router.domain.records import DecisionRecord
from router.domain.requests import known_request_id, known_trace_id
from router.domain.tenants import Tenant
from router.doors.checks import RateMemory
from router.ports.observer import NO_SPAN, Span, Tracer
from router.runtime.fair_queue import BUSY_RETRY_MS, FairQueue, FairShares

REQUEST_ID: Final = "x-request-id"
TRACE_PARENT: Final = "traceparent"
CANCELLED: Final = "CANCELLED"
INTERNAL: Final = "INTERNAL"
Observe = Callable[[str, str, float], None]
METERED = frozenset(
    [
        "Complete",
        "StreamComplete",
        "Decide",
        "ChatCompletions",
        "Messages",
        "Responses",
        "Decisions",
    ]
)
"""Calls that count as requests of a tenant's quota."""
MESSAGES_HELD = 16
"""Requests of the greatest size that may be held at once, where the config says nothing: one
takes about four times its size once it is decoded, converted and sent on.
"""

T = TypeVar("T")


@dataclass(slots=True)
class DoorCall:
    """A call under way, as log, trace and metrics tell of it.

    code: OK, or the reason of its error. status: that of its protocol. record: what was decided.
    """

    method: str
    began_s: float
    request_id: str
    trace_id: str
    span: Span
    code: str = "OK"
    status: str | int = "OK"
    tenant: str = ""
    decision_id: str = ""
    record: DecisionRecord | None = None

    def note(self, record: DecisionRecord) -> None:
        self.decision_id, self.record = record.id, record

    def failed(self, error: RouterError, status: str | int) -> None:
        self.code, self.status = error.reason, status
        if error.record is not None:
            self.record = error.record
        self.decision_id = error.metadata.get("decision_id", self.decision_id)


class CallBook:
    """Knows the calls under way at one door, and tells of each that has ended.

    door: the name of its logger. observe(method, code, seconds) is told of every call.
    """

    def __init__(self, door: str, observe: Observe, tracer: Tracer) -> None:
        self._observe = observe
        self._tracer = tracer
        self._under_way: set[asyncio.Task[Any]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._log = structlog.get_logger(door)
        self.is_cut = False

    @property
    def in_flight(self) -> int:
        """Calls that were begun and have not ended, those that are being refused among them."""
        return len(self._under_way)

    def cut(self) -> None:
        """End every call under way; each tells its caller why."""
        self.is_cut = True
        for task in self._under_way:
            task.cancel()

    async def idle(self) -> None:
        """Returns when no call is under way."""
        await self._idle.wait()

    def enter(self) -> asyncio.Task[Any]:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a door runs each call in one
        self._under_way.add(task)
        self._idle.clear()
        return task

    def leave(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not self._under_way:
            self._idle.set()

    def begin(self, method: str, span: str, given: Mapping[str, str]) -> DoorCall:
        """span: its name, "" for none. given: what it carries beside its body, lower-case names."""
        traced = self._tracer.request(span, given) if span else NO_SPAN
        return DoorCall(
            method,
            time.perf_counter(),
            known_request_id(given.get(REQUEST_ID, "")) or uuid4().hex,
            traced.trace_id or known_trace_id(given.get(TRACE_PARENT, "")),
            traced,
        )

    def end(self, call: DoorCall) -> None:
        """Tell of it once its answer has gone out."""
        seconds = time.perf_counter() - call.began_s
        asyncio.get_running_loop().call_soon(self._tell, call, seconds)

    def internal(self, call: DoorCall, error: Exception) -> str:
        """Returns the id of an error outside the tree, which the log names by its type."""
        call.code, error_id = INTERNAL, uuid4().hex
        self._log.error("internal", error=type(error).__name__, error_id=error_id)
        return error_id

    def _tell(self, call: DoorCall, seconds: float) -> None:
        self._observe(call.method, call.code, seconds)
        call.span.ended(call.code, call.status, call.record)
        self._log.info(
            "call",
            method=call.method,
            code=call.code,
            tenant=call.tenant,
            decision_id=call.decision_id,
            latency_ms=round(seconds * 1_000, 2),
            request_id=call.request_id,
            trace_id=call.trace_id,
            **({} if call.record is None else call.record.line()),
        )


@dataclass(frozen=True, slots=True)
class HouseBounds:
    """message_bytes: of one request at most. share: of everything, for one tenant alone.

    body_bytes: of all requests that are read or worked on; body_s: to send one.
    """

    max_in_flight: int
    message_bytes: int
    body_bytes: int
    body_s: float
    share: float


class House:
    """Admits calls of tenants one by one; a tenant that takes much leaves room for the others.

    A request is read only once there is room for its call and for the bytes it may have. While it
    is on its way it has no place among the calls: one that never comes keeps nobody out.
    """

    def __init__(self, bounds: HouseBounds) -> None:
        most, share = bounds.max_in_flight, bounds.share
        self._bounds = bounds
        self._calls = FairShares(most, share=share)
        self._bytes = FairQueue(
            FairShares(bounds.body_bytes, share=share), FairShares(most, share=share)
        )
        self._rates = RateMemory()

    @property
    def calls(self) -> int:
        """Calls that have a place."""
        return self._calls.total

    @asynccontextmanager
    async def admitted(
        self, tenant: Tenant, method: str, read: Callable[[], Awaitable[tuple[T, int]]]
    ) -> AsyncIterator[T]:
        """The request, once it is read. read: returns it and its size.

        Raises Overloaded, QuotaExceeded, and what `read` raises.
        """
        if method in METERED:
            self._rates.check(tenant)
        if not self._calls.fits(tenant.name, 1):
            raise _full()
        held = self._bounds.message_bytes
        await self._reserve_bytes(tenant.name, held)
        try:
            request, size = await read()
            self._bytes.give_back(tenant.name, held - size)
            held = size
            async with self._place(tenant):
                yield request
        finally:
            self._bytes.give_back(tenant.name, held)

    async def _reserve_bytes(self, tenant: str, amount: int) -> None:
        try:
            async with asyncio.timeout(self._bounds.body_s):
                await self._bytes.take(tenant, amount)
        except TimeoutError:
            raise _full() from None

    @asynccontextmanager
    async def _place(self, tenant: Tenant) -> AsyncIterator[None]:
        if not self._calls.take(tenant.name, 1):
            raise _full()
        try:
            yield
        except QuotaExceeded as error:
            self._rates.refused(tenant, error)
            raise
        finally:
            self._calls.give_back(tenant.name, 1)


def _full() -> Overloaded:
    return Overloaded("too many requests in flight", retry_after_ms=BUSY_RETRY_MS)
