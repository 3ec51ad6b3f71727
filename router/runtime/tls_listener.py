"""A listener that bounds TLS handshakes under way, which no protocol is told of before they end."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import structlog

BURST: Final = 64
"""Connections accepted before the event loop turns to others."""
PAUSE_S: Final = 1.0
"""Time to wait where the process has no file left for a connection."""
CLOSE_S: Final = 2.0
"""For a peer to answer the end of its connection."""


class TlsListener:
    """Accepts on a socket from `open` to `close`. made: returns the protocol of a connection.

    context: of the next handshake, may be exchanged. gives_way(handshakes): is asked after each
    that began; the oldest is dropped where it returns True.
    """

    def __init__(
        self,
        listening: socket.socket,
        made: Callable[[], asyncio.Protocol],
        context: ssl.SSLContext,
        gives_way: Callable[[int], bool],
        handshake_s: float,
    ) -> None:
        self.context = context
        self._socket = listening
        self._made = made
        self._gives_way = gives_way
        self._handshake_s = handshake_s
        self._shaking: dict[asyncio.Task[None], None] = {}
        self._loop = asyncio.get_running_loop()
        self._paused: asyncio.TimerHandle | None = None

    def open(self) -> None:
        self._socket.settimeout(0)
        self._loop.add_reader(self._socket, self._readable)

    def close(self) -> None:
        """Accept no more, and drop the handshakes under way; the socket stays with its owner."""
        self._loop.remove_reader(self._socket)
        if self._paused is not None:
            self._paused.cancel()
        for task in self._shaking:
            task.cancel()

    def _readable(self) -> None:
        for _ in range(BURST):
            try:
                connection, _ = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:
                self._loop.remove_reader(self._socket)
                self._paused = self._loop.call_later(PAUSE_S, self.open)
                return
            self._begin(connection)

    def _begin(self, connection: socket.socket) -> None:
        connection.settimeout(0)
        task = self._loop.create_task(self._shake(connection))
        self._shaking[task] = None
        task.add_done_callback(self._ended)
        if self._gives_way(len(self._shaking)):
            oldest = next(iter(self._shaking))
            del self._shaking[oldest]
            oldest.cancel()

    async def _shake(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(OSError):  # a stranger's, or one that took too long
            await self._loop.connect_accepted_socket(
                self._made,
                connection,
                ssl=self.context,
                ssl_handshake_timeout=self._handshake_s,
                ssl_shutdown_timeout=CLOSE_S,
            )

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._shaking.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            structlog.get_logger("http").error("handshake_broke", error=type(error).__name__)
