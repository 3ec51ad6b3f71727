"""The HTTP server: the doors' routes on a socket, limits, graceful stop."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import structlog
import uvicorn
from uvicorn.server import ServerState

from router.domain import MS_PER_S
from router.domain.errors import PortTaken
from router.domain.requests import Live
from router.doors.checks import RequestLimits
from router.doors.house import CallBook, House, Observe
from router.doors.identity import CurrentIdentity
from router.http.answering import Desk
from router.http.guard import RequestGuard
from router.http.protocol import IDLE_S, BoundedProtocol, LineBounds
from router.http.refusals import Refusals
from router.http.routes import OPENAI, Serves, routes_of
from router.ports.observer import NO_TRACER, Tracer
from router.runtime.fair_queue import CheckPool

CUT_S = 1.0
"""For requests that are cut off to tell their callers so."""
QUIET_S = 0.05
BACKLOG = 512
LEAST_SPARE = 16
"""Handshakes that may be under way beside as many connections as there may be."""

BURST: Final = 64
"""Connections accepted before the event loop turns to others."""
PAUSE_S: Final = 1.0
"""Time to wait where the process has no file left for a connection."""
CLOSE_S: Final = 2.0
"""Time for a peer to answer the end of its connection."""


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """port 0 picks a free one. body_timeout_ms: to send a head, and then a body.

    max_connections: above it the one that is idle for longest makes room; handshakes count as well,
    and give way themselves once they are a quarter of it. ping_ms: silence before
    a stream is pinged.
    """

    host: str = "127.0.0.1"
    port: int = 0
    max_body_bytes: int = 4 * 1024 * 1024
    max_connections: int = 1_024
    body_timeout_ms: int = 5_000
    stall_ms: int = 20_000
    ping_ms: int = 15_000
    drain_ms: int = 65_000
    limits: RequestLimits = field(default_factory=RequestLimits)


class TlsListener:
    """Bounds TLS handshakes, which no protocol is told of. made: returns a connection's protocol.

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
        task.add_done_callback(partial(self._ended, connection))
        if self._gives_way(len(self._shaking)):
            oldest = next(iter(self._shaking))
            del self._shaking[oldest]
            oldest.cancel()

    async def _shake(self, connection: socket.socket) -> None:
        with suppress(OSError):  # a stranger's, or one that took too long
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._loop.connect_accepted_socket(
                self._made,
                connection,
                ssl=self.context,
                ssl_handshake_timeout=self._handshake_s,
                ssl_shutdown_timeout=CLOSE_S,
            )

    def _ended(self, connection: socket.socket, task: asyncio.Task[None]) -> None:
        self._shaking.pop(task, None)
        if task.cancelled():
            connection.close()  # of a task that had not begun, nobody else would
        elif (error := task.exception()) is not None:
            structlog.get_logger("http").error("handshake_broke", error=type(error).__name__)


class HttpServer:
    """house, checks: those of every door. serves: tells whether a component does.

    shown: the certificate; None to speak in the clear.
    """

    def __init__(
        self,
        live: Live,
        serves: Serves,
        observe: Observe,
        *,
        house: House,
        checks: CheckPool,
        settings: HttpSettings,
        tracer: Tracer = NO_TRACER,
        shown: CurrentIdentity | None = None,
    ) -> None:
        desk = Desk(live, checks, settings.limits, settings.ping_ms / MS_PER_S)
        self._drain_s = settings.drain_ms / MS_PER_S

        async def authenticate(key: str) -> Any:
            return await live.service.authenticate(key)

        self._calls = CallBook("http", observe, tracer)
        self._state = ServerState()
        routes = routes_of(desk, serves)
        self._guard = RequestGuard(
            routes,
            OPENAI,
            authenticate,
            self._calls,
            house,
            body_bytes=settings.max_body_bytes,
            body_s=settings.body_timeout_ms / MS_PER_S,
            stall_s=settings.stall_ms / MS_PER_S,
        )
        bounds = _bounds(settings, Refusals(routes, OPENAI, self._calls))
        self._bounds = bounds
        self._protocol = type("Protocol", (BoundedProtocol,), {"bounds": bounds})
        self._shown = shown
        self._spare = max(settings.max_connections // 4, LEAST_SPARE)
        self._socket = _listening(settings.host, settings.port)
        self.port: int = self._socket.getsockname()[1]
        self._handshake_s = settings.body_timeout_ms / MS_PER_S
        self._listener: asyncio.Server | TlsListener | None = None

    @property
    def under_way(self) -> int:
        """Requests that have not ended."""
        return self._calls.in_flight

    async def start(self) -> None:
        config = uvicorn.Config(
            self._guard,
            interface="asgi3",
            http=self._protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=int(IDLE_S),
        )
        config.load()
        loop, state = asyncio.get_running_loop(), self._state

        def made() -> BoundedProtocol:
            found: BoundedProtocol = self._protocol(config, state, {}, loop)
            return found

        if self._shown is None:
            self._listener = await loop.create_server(
                made, sock=self._socket.dup(), backlog=BACKLOG
            )
            return
        context = self._shown.identity.context
        shaking = TlsListener(self._socket, made, context, self._gives_way, self._handshake_s)
        shaking.open()
        self._listener = shaking

    async def renew(self, context: ssl.SSLContext) -> None:
        """Let new connections have another certificate; those there are go on with theirs."""
        if isinstance(self._listener, TlsListener):
            self._listener.context = context

    def _gives_way(self, handshakes: int) -> bool:
        """Make room for a handshake; returns whether another one has to."""
        if len(self._state.connections) + handshakes <= self._bounds.most_connections:
            return False
        if handshakes > self._spare:
            return True
        self._bounds.makes_room()
        return False

    async def stop(self) -> None:
        """Take no more connections, let requests under way end, cut off what outlasts the drain."""
        if self._listener is not None:
            self._listener.close()
        self._socket.close()
        if self._listener is None:
            return
        try:
            async with asyncio.timeout(self._drain_s):
                await self._idle()
        except TimeoutError:
            self._calls.cut()
            try:
                async with asyncio.timeout(CUT_S):
                    await self._idle()
            except TimeoutError:
                pass
        for connection in list(self._state.connections):
            connection.transport.abort()

    async def _idle(self) -> None:
        """Close connections as they fall idle, until none is left."""
        while self._state.connections:
            for connection in list(self._state.connections):
                connection.shutdown()
            await self._calls.idle()
            await asyncio.sleep(QUIET_S)


def _bounds(settings: HttpSettings, refusals: Refusals) -> LineBounds:
    return LineBounds(refusals, settings.body_timeout_ms / MS_PER_S, settings.max_connections)


def _listening(host: str, port: int) -> socket.socket:
    """Raises PortTaken."""
    bare = host.removeprefix("[").removesuffix("]")
    family = socket.AF_INET6 if ":" in bare else socket.AF_INET
    try:
        return socket.create_server(
            (bare, port), family=family, backlog=BACKLOG, dualstack_ipv6=bare == "::"
        )
    except OSError:
        raise PortTaken(f"can't listen on {host}:{port}: change server.host or http_port") from None
