"""Notes what came back of a call, for the diagnosis of a deployment."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

import httpcore

from router.adapters.providers.proxy import ProxiedPool
from router.adapters.providers.way_faults import WayFault, way_fault

MAX_HEAD_BYTES: Final = 16 * 1024
_COMPRESSED: Final = (b"gzip", b"x-gzip", b"deflate")
_GZIP_OR_ZLIB: Final = 47


@dataclass(slots=True)
class Witnessed:
    """The last answer. status: 0 where there was none.

    page: its headers name HTML. compressed: its body is. head: the first bytes of the body.
    """

    status: int = 0
    page: bool = False
    compressed: bool = False
    head: bytes = b""
    fault: WayFault | None = None

    def begin(self) -> None:
        """Forget the answer before."""
        self.status, self.page, self.compressed, self.head, self.fault = 0, False, False, b"", None

    @property
    def text(self) -> bytes:
        """The first bytes, decompressed."""
        if not self.compressed:
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
        seen.compressed = told.get(b"content-encoding", b"") in _COMPRESSED
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
