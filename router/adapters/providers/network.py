"""Connections of asyncio alone, which send a whole HTTP/1.1 request in one piece.

httpcore writes head and body one after the other: two system calls, two packets, and an upstream
that wakes up twice. Here what is written waits until an answer is read. Its own connections serve
every event loop, and pay for that on every read.
"""

from __future__ import annotations

import asyncio
import select
import ssl
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import httpcore


class ClosedUnanswered(httpcore.RemoteProtocolError):
    """The connection ended before a byte of an answer to what was written last."""


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
