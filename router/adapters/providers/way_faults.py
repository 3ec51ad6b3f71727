"""Tells where on the way to a provider a call without an answer ended."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator
from enum import StrEnum
from typing import Final

import httpcore

_OTHER_HOST: Final = (62, 64)
_EXPIRED: Final = (9, 10)
"""OpenSSL's numbers of what is wrong with a certificate."""
_PLAIN: Final = ("WRONG_VERSION_NUMBER", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE")
"""OpenSSL's words for an answer that is no TLS."""

DRIVER_ERRORS = (
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.UnsupportedProtocol,
    OSError,
)
"""Errors of the network without httpcore's timeouts; the standard library's are OSErrors."""


class ClosedUnanswered(httpcore.RemoteProtocolError):
    """The connection ended before a byte of an answer to what was written last."""


class ProxyRefused(OSError):
    """The proxy gave no tunnel."""


class WayFault(StrEnum):
    """The place on the way to a server where a call ended."""

    NAME = "host_unknown"
    REFUSED = "connection_refused"
    NO_ROUTE = "no_route"
    PROXY = "proxy_refused"
    LATE = "connect_timeout"
    NO_TLS = "no_tls"
    AUTHORITY = "certificate_untrusted"
    OTHER_HOST = "certificate_of_other_host"
    EXPIRED = "certificate_expired"
    TLS = "tls_failed"
    NO_HTTP = "no_http"
    CLOSED = "closed_unanswered"


def way_fault(error: BaseException) -> WayFault | None:
    """Returns what ended a call before any answer; None where it is not known."""
    return next((fault for each in _chain(error) if (fault := _one(each))), None)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yields an error and its causes, the innermost first: it knows best."""
    inner = error.__cause__ or error.__context__
    if inner is not None:
        yield from _chain(inner)
    yield error


def _one(error: BaseException) -> WayFault | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _certificate(error)
    if isinstance(error, ssl.SSLError):
        return WayFault.NO_TLS if str(error.reason) in _PLAIN else WayFault.TLS
    if isinstance(error, httpcore.RemoteProtocolError):
        left = isinstance(error, ClosedUnanswered) or "disconnected" in str(error)
        return WayFault.CLOSED if left else WayFault.NO_HTTP
    for kinds, fault in _FAULTS:
        if isinstance(error, kinds):
            return fault
    if not isinstance(error, OSError):
        return None
    # Several addresses that failed in several ways are told in one text.
    numbers = [number for number in _NUMBERS if f"[Errno {number}]" in str(error)]
    return _NUMBERS[numbers[0]] if numbers else None


_FAULTS: Final[tuple[tuple[tuple[type[BaseException], ...], WayFault], ...]] = (
    ((ProxyRefused,), WayFault.PROXY),
    ((socket.gaierror,), WayFault.NAME),
    ((ConnectionRefusedError,), WayFault.REFUSED),
    ((httpcore.TimeoutException, TimeoutError), WayFault.LATE),
    ((ConnectionError, httpcore.ReadError, httpcore.WriteError), WayFault.CLOSED),
    ((httpcore.ProtocolError,), WayFault.NO_HTTP),
)
_NUMBERS: Final = {
    errno.ECONNREFUSED: WayFault.REFUSED,
    errno.ENETUNREACH: WayFault.NO_ROUTE,
    errno.EHOSTUNREACH: WayFault.NO_ROUTE,
    errno.EADDRNOTAVAIL: WayFault.NO_ROUTE,
    errno.ETIMEDOUT: WayFault.LATE,
}


def _certificate(error: ssl.SSLCertVerificationError) -> WayFault:
    if error.verify_code in _OTHER_HOST:
        return WayFault.OTHER_HOST
    return WayFault.EXPIRED if error.verify_code in _EXPIRED else WayFault.AUTHORITY
