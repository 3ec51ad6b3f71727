"""uvicorn's HTTP/1.1 protocol with the bounds that it has none of: heads and idle connections."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from router.http.status import HeadersTooLarge, UnsentBody, status_of

MOST_HEAD_BYTES: Final = 65_536
IDLE_S: Final = 75.0
"""Longer than the minute for which load balancers keep connections."""
LINGER_S: Final = 2.0
LINE: Final = "line"
"""The key under which a request's state holds its connection."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection. on_lost: called once its peer has left.

    A head that is too large or too slow is refused here; `head_s` is set on the class that serves.
    """

    head_s: float = 5.0
    most_connections: int = 1_024

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.on_lost: Callable[[], object] | None = None
        self._head_bytes = 0
        self._in_head = True
        self._is_refused = False
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.most_connections:
            self._refuse(503, "too many connections")
        else:
            self._watch_head(IDLE_S)

    def connection_lost(self, exc: Exception | None) -> None:
        self._unwatch_head()
        super().connection_lost(exc)
        if self.on_lost is not None:
            self.on_lost()

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > MOST_HEAD_BYTES:
            self._refuse(status_of(HeadersTooLarge), _LARGE_HEAD)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._watch_head(self.head_s)
        self.scope["state"] = {LINE: self}

    def on_headers_complete(self) -> None:
        self._in_head, self._head_bytes = False, 0
        self._unwatch_head()
        if sum(len(name) + len(value) for name, value in self.headers) > MOST_HEAD_BYTES:
            self._refuse(status_of(HeadersTooLarge), _LARGE_HEAD)
        else:
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        if self.cycle is not None:
            super().on_message_complete()
        self._in_head = True

    def on_body(self, body: bytes) -> None:
        if self.cycle is not None:
            super().on_body(body)

    def timeout_keep_alive_handler(self) -> None:
        self.drop()

    def send_400_response(self, msg: str) -> None:
        del msg
        self._refuse(400, "this is no HTTP/1.1 request")

    def drop(self) -> None:
        """Close the connection, at once where its peer reads nothing."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        elif not self.transport.is_closing():
            self.transport.close()

    def _watch_head(self, within_s: float) -> None:
        self._unwatch_head()
        self._head_timer = self.loop.call_later(within_s, self._is_late)

    def _unwatch_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _is_late(self) -> None:
        if self._head_bytes:
            self._refuse(status_of(UnsentBody), "the request was not sent in time: send it at once")
        else:
            self.drop()

    def _refuse(self, status: int, message: str) -> None:
        """Answer what never came to a handler, and close once it can have been read."""
        if self._is_refused or self.transport.is_closing():
            return
        self._is_refused = True
        self._unwatch_head()
        if self.cycle is None or self.cycle.response_complete:
            body = b'{"error":{"message":"%s","type":"invalid_request_error"}}' % message.encode()
            head = b"HTTP/1.1 %d \r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
            self.transport.write(head % (status, len(body)) + b"connection: close\r\n\r\n" + body)
        if self.transport.can_write_eof():
            # Closed over unread bytes, the peer would be reset before it reads why.
            self.transport.write_eof()
            self._head_timer = self.loop.call_later(LINGER_S, self.transport.abort)
        else:
            self.transport.close()


_LARGE_HEAD: Final = f"send at most {MOST_HEAD_BYTES} bytes of headers"
