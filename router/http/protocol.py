"""uvicorn's HTTP/1.1 protocol with the bounds that it has none of: heads and idle connections."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from router.domain.errors import FieldViolation, Overloaded, RouterError
from router.http.status import HeadersTooLarge, Malformed, UnsentBody, WrongVersion

MOST_HEAD_BYTES: Final = 65_536
IDLE_S: Final = 75.0
"""Longer than the minute for which load balancers keep connections."""
LINGER_S: Final = 2.0
LINE: Final = "line"
"""The key under which a request's state holds its connection."""
MOST_PIPELINED: Final = 128
"""Requests of one connection that wait for those before them."""
VERSIONS: Final = ("1.1", "1.0")
HOP: Final = frozenset((b"upgrade", b"connection", b"http2-settings"))
"""Headers by which a client offers another protocol."""
Refusal: TypeAlias = Callable[[bytes, RouterError], bytes]


@dataclass(slots=True)
class LineBounds:
    """refusal: returns the whole response to a request for a URL that comes to no handler.

    head_s: for a head to come. idle: connections on which nothing is under way, the oldest first.
    """

    refusal: Refusal
    head_s: float
    most_connections: int
    idle: dict[BoundedProtocol, None] = field(default_factory=dict)

    def makes_room(self) -> bool:
        """End the connection that is idle for longest; returns whether there was one."""
        oldest = next(iter(self.idle), None)
        if oldest is None:
            return False
        del self.idle[oldest]
        oldest.transport.abort()
        return True


class BoundedProtocol(HttpToolsProtocol):
    """One connection. on_lost: called once its peer has left. fault: of a body under way.

    What is no request is refused here, after the requests before it have been answered.
    """

    bounds: LineBounds

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.on_lost: Callable[[], object] | None = None
        self.fault: RouterError | None = None
        self.url = b""
        self._running: Any = None
        self._head_bytes = 0
        self._in_head = True
        self._is_head_begun = False
        self._plain_head = b""
        self._refused: RouterError | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch(IDLE_S)
        bounds = self.bounds
        if len(self.connections) > bounds.most_connections and not bounds.makes_room():
            self._refuse(Overloaded("too many connections"))
            return
        bounds.idle[self] = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._unwatch()
        self.bounds.idle.pop(self, None)
        super().connection_lost(exc)
        self._disconnect()
        if self.on_lost is not None:
            self.on_lost()

    def hang_up(self) -> None:
        """End the connection; what is under way on it is told nothing."""
        self._disconnect()
        self.on_lost = None
        self.transport.abort()

    def _disconnect(self) -> None:
        """Let nothing more be written; uvicorn marks the last request that came, not this one."""
        if self._running is not None:
            self._running.disconnected = True

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def data_received(self, data: bytes) -> None:
        if self._refused is not None:
            return
        if self._in_head:
            self._head_bytes += len(data)
        self._unset_keepalive_if_required()
        try:
            self._feed(data)
        except httptools.HttpParserError:
            self._refuse(_malformed())
        if self._in_head and self._head_bytes > MOST_HEAD_BYTES:
            self._refuse(_large_head())
        if self._is_idle and self._timer is self.timeout_keep_alive_task is None:
            # Line ends before a head, or what is left of a body, keep no connection open.
            self._watch(self.bounds.head_s)

    def _feed(self, data: bytes) -> None:
        """Parse; what follows the offer of another protocol is read as if there were none."""
        while data:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                if not self._plain_head:
                    raise httptools.HttpParserError from None
                data, self._plain_head = self._plain_head + data[offer.args[0] :], b""
                self.parser = httptools.HttpRequestParser(self)
            else:
                return

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._refused is not None:
            return
        self._in_head = self._is_head_begun = True
        self._watch(self.bounds.head_s)
        self.scope["state"] = {LINE: self}

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # trailers of a body mean nothing, however many come
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._refused is not None:
            return
        self._in_head = self._is_head_begun = False
        self._head_bytes = 0
        self._unwatch()
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            self._plain_head = _without_offer(self.parser.get_method(), self.url, self.headers)
            return
        error = self._fault_of_head()
        if error is not None:
            self._refuse(error)
            return
        if len(self.pipeline) >= MOST_PIPELINED:
            self._refuse(Overloaded("too many requests at once: send more when some are answered"))
            return
        self.bounds.idle.pop(self, None)
        super().on_headers_complete()

    def _fault_of_head(self) -> RouterError | None:
        if sum(len(name) + len(value) for name, value in self.headers) > MOST_HEAD_BYTES:
            return _large_head()
        version = self.parser.get_http_version()
        if version not in VERSIONS:
            return WrongVersion(FieldViolation("request", "send HTTP/1.1"))
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts > 1 or (not hosts and version == "1.1"):
            return Malformed(FieldViolation("host", "send this header once"))
        return None

    def on_body(self, body: bytes) -> None:
        if self.cycle is not None and self._refused is None:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_head = True
        if self.cycle is not None and self._refused is None and not self._plain_head:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.pipeline:  # uvicorn reads on after each answer, and would let them pile up
            self.flow.pause_reading()
        if not self._is_idle or self.transport.is_closing():
            return
        self.bounds.idle[self] = None
        if self._refused is not None:
            self._tell(self._refused)

    def timeout_keep_alive_handler(self) -> None:
        self.drop()

    def drop(self) -> None:
        """Close the connection, at once where its peer reads nothing."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        elif not self.transport.is_closing():
            self.transport.close()

    @property
    def _is_idle(self) -> bool:
        """No request is under way, nor does one wait for its turn."""
        return self.cycle is None or self.cycle.response_complete

    def _watch(self, within_s: float) -> None:
        self._unwatch()
        self._timer = self.loop.call_later(within_s, self._is_late)

    def _unwatch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _is_late(self) -> None:
        if self.flow.read_paused:  # it may lie unread on this side
            self._watch(self.bounds.head_s)
        elif self._is_head_begun:
            self._refuse(UnsentBody("the request was not sent in time: send it at once"))
        else:
            self.drop()

    def _refuse(self, error: RouterError) -> None:
        """Read no more. The request whose body is at fault tells so itself."""
        if self._refused is not None or self.transport.is_closing():
            return
        self._refused = error
        self._unwatch()
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            self._tell(error)
        elif cycle.more_body and not self._in_head:
            self.fault = error
            cycle.message_event.set()

    def _tell(self, error: RouterError) -> None:
        """Answer what never came to a handler, and close once it can have been read."""
        self._unset_keepalive_if_required()
        self.transport.write(self.bounds.refusal(self.url, error))
        if self.transport.can_write_eof():
            # Closed over unread bytes, the peer would be reset before it reads why.
            self.transport.write_eof()
            self._timer = self.loop.call_later(LINGER_S, self.transport.abort)
        else:
            self.transport.close()


def _without_offer(method: bytes, url: bytes, headers: list[tuple[bytes, bytes]]) -> bytes:
    """Returns the head of a request without its offer to speak another protocol."""
    kept = [b"%s: %s\r\n" % (name, value) for name, value in headers if name not in HOP]
    told = b",".join(value.lower() for name, value in headers if name == b"connection")
    if b"close" in (token.strip() for token in told.split(b",")):
        kept.append(b"connection: close\r\n")
    return b"%s %s HTTP/1.1\r\n%s\r\n" % (method, url, b"".join(kept))


def _malformed() -> RouterError:
    return Malformed(FieldViolation("request", "send a well-formed request of HTTP/1.1"))


def _large_head() -> RouterError:
    return HeadersTooLarge(
        FieldViolation("request", f"send at most {MOST_HEAD_BYTES} bytes of headers")
    )
