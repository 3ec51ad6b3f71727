"""One call's way over the network, its limits, and the driver's errors as errors of the tree."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpcore
import msgspec

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


@dataclass(slots=True)
class CallProgress:
    """One call's way from waiting for a connection to the request being sent.

    What was not sent is not charged; who was not even called is not to blame.
    """

    connecting: bool = False
    sent: bool = False

    async def trace(self, event: str, _: object) -> None:
        """Follows the `trace` extension of httpcore."""
        self.connecting = self.connecting or event == "connection.connect_tcp.started"
        self.sent = self.sent or event.endswith(".send_request_headers.started")

    def timed_out(self) -> ProviderError:
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
            raise left from None if self.sent else self.timed_out()
        except (TimeoutError, httpcore.TimeoutException):
            error = self.timed_out()
            error.hurried = hurried and limit.expired()
            raise error from None
        except DRIVER_ERRORS:
            raise ProviderMalformed("the provider broke off in the middle of its answer") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise ProviderMalformed("the provider's answer does not follow its protocol") from None
