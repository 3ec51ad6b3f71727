"""The outermost interceptor: who calls, how many at once, and what an error looks like outside."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

import grpc
from google.rpc import status_pb2
from grpc_status import rpc_status

from router.domain.errors import (
    DeadlineTooShort,
    FieldViolation,
    InvalidRequest,
    RouterError,
    ShuttingDown,
    Unauthenticated,
)
from router.domain.tenants import Tenant
from router.doors.house import (
    CANCELLED,
    INTERNAL,
    REQUEST_ID,
    CallBook,
    DoorCall,
    House,
    HouseBounds,
    Observe,
)
from router.ports.observer import NO_TRACER, Tracer
from router.rpc.fields import MOST_FIELDS, SMALL_BODY, has_few_fields
from router.rpc.status import code_of, internal_status, status_of
from router.runtime.fair_queue import CheckPool

OPEN_PREFIX = "/grpc."
"""Health and reflection: open to probes and tools that have no key."""
BEARER = "bearer "

current_tenant: ContextVar[Tenant] = ContextVar("current_tenant")
current_call: ContextVar[DoorCall] = ContextVar("current_call")
"""Told by the servicer what was decided, for the log and the trace."""

Authenticate = Callable[[str], Awaitable[Tenant]]
Decode = Callable[[bytes], Any]
Context = grpc.aio.ServicerContext[Any, Any]


class CallGuard(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # generic in the stub only
    """observe(method, code, seconds) is told of every call.

    doors: by service, who may call it; any other but health and reflection is closed to all.
    open_calls: makes handlers for these two, which anyone may call. checks: runs those that grow
    with a request.
    stall_s: how long a caller may take to read one message of a stream, or its refusal.

    Requests are read and decoded in here, behind the key and the bounds of `House`: a body that is
    no message of the contract is refused like any other mistake, and nobody without a key has one
    read. Without a bound remain connections, and on each of them health watches and refusals on
    their way.
    """

    def __init__(
        self,
        doors: Mapping[str, Authenticate],
        observe: Observe,
        bounds: HouseBounds,
        open_calls: Callable[[Any], Any],
        checks: CheckPool,
        *,
        stall_s: float,
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self.calls = CallBook("rpc", observe, tracer)
        self._doors = doors
        self._open = open_calls
        self._checks = checks
        self.house = House(bounds)
        self._body_s = bounds.body_s
        self._stall_s = stall_s

    def admitted(self) -> int:
        """Count calls of tenants that are worked on."""
        return self.house.calls

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = await continuation(handler_call_details)
        method = str(handler_call_details.method)
        if handler is None:
            return None
        if method.startswith(OPEN_PREFIX):
            return self._open(handler)
        # As streams of requests, which grpc leaves to be read in here.
        _, service, _ = method.split("/")
        door, name = self._doors[service], method[1:]
        decode, encode = handler.request_deserializer, handler.response_serializer
        if handler.response_streaming:
            stream = self._stream(handler.unary_stream, decode, name, door)
            return grpc.stream_stream_rpc_method_handler(stream, None, encode)
        unary = self._unary(handler.unary_unary, decode, name, door)
        return grpc.stream_unary_rpc_method_handler(unary, None, encode)

    def _unary(
        self,
        behaviour: Callable[..., Awaitable[Any]],
        decode: Decode,
        name: str,
        door: Authenticate,
    ) -> Callable[[object, Context], Awaitable[Any]]:
        async def call(_: object, context: Context) -> Any:
            async with self._guarded(context, name, door, decode) as request:
                return await behaviour(request, context)

        return call

    def _stream(
        self,
        behaviour: Callable[..., AsyncGenerator[Any]],
        decode: Decode,
        name: str,
        door: Authenticate,
    ) -> Callable[[object, Context], Awaitable[None]]:
        # Written to the context, not yielded: a caller who leaves while a message is on its way
        # would leave a generator to the garbage collector, and the upstream call with it.
        async def call(_: object, context: Context) -> None:
            async with (
                self._guarded(context, name, door, decode) as request,
                aclosing(behaviour(request, context)) as items,
            ):
                async for item in items:
                    await write(context, item, self._stall_s)

        return call

    async def _request(self, tenant: str, context: Context, decode: Decode) -> tuple[Any, int]:
        """The request and its size."""
        with unsent_refused():
            async with asyncio.timeout(self._body_s):
                body = await context.read()
        if len(body) > SMALL_BODY:
            await self._checks.run(tenant, partial(_check_fields, body, decode))
        return decoded(decode, body), len(body)

    @asynccontextmanager
    async def _guarded(
        self, context: Context, name: str, door: Authenticate, decode: Decode
    ) -> AsyncIterator[Any]:
        """The request, decoded, of a caller who may come in."""
        given, task = _metadata(context), self.calls.enter()
        call = self._begin(name, given, context)
        try:
            tenant = await door(_api_key(given))
            current_tenant.set(tenant)
            call.tenant = tenant.name
            read = partial(self._request, tenant.name, context, decode)
            async with self.house.admitted(tenant, method_of(name), read) as request:
                yield request
        except RouterError as error:
            call.failed(error, code_of(error).name)
            await abort(context, status_of(error), self._stall_s)
        except (asyncio.CancelledError, grpc.aio.BaseError):  # the latter: a write to nobody
            call.code = call.status = CANCELLED
            if self.calls.is_cut:
                task.uncancel()
                call.failed(stopping := _shutting_down(), code_of(stopping).name)
                await abort(context, status_of(stopping), self._stall_s)
            raise
        except Exception as error:  # noqa: BLE001 - the last line of defence, told by type only
            call.status = INTERNAL
            error_id = self.calls.internal(call, error)
            await abort(context, internal_status(error_id), self._stall_s)
        finally:
            self.calls.leave(task)
            self.calls.end(call)
            asyncio.get_running_loop().call_soon(_forget, sys.exc_info()[1])

    def _begin(self, name: str, given: Mapping[str, str], context: Context) -> DoorCall:
        """Its id goes back to its caller, whatever becomes of it."""
        call = self.calls.begin(method_of(name), name, given)
        context.set_trailing_metadata(((REQUEST_ID, call.request_id),))
        current_call.set(call)
        return call


def _forget(error: BaseException | None) -> None:
    """Drop the tracebacks of an error, whose frames hold the request.

    grpc keeps what ended a call in a ring that only the garbage collector ends.
    """
    while error is not None:
        error.__traceback__ = None
        error = error.__context__


@contextmanager
def unsent_refused() -> Iterator[None]:
    try:
        yield
    except TimeoutError:
        raise DeadlineTooShort("the request was not sent in time: send it at once") from None


def _check_fields(body: bytes, decode: Decode) -> None:
    if not has_few_fields(body, decode(b"").DESCRIPTOR):
        fix = f"send at most {MOST_FIELDS} fields in all messages, parts and calls together"
        raise InvalidRequest(FieldViolation("request", fix))


def decoded(decode: Decode, body: bytes) -> Any:
    try:
        return decode(body)
    except Exception:  # noqa: BLE001 - whatever a decoder raises, the body is at fault
        fix = "send a message of the contract, encoded as protobuf"
        raise InvalidRequest(FieldViolation("request", fix)) from None


def method_of(name: str) -> str:
    """Returns the name of a method without its service's.

    >>> method_of("adaptive_router.v1.RouterService/Complete")
    'Complete'
    """
    return name.rpartition("/")[2]


def _metadata(context: Context) -> dict[str, str]:
    """Returns what a caller sent beside its request; the first of several of one name counts."""
    given: dict[str, str] = {}
    for name, value in context.invocation_metadata() or ():
        given.setdefault(name, value if isinstance(value, str) else "")
    return given


def _api_key(given: Mapping[str, str]) -> str:
    """The key, or nothing without one: whether that will do is the service's business."""
    text = given.get("authorization")
    if text is None:
        return ""
    if not text.lower().startswith(BEARER):
        raise Unauthenticated("send the key as metadata `authorization: Bearer KEY`")
    return text[len(BEARER) :].strip()


async def write(context: Context, item: Any, stall_s: float) -> None:
    try:
        async with asyncio.timeout(stall_s):
            await context.write(item)
    except TimeoutError:
        raise DeadlineTooShort(
            f"nothing was read from the stream for {stall_s:g} s: read it as it comes"
        ) from None


async def abort(context: Context, status: status_pb2.Status, stall_s: float) -> None:
    """End the call with this status; without it where the caller reads nothing."""
    rich = rpc_status.to_status(status)
    trailing = (*(context.trailing_metadata() or ()), *rich.trailing_metadata)
    try:
        async with asyncio.timeout(stall_s):
            await context.abort(rich.code, rich.details, trailing)
    except TimeoutError:
        raise asyncio.CancelledError from None  # the one end that grpc tells nobody of


def _shutting_down() -> ShuttingDown:
    return ShuttingDown("the router is stopping: send the call again, to another replica")
