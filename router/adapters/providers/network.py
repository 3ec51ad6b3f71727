"""One call's way over the network: its connection, its limits, and errors as errors of the tree.

The connections are asyncio's alone, and send a whole HTTP/1.1 request in one piece. httpcore writes
head and body one after the other: two system calls, two packets, and an upstream that wakes up
twice. Here what is written waits until an answer is read. httpcore's own connections serve every
event loop, and pay for that on every read.
"""

from __future__ import annotations

import asyncio
import select
import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import httpcore
import msgspec

from router.adapters.providers.way_faults import ClosedUnanswered, WayFault, way_fault
from router.domain.errors import (
    ConnectionsExhausted,
    ProviderDisconnected,
    ProviderError,
    ProviderMalformed,
    ProviderTimeout,
    ProviderUnavailable,
)

DRIVER_ERRORS = (
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.UnsupportedProtocol,
    OSError,
)
"""Errors of the network without httpcore's timeouts; the standard library's are OSErrors."""

MOST_SENDINGS: Final = 3
LEFT_S: Final = 1.0
"""A server closes an idle connection within a round trip of a request that crosses it; one that
closes later has begun to work on it."""
_REFUSED_STREAM: Final = 7


@dataclass(slots=True)
class CallProgress:
    """One call's way from waiting for a connection to the request being sent.

    What was not sent is not charged; who was not even called is not to blame.

    connecting: for this call. shares: the connection carries other calls too, as in HTTP/2.
    sent_s: when the request went out, on the loop's clock. refusal: what the status stands for,
    while its body is read.
    """

    connecting: bool = False
    sent: bool = False
    shares: bool = False
    sent_s: float = 0.0
    refusal: ProviderError | None = None

    async def trace(self, event: str, _: object) -> None:
        """Follows the `trace` extension of httpcore."""
        self.connecting = self.connecting or event == "connection.connect_tcp.started"
        if event.endswith(".send_request_headers.started"):
            self.sent, self.sent_s = True, asyncio.get_running_loop().time()
            self.shares = event.startswith("http2.")

    async def sent_by(
        self, client: httpcore.AsyncConnectionPool, request: httpcore.Request
    ) -> httpcore.Response:
        """Send a request; again where a kept connection was closed as the request went out.

        Raises ProviderUnavailable and ProviderDisconnected.
        """
        self.refusal = None
        for _ in range(MOST_SENDINGS):
            try:
                return await client.handle_async_request(request)
            except DRIVER_ERRORS as error:
                if not self._was_left(error):
                    raise self.broke_off(way_fault(error)) from None
                self.sent = self.connecting = False
                await close_idle(client, request.url.origin)
        raise self.broke_off() from None

    def _was_left(self, error: BaseException) -> bool:
        """True if a connection that had served before ended without a byte, soon after sending."""
        if self.connecting or not self.sent:
            return False
        if asyncio.get_running_loop().time() - self.sent_s > LEFT_S:
            return False
        return _is_unprocessed(error) if self.shares else isinstance(error, ClosedUnanswered)

    def timed_out(self) -> ProviderError:
        if self.refusal is not None:
            return self.refusal
        if self.sent:
            return ProviderTimeout("the provider did not answer in time")
        if self.connecting:
            return _unreached("the provider could not be reached in time", WayFault.LATE.value)
        return ConnectionsExhausted("no connection came free in time")

    def broke_off(self, fault: WayFault | None = None) -> ProviderError:
        """Returns the error of a connection that ended before any answer."""
        code = fault.value if fault else ""
        if self.sent:
            message = "the provider closed the connection without an answer"
            return ProviderDisconnected(message, code=code)
        return _unreached("the provider could not be reached", code)

    @asynccontextmanager
    async def bounded(self, limit_ms: float, *, hurried: bool = False) -> AsyncIterator[None]:
        """Every driver error within becomes one of the tree, without its words.

        A cancellation before anything was sent has as its cause what a timeout then had been.

        hurried: the limit is shorter than the deployment's own.
        """
        try:
            async with asyncio.timeout(max(0.0, limit_ms) / 1_000) as limit:
                yield
        except ProviderError:
            raise
        except asyncio.CancelledError as left:
            is_open = self.sent and self.refusal is None
            raise left from None if is_open else self.timed_out()
        except (TimeoutError, httpcore.TimeoutException):
            error = self.timed_out()
            error.hurried = hurried and limit.expired() and self.refusal is None
            raise error from None
        except DRIVER_ERRORS:
            raise ProviderMalformed("the provider broke off in the middle of its answer") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise ProviderMalformed("the provider's answer does not follow its protocol") from None


def _unreached(message: str, code: str) -> ProviderError:
    error = ProviderUnavailable(message, code=code)
    error.unreached = True
    return error


async def close_idle(client: httpcore.AsyncConnectionPool, origin: httpcore.Origin) -> None:
    """Close kept connections to a server that has just left one: the next one is fresh."""
    kept = client._connections  # noqa: SLF001 - the pool has no other way
    idle = [each for each in kept if each.is_idle() and each.can_handle_request(origin)]
    for each in idle:
        kept.remove(each)
    for each in idle:
        with suppress(*DRIVER_ERRORS):
            await each.aclose()


def _is_unprocessed(error: BaseException) -> bool:
    """True but for a stream of HTTP/2 that its server reset after it had begun to work on it."""
    event = error.args[0] if error.args else None
    return not hasattr(event, "stream_id") or getattr(event, "error_code", 0) == _REFUSED_STREAM


class OnePieceBackend(httpcore.AsyncNetworkBackend):
    """Only for HTTP/1.1, where a client that has written always reads next.

    Raises OSError as it is, and httpcore.ConnectTimeout.
    """

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        local = (local_address, 0) if local_address else None
        try:
            async with asyncio.timeout(timeout):
                reader, writer = await asyncio.open_connection(host, port, local_addr=local)
        except TimeoutError:
            raise httpcore.ConnectTimeout from None
        for option in socket_options or ():
            writer.get_extra_info("socket").setsockopt(*option)
        return _OnePieceStream(reader, writer)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class _OnePieceStream(httpcore.AsyncNetworkStream):
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._unsent: list[bytes] = []
        self._unanswered = False
        self._poll = select.poll()
        self._poll.register(writer.get_extra_info("socket"), select.POLLIN)

    async def write(
        self,
        buffer: bytes,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface's
    ) -> None:
        del timeout
        self._unsent.append(buffer)

    async def read(
        self,
        max_bytes: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface's
    ) -> bytes:
        del timeout  # each attempt has its own limit over everything
        if self._unsent:
            self._writer.writelines(self._unsent)
            self._unsent, self._unanswered = [], True
            # A server may answer and hang up before it has read everything: its answer counts.
            with suppress(OSError):
                await self._writer.drain()
        try:
            data = await self._reader.read(max_bytes)
        except OSError:
            if self._unanswered:
                raise ClosedUnanswered from None
            raise
        if self._unanswered and not data:
            raise ClosedUnanswered
        self._unanswered = False
        return data

    async def aclose(self) -> None:
        """Close at once: who gave up a call must not wait for its upstream to agree."""
        self._writer.transport.abort()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface's
    ) -> httpcore.AsyncNetworkStream:
        await self._writer.start_tls(
            ssl_context, server_hostname=server_hostname, ssl_handshake_timeout=timeout
        )
        return self

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":  # of a connection nobody reads: that the upstream left it
            return self._reader.at_eof() or bool(self._poll.poll(0))
        return self._writer.get_extra_info(info)
