"""Failures of a call as errors of the tree: a refusing status, a driver error, a timeout."""

from __future__ import annotations

import asyncio
import email.utils
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC
from http import HTTPStatus

import httpcore
import msgspec

from router.domain.errors import (
    ConnectionsExhausted,
    ProviderDisconnected,
    ProviderError,
    ProviderMalformed,
    ProviderRateLimited,
    ProviderRefusedRequest,
    ProviderTimeout,
    ProviderUnauthorized,
    ProviderUnavailable,
)

MAX_RETRY_AFTER_MS = 3_600_000
_ACCOUNT = (HTTPStatus.UNAUTHORIZED, HTTPStatus.PAYMENT_REQUIRED, HTTPStatus.FORBIDDEN)
_LATE = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.GATEWAY_TIMEOUT)


def refusal(status: int, retry_after: str, now_s: float) -> ProviderError:
    """Returns the error that a status stands for.

    retry_after: the header, "" for none.

    now_s: seconds since the epoch, which a Retry-After in form of a date is measured from.
    """
    retry_after_ms = _retry_after_ms(retry_after, now_s)
    faulty = status >= HTTPStatus.INTERNAL_SERVER_ERROR
    if status == HTTPStatus.TOO_MANY_REQUESTS or (faulty and retry_after_ms is not None):
        message = "the provider asks for a pause"
        return ProviderRateLimited(message, retry_after_ms=retry_after_ms)
    if status in _ACCOUNT:
        return ProviderUnauthorized("the provider does not accept the configured key")
    if status in _LATE:
        return ProviderTimeout("the provider ran out of time")
    if faulty:
        return ProviderUnavailable("the provider has a fault")
    if status >= HTTPStatus.BAD_REQUEST:
        return ProviderRefusedRequest("the provider can't serve this request")
    # Redirects too: following one would carry the key and the prompt somewhere else.
    return ProviderMalformed("the provider answered with an unexpected status")


def _retry_after_ms(value: str, now_s: float) -> int | None:
    """Seconds or an HTTP date (RFC 9110, 10.2.3); None for neither."""
    try:
        seconds = _seconds(value, now_s)
        return int(min(max(0.0, seconds) * 1_000, MAX_RETRY_AFTER_MS))
    except (ValueError, TypeError, OverflowError):
        return None


def _seconds(value: str, now_s: float) -> float:
    if value[:1].isdigit():
        return float(value)
    date = email.utils.parsedate_to_datetime(value)
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now_s


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
