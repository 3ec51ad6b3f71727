"""What a response other than 200 means."""

from __future__ import annotations

import email.utils
from datetime import UTC
from http import HTTPStatus

from router.domain.errors import (
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
    """retry_after: the header, "" for none.

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
