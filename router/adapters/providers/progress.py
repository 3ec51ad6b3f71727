"""One call's way over the network, its limits, and the driver's errors as errors of the tree."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

import httpcore
import msgspec

from router.adapters.providers.network import ClosedUnanswered
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
LEFT_S: Final = 5.0
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
                    break
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
            return ProviderUnavailable("the provider could not be reached in time")
        return ConnectionsExhausted("no connection came free in time")

    def broke_off(self) -> ProviderError:
        """Returns the error of a connection that ended before any answer."""
        if self.sent:
            return ProviderDisconnected("the provider closed the connection without an answer")
        return ProviderUnavailable("the provider could not be reached")

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
