"""Connections for HTTP/2 and HTTP/1.1 that tell whether an answer had begun."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from typing import Any

import httpcore

from router.adapters.providers.way_faults import ClosedUnanswered


class AnyVersionBackend(httpcore.AnyIOBackend):
    """For HTTP/2 where it is offered, and HTTP/1.1 beside it."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        made = await super().connect_tcp(host, port, timeout, local_address, socket_options)
        return _WatchedStream(made)


class _WatchedStream(httpcore.AsyncNetworkStream):
    """Tells a connection that ended unanswered from one that ended within an answer."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self._unanswered = False

    async def write(
        self,
        buffer: bytes,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface's
    ) -> None:
        self._unanswered = True
        await self._stream.write(buffer, timeout)

    async def read(
        self,
        max_bytes: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface's
    ) -> bytes:
        try:
            data = await self._stream.read(max_bytes, timeout)
        except httpcore.ReadError:
            if self._unanswered:
                raise ClosedUnanswered from None
            raise
        if self._unanswered and not data:
            raise ClosedUnanswered
        self._unanswered = False
        return data

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface's
    ) -> httpcore.AsyncNetworkStream:
        return _WatchedStream(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
