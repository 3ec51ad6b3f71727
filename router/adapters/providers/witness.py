"""What came back of a call, for whoever has to say what is wrong with a deployment."""

from __future__ import annotations

import errno
import socket
import ssl
import zlib
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import httpcore

from router.adapters.providers.network import ClosedUnanswered
from router.adapters.providers.proxy import ProxiedPool, ProxyRefused

MAX_HEAD_BYTES: Final = 16 * 1024
_FOLDED: Final = (b"gzip", b"x-gzip", b"deflate")
_GZIP_OR_ZLIB: Final = 47
_OTHER_HOST: Final = (62, 64)
_EXPIRED: Final = (9, 10)
"""OpenSSL's numbers of what is wrong with a certificate."""
_PLAIN: Final = ("WRONG_VERSION_NUMBER", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE")
"""OpenSSL's words for an answer that is no TLS."""


class WayFault(StrEnum):
    """The place on the way to a server where a call ended."""

    NAME = "name"
    REFUSED = "refused"
    NO_ROUTE = "no_route"
    PROXY = "proxy"
    LATE = "late"
    NO_TLS = "no_tls"
    AUTHORITY = "authority"
    OTHER_HOST = "other_host"
    EXPIRED = "expired"
    TLS = "tls"
    NO_HTTP = "no_http"
    CLOSED = "closed"


@dataclass(slots=True)
class Witnessed:
    """The last answer. status: 0 where there was none.

    page: its headers say that it is one. folded: so is its body. head: first bytes of the body.
    """

    status: int = 0
    page: bool = False
    folded: bool = False
    head: bytes = b""
    fault: WayFault | None = None

    def begin(self) -> None:
        """Forget the answer before."""
        self.status, self.page, self.folded, self.head, self.fault = 0, False, False, b"", None

    @property
    def text(self) -> bytes:
        """The first bytes as they were meant."""
        if not self.folded:
            return self.head
        try:
            return zlib.decompressobj(_GZIP_OR_ZLIB).decompress(self.head, MAX_HEAD_BYTES)
        except zlib.error:
            return b""


_SEEN: ContextVar[Witnessed] = ContextVar("_SEEN")


def witnessing() -> Witnessed:
    """Returns what the calls of this task note from here on in a WitnessedPool."""
    seen = Witnessed()
    _SEEN.set(seen)
    return seen


class WitnessedPool(ProxiedPool):
    """Notes what comes back for the task that calls, and changes nothing."""

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        seen = _SEEN.get()
        seen.begin()
        try:
            response = await super().handle_async_request(request)
        except Exception as error:
            seen.fault = way_fault(error)
            raise
        told = {name.lower(): value.lower() for name, value in response.headers}
        seen.status = response.status
        seen.page = told.get(b"content-type", b"").startswith(b"text/html")
        seen.folded = told.get(b"content-encoding", b"") in _FOLDED
        response.stream = _Noted(response.stream, seen)
        return response


class _Noted:
    def __init__(self, stream: Any, seen: Witnessed) -> None:
        self._stream = stream
        self._seen = seen

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            if len(self._seen.head) < MAX_HEAD_BYTES:
                self._seen.head += chunk[:MAX_HEAD_BYTES]
            yield chunk

    async def aclose(self) -> None:
        if hasattr(self._stream, "aclose"):
            await self._stream.aclose()


def way_fault(error: BaseException) -> WayFault | None:
    """Returns what ended a call before any answer; None where it is not known."""
    return next((fault for each in _chain(error) if (fault := _one(each))), None)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The innermost first: it knows best."""
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
