"""Connections to providers, and the pool that keeps them.

They are asyncio's alone, and send a whole HTTP/1.1 request in one piece. httpcore writes
head and body one after the other: two system calls, two packets, and an upstream that wakes up
twice. Here what is written waits until an answer is read. httpcore's own connections serve every
event loop and parse in Python, its pool looks at all of them for each call: a tenth of all that a
request costs.
"""

from __future__ import annotations

import asyncio
import re
import select
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import suppress
from math import inf
from typing import Any, Final

import httpcore
import httptools

from router.adapters.providers.odd_heads import one_length, tells_length
from router.adapters.providers.way_faults import DRIVER_ERRORS, ClosedUnanswered

MAX_HEAD_BYTES: Final = 100 * 1024
READ_BYTES: Final = 64 * 1024
_HEADERS: Final = re.compile(rb"(?:[-!#$%&'*+.^_`|~0-9a-zA-Z]+: [^\r\n\0]*\r\n)*\r\n")
_TARGET: Final = re.compile(rb"[\x21-\x7e]+")
_SWITCHED: Final = 101
_LEAST_STATUS: Final = 100
_FINAL: Final = 200


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
    ) -> OnePieceStream:
        local = (local_address, 0) if local_address else None
        try:
            async with asyncio.timeout(timeout):
                reader, writer = await asyncio.open_connection(host, port, local_addr=local)
        except TimeoutError:
            raise httpcore.ConnectTimeout from None
        for option in socket_options or ():
            writer.get_extra_info("socket").setsockopt(*option)
        return OnePieceStream(reader, writer)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class OnePieceStream(httpcore.AsyncNetworkStream):
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._raw = writer.transport
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
            unsent, self._unsent, self._unanswered = self._unsent, [], True
            if self._writer.is_closing():
                raise ClosedUnanswered
            # A server may answer, and hang up, before it has read everything: its answer counts.
            self._writer.writelines(unsent)
        try:
            data = await self._reader.read(max_bytes)
        except OSError:
            data = self._came_before()
            if not data and self._unanswered:
                raise ClosedUnanswered from None
            if not data:
                raise
        if self._unanswered and not data:
            raise ClosedUnanswered
        self._unanswered = False
        return data

    def _came_before(self) -> bytes:
        """Returns what was received before the connection broke, which the reader withholds."""
        held = self._held
        data = bytes(held)
        held.clear()
        return data

    @property
    def _held(self) -> bytearray:
        """Received, and not read."""
        held: bytearray = self._reader._buffer  # type: ignore[attr-defined]  # noqa: SLF001
        return held

    async def aclose(self) -> None:
        self.close()

    def close(self) -> None:
        """Close at once: who gave up a call must not wait for its upstream to agree."""
        self._writer.transport.abort()

    async def secure(
        self, trusted: ssl.SSLContext | None, host: str, limit_s: float | None
    ) -> None:
        """Speak TLS, and HTTP/1.1 in it, or close."""
        trusted = trusted or httpcore.default_ssl_context()
        trusted.set_alpn_protocols(["http/1.1"])
        try:
            await self.start_tls(trusted, host, limit_s)
        except BaseException:
            self.close()
            raise

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
        if info == "is_readable":
            return self._is_spent()
        return self._writer.get_extra_info(info)

    def _is_spent(self) -> bool:
        """True if no request may follow: the upstream left, or said something unasked."""
        reader = self._reader
        # A closed socket's number may be another one's by now: poll is asked last.
        left = self._writer.is_closing() or reader.at_eof() or reader.exception() is not None
        return left or bool(self._held or self._poll.poll(0))

    @property
    def sends(self) -> bool:
        """True while something of what was written is not sent."""
        if self._writer.is_closing():
            return True
        over = self._writer.transport
        return bool(self._raw.get_write_buffer_size() or over.get_write_buffer_size())


class _Response:
    """One response as it is parsed.

    status: 0 until the head is whole, which those of interim answers are not. pieces: of the body,
    to be taken. fault: what ended it, after the pieces. keeps: the connection may serve on.
    """

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.pieces: list[bytes] = []
        self.complete = False
        self.keeps = False
        self.fault: httpcore.RemoteProtocolError | None = None
        self._head = b""
        self._bare = 0
        self._refused = False
        self._parser = self._fresh()

    def feed(self, data: bytes) -> None:
        """Parse what was read; nothing is the end of the connection."""
        if not data:
            self._cut_off()
        elif self.status:
            self._bare += len(data)
            self._parse(data)
            if self._bare > MAX_HEAD_BYTES and not self.complete:
                self.fault = httpcore.RemoteProtocolError("a trailer is too long")
        else:
            self._head += data
            if self._refused or not self._parse(data):
                self._mend()
            if not self.status and len(self._head) > MAX_HEAD_BYTES:
                self.fault = httpcore.RemoteProtocolError("the head is too long")

    def _mend(self) -> None:
        """Parse the head anew, once it is whole, if a length told twice is all that is wrong."""
        self._refused = tells_length(self._head)
        if not self._refused:
            return
        self.fault = None
        mended = one_length(self._head)
        if mended:
            self.headers, self._refused, self._parser = [], False, self._fresh()
            self._parse(mended)

    def _fresh(self) -> httptools.HttpResponseParser:
        """Returns a parser that takes what servers send against the letter of the protocol."""
        parser = httptools.HttpResponseParser(self)
        parser.set_dangerous_leniencies(
            lenient_headers=True,
            lenient_chunked_length=True,
            lenient_keep_alive=True,
            lenient_version=True,
            lenient_data_after_close=True,
            lenient_optional_cr_before_lf=True,
            lenient_spaces_after_chunk_size=True,
        )
        return parser

    def _parse(self, data: bytes) -> bool:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if self.complete:
                self.keeps = False
                return True
            self.fault = httpcore.RemoteProtocolError("the answer is no HTTP")
            return False
        return True

    def _cut_off(self) -> None:
        named = {name.lower() for name, _ in self.headers}
        if self.status and not named & {b"content-length", b"transfer-encoding"}:
            self.complete = True
        else:
            self.fault = httpcore.RemoteProtocolError("the server disconnected within its answer")

    # What follows is called by the parser.

    def on_message_begin(self) -> None:
        if self.complete:
            raise httpcore.RemoteProtocolError("nothing was asked for")

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.status:  # else it is a trailer
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if _LEAST_STATUS <= status < _FINAL and status != _SWITCHED:
            self.headers.clear()
            return
        codings = [
            text.lower() for name, text in self.headers if name.lower() == b"transfer-encoding"
        ]
        if status < _FINAL or codings not in ([], [b"chunked"]):
            raise httpcore.RemoteProtocolError("the answer has a form that was not asked for")
        self.status, self._head = status, b""
        current = self._parser.get_http_version() >= "1.1"
        self.keeps = current and self._parser.should_keep_alive()

    def on_body(self, piece: bytes) -> None:
        self._bare = 0
        self.pieces.append(piece)

    def on_message_complete(self) -> None:
        self.complete = self.status != 0


class _Body:
    """The body of a response, which is closed once."""

    def __init__(self, connection: Http11Connection, response: _Response) -> None:
        self._connection = connection
        self._response = response
        self._closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        response = self._response
        try:
            while True:
                while response.pieces:
                    yield response.pieces.pop(0)
                if response.complete:
                    break
                await self._connection.receive(response)
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            self._connection.end(self._response)


class Http11Connection(httpcore.AsyncConnectionInterface):
    """Serves one call after the other, and connects for its first.

    proxied: a proxy forwards the calls, and is told these headers. freed: is told of each end of a
    call.
    """

    def __init__(
        self,
        origin: httpcore.Origin,
        backend: OnePieceBackend,
        trusted: ssl.SSLContext | None,
        kept_s: float | None,
        freed: Callable[[Http11Connection], None],
        *,
        proxied: Sequence[tuple[bytes, bytes]] | None = None,
    ) -> None:
        self._origin = origin
        self._backend = backend
        self._trusted = trusted
        self._kept_s = kept_s
        self._freed = freed
        self._proxied = proxied
        self._stream: OnePieceStream | None = None
        self._busy = False
        self._closed = False
        self._expires_s = 0.0

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        if self._busy or self._closed:
            raise httpcore.ConnectionNotAvailable
        self._busy = True
        response = _Response()
        trace = request.extensions.get("trace", _unheard)
        try:
            if self._stream is None:
                await trace("connection.connect_tcp.started", {})
                self._stream = await self._connected(request.extensions.get("timeout", {}))
            await trace("http11.send_request_headers.started", {})
            await self._stream.write(await self._written(request))
            while not response.status:
                await self.receive(response)
        except BaseException:
            self.end(response)
            raise
        content = _Body(self, response)
        return httpcore.Response(response.status, headers=response.headers, content=content)

    async def _connected(self, limits: dict[str, float | None]) -> OnePieceStream:
        host, limit_s = self._origin.host.decode("ascii"), limits.get("connect")
        stream = await self._backend.connect_tcp(host, self._origin.port, limit_s)
        if self._origin.scheme == b"https" and self._proxied is None:
            await stream.secure(self._trusted, host, limit_s)
        return stream

    async def _written(self, request: httpcore.Request) -> bytes:
        """Returns the whole request. Raises httpcore.LocalProtocolError."""
        url, headers = request.url, request.headers
        target = url.target if self._proxied is None else bytes(url)
        if not _TARGET.fullmatch(target):
            raise httpcore.LocalProtocolError("a URL can't be sent")
        headers = [*(self._proxied or ()), *headers]
        head = b"".join([*(b"%b: %b\r\n" % pair for pair in headers), b"\r\n"])
        # A value with a line of its own would be two headers.
        if not _HEADERS.fullmatch(head) or head.count(b"\n") != len(headers) + 1:
            raise httpcore.LocalProtocolError("a header can't be sent")
        body = [piece async for piece in request.stream]  # type: ignore[union-attr]
        return b"".join([b"%b %b HTTP/1.1\r\n" % (request.method, target), head, *body])

    async def receive(self, response: _Response) -> None:
        """Read on. Raises httpcore.RemoteProtocolError once nothing is left to take."""
        if response.fault is None and self._stream is not None:
            try:
                response.feed(await self._stream.read(READ_BYTES))
            except ClosedUnanswered:
                if self._closed:  # here, and not by its server: the call is not to be sent again
                    raise httpcore.ReadError from None
                raise
        if response.fault is not None and not response.pieces:
            raise response.fault

    def end(self, response: _Response) -> None:
        """Be kept for the next call where the answer was read to its end, else close."""
        if self._may_serve_on(response):
            kept_s = inf if self._kept_s is None else self._kept_s
            self._expires_s = time.monotonic() + kept_s
        else:
            self.close()
        self._busy = False
        self._freed(self)

    def _may_serve_on(self, response: _Response) -> bool:
        if self._stream is None or self._closed or self._stream.sends:
            return False
        return response.complete and response.keeps

    def close(self) -> None:
        self._closed = True
        if self._stream is not None:
            self._stream.close()

    async def aclose(self) -> None:
        self.close()

    def can_handle_request(self, origin: httpcore.Origin) -> bool:
        return origin == self._origin

    def is_available(self) -> bool:
        return self.is_idle()

    def is_idle(self) -> bool:
        return not (self._busy or self._closed or self._stream is None)

    def is_closed(self) -> bool:
        return self._closed

    def has_expired(self) -> bool:
        """True also for an idle connection that its server has left."""
        if self._busy or self._stream is None:
            return self._closed
        late = self._closed or time.monotonic() > self._expires_s
        return late or bool(self._stream.get_extra_info("is_readable"))

    def info(self) -> str:
        return f"{self._origin}, HTTP/1.1"


async def _unheard(_: str, __: object) -> None:
    """Follows a request that nobody follows."""


class KeptPool(httpcore.AsyncConnectionPool):
    """Connections that carry one call at a time, or, over HTTP/2, httpcore's that carry several.

    Those that wait for the next call stand in the order in which they came free.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._kept: list[Http11Connection] = []
        self._places = asyncio.Semaphore(self._max_connections)

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        if self._http2:
            return await super().handle_async_request(request)
        await self._place(request.extensions.get("timeout", {}).get("pool"))
        try:
            connection = self._connection(request.url.origin)
        except BaseException:
            self._places.release()
            raise
        return await connection.handle_async_request(request)  # which frees its place

    async def _place(self, limit_s: float | None) -> None:
        """Wait for one of the connections. Raises httpcore.PoolTimeout."""
        if not self._places.locked():
            await self._places.acquire()
            return
        try:
            async with asyncio.timeout(limit_s):
                await self._places.acquire()
        except TimeoutError:
            raise httpcore.PoolTimeout from None

    def _connection(self, origin: httpcore.Origin) -> Http11Connection:
        """Returns the one that came free last, which its server is least likely to have left."""
        kept = self._kept
        while kept and kept[0].has_expired():
            self._drop(kept[0])
        for each in reversed([each for each in kept if each.can_handle_request(origin)]):
            if not each.has_expired():
                kept.remove(each)
                return each
            self._drop(each)
        if kept and len(self._connections) >= self._max_connections:
            self._drop(kept[0])
        made = self.through(origin) or self.over(OnePieceBackend(), origin)
        self._connections.append(made)
        return made

    def create_connection(self, origin: httpcore.Origin) -> httpcore.AsyncConnectionInterface:
        """Returns a connection for httpcore's own way of handling calls."""
        return self.through(origin) or super().create_connection(origin)

    def through(self, origin: httpcore.Origin) -> Http11Connection | None:
        """Returns a connection through a proxy; None for the direct way."""
        del origin
        return None

    def over(
        self,
        backend: OnePieceBackend,
        origin: httpcore.Origin,
        proxied: Sequence[tuple[bytes, bytes]] | None = None,
    ) -> Http11Connection:
        trusted, kept_s = self._ssl_context, self._keepalive_expiry
        return Http11Connection(origin, backend, trusted, kept_s, self._freed, proxied=proxied)

    def _freed(self, connection: Http11Connection) -> None:
        if self._http2:
            return
        self._places.release()
        if connection.is_idle():
            self._kept.append(connection)
        else:
            self._forget(connection)

    def _drop(self, connection: Http11Connection) -> None:
        self._kept.remove(connection)
        connection.close()
        self._forget(connection)

    def _forget(self, connection: Http11Connection) -> None:
        with suppress(ValueError):  # the pool is closed, or its server was left
            self._connections.remove(connection)


async def close_idle(client: httpcore.AsyncConnectionPool, origin: httpcore.Origin) -> None:
    """Close kept connections to a server that has just left one: the next one is fresh."""
    kept = client._connections  # noqa: SLF001 - the pool has no other way
    idle = [each for each in kept if each.is_idle() and each.can_handle_request(origin)]
    for each in idle:
        kept.remove(each)
    for each in idle:
        with suppress(*DRIVER_ERRORS):
            await each.aclose()
