"""The outermost interceptor: who calls, how many at once, and what an error looks like outside."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Any
from uuid import uuid4

import grpc
import structlog
from google.rpc import status_pb2
from grpc_status import rpc_status

from router.domain.errors import (
    DeadlineTooShort,
    FieldViolation,
    InvalidRequest,
    Overloaded,
    RouterError,
    Unauthenticated,
)
from router.domain.tenants import Tenant
from router.rpc.status import internal_status, status_of

OPEN_PREFIX = "/grpc."
"""Health and reflection: open to probes and tools that have no key."""
BEARER = "bearer "
BUSY_RETRY_MS = 250
OPEN_UNSENT = 32
"""Requests without a key that may be on their way at once: each may take a message's memory."""

current_tenant: ContextVar[Tenant] = ContextVar("current_tenant")
current_decision: ContextVar[str] = ContextVar("current_decision", default="")
"""Set by the servicer once it is known, for the log."""

Authenticate = Callable[[str], Awaitable[Tenant]]
Observe = Callable[[str, str, float], None]
Decode = Callable[[bytes], Any]
Context = grpc.aio.ServicerContext[Any, Any]


class CallGuard(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # generic in the stub only
    """observe(method, code, seconds) is told of every call.

    doors: by service, who may call it; any other but health and reflection is closed to all.
    stall_ms: how long a caller may take to send a request, or to read one message of a stream.

    Requests are read and decoded in here, behind the key and the bound: a body that is no message
    of the contract is refused like any other mistake, and nobody without a key has one read. What
    is half sent takes the memory of max_in_flight messages with a key at most, and of OPEN_UNSENT
    to health and reflection. Without a bound remain connections, and on each of them health
    watches and refusals that nobody fetches.
    """

    def __init__(
        self,
        doors: Mapping[str, Authenticate],
        observe: Observe,
        *,
        max_in_flight: int,
        stall_ms: float,
    ) -> None:
        self._doors = doors
        self._observe = observe
        self._max_in_flight = max_in_flight
        self._stall_s = stall_ms / 1_000
        self._in_flight = 0
        self._open_unsent: dict[asyncio.Timeout, None] = {}
        self._idle = asyncio.Event()
        self._idle.set()
        self._log = structlog.get_logger("rpc")

    @property
    def in_flight(self) -> int:
        return self._in_flight

    async def idle(self) -> None:
        """Returns when no call is under way."""
        await self._idle.wait()

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
        _, service, name = method.split("/")
        door = self._doors[service]
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
            async with self._guarded(context, name, door):
                return await behaviour(await self._request(context, decode), context)

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
                self._guarded(context, name, door),
                aclosing(behaviour(await self._request(context, decode), context)) as items,
            ):
                async for item in items:
                    await self._write(context, item)

        return call

    def _open(self, handler: Any) -> Any:
        decode, encode = handler.request_deserializer, handler.response_serializer
        behaviour = handler.unary_unary or handler.unary_stream or handler.stream_stream

        async def call(_: object, context: Context) -> Any:
            async with _refusing(context):
                return await behaviour(_decoded(decode, await self._open_read(context)), context)

        async def talk(_: object, context: Context) -> None:
            requests = self._open_requests(context, decode)
            async with _refusing(context), aclosing(behaviour(requests, context)) as answers:
                async for answer in answers:
                    await self._write(context, answer)

        if handler.request_streaming:
            return grpc.stream_stream_rpc_method_handler(talk, None, encode)
        if handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(call, None, encode)
        return grpc.stream_unary_rpc_method_handler(call, None, encode)

    async def _open_requests(self, context: Context, decode: Decode) -> AsyncIterator[Any]:
        end = grpc.aio.EOF  # type: ignore[attr-defined]  # missing in the stub
        while (body := await self._open_read(context)) is not end:
            yield _decoded(decode, body)

    async def _open_read(self, context: Context) -> Any:
        """The oldest makes room: a probe, which sends all at once, is never kept out."""
        with _unsent_refused():
            async with asyncio.timeout(self._stall_s) as limit:
                self._open_unsent[limit] = None
                if len(self._open_unsent) > OPEN_UNSENT:
                    oldest = next(iter(self._open_unsent))
                    del self._open_unsent[oldest]
                    oldest.reschedule(asyncio.get_running_loop().time())
                try:
                    return await context.read()
                finally:
                    self._open_unsent.pop(limit, None)

    async def _request(self, context: Context, decode: Decode) -> Any:
        with _unsent_refused():
            async with asyncio.timeout(self._stall_s):
                body = await context.read()
        return _decoded(decode, body)

    async def _write(self, context: Context, item: Any) -> None:
        try:
            async with asyncio.timeout(self._stall_s):
                await context.write(item)
        except TimeoutError:
            raise DeadlineTooShort(
                f"nothing was read from the stream for {self._stall_s:g} s: read it as it comes"
            ) from None

    @asynccontextmanager
    async def _guarded(
        self, context: Context, name: str, door: Authenticate
    ) -> AsyncIterator[None]:
        began_s, code = time.perf_counter(), "OK"
        self._enter()
        try:
            self._check_room()
            current_tenant.set(await door(_api_key(context)))
            yield
        except RouterError as error:
            code = error.reason
            current_decision.set(error.metadata.get("decision_id", current_decision.get()))
            await _abort(context, status_of(error))
        except (asyncio.CancelledError, grpc.aio.BaseError):  # the latter: a write to nobody
            code = "CANCELLED"
            raise
        except Exception as error:  # noqa: BLE001 - the last line of defence, told by type only
            code = "INTERNAL"
            error_id = uuid4().hex
            self._log.error("internal", error=type(error).__name__, error_id=error_id)
            await _abort(context, internal_status(error_id))
        finally:
            self._leave(name, code, time.perf_counter() - began_s)

    def _enter(self) -> None:
        self._in_flight += 1
        self._idle.clear()

    def _check_room(self) -> None:
        if self._in_flight > self._max_in_flight:
            raise Overloaded("too many requests in flight", retry_after_ms=BUSY_RETRY_MS)

    def _leave(self, name: str, code: str, seconds: float) -> None:
        self._in_flight -= 1
        if not self._in_flight:
            self._idle.set()
        # Its answer goes out first.
        asyncio.get_running_loop().call_soon(self._tell, name, code, seconds)

    def _tell(self, name: str, code: str, seconds: float) -> None:
        """Runs in the call's own context."""
        self._observe(name, code, seconds)
        tenant = current_tenant.get(None)
        self._log.info(
            "call",
            method=name,
            code=code,
            tenant=tenant.name if tenant else "",
            decision_id=current_decision.get(),
            latency_ms=round(seconds * 1_000, 2),
        )


@contextmanager
def _unsent_refused() -> Iterator[None]:
    try:
        yield
    except TimeoutError:
        raise DeadlineTooShort("the request was not sent in time: send it at once") from None


@asynccontextmanager
async def _refusing(context: Context) -> AsyncIterator[None]:
    try:
        yield
    except RouterError as error:
        await _abort(context, status_of(error))


def _decoded(decode: Decode, body: bytes) -> Any:
    try:
        return decode(body)
    except Exception:  # noqa: BLE001 - whatever a decoder raises, the body is at fault
        fix = "send a message of the contract, encoded as protobuf"
        raise InvalidRequest(FieldViolation("request", fix)) from None


def _api_key(context: Context) -> str:
    """The key, or nothing without one: whether that will do is the service's business."""
    for name, value in context.invocation_metadata() or ():
        if name == "authorization":
            text = value if isinstance(value, str) else ""
            if not text.lower().startswith(BEARER):
                raise Unauthenticated("send the key as metadata `authorization: Bearer KEY`")
            return text[len(BEARER) :].strip()
    return ""


async def _abort(context: Context, status: status_pb2.Status) -> None:
    rich = rpc_status.to_status(status)
    await context.abort(rich.code, rich.details, rich.trailing_metadata)
