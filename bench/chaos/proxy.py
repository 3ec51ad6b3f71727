"""A TCP proxy in front of a store, with faults of a network that a test turns on and off.

It runs on the event loop of its caller, asyncio's or uvloop's. All faults are methods of
`FaultyProxy`; they act at once, on connections that stand and on those that come.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

HOST = "127.0.0.1"
MAX_CONNECTIONS = 1_024
MAX_READ = 1 << 16
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER of no time: closing sends RST instead of FIN."""

Upstream = tuple[str, int] | str
"""Host and port, or the path of a Unix socket."""


class Mode(StrEnum):
    PASS = "pass"  # noqa: S105 - no password
    HOLD = "hold"
    """Connections are taken and nothing passes until the mode changes, as with SIGSTOP."""
    SWALLOW = "swallow"
    """Connections are taken, what is sent is lost; such a connection stays deaf afterwards."""
    MUTE = "mute"
    """Requests arrive and are executed, replies are lost."""
    REFUSE = "refuse"
    """The port refuses connections."""


@dataclass(eq=False, slots=True)
class _Link:
    """asking: a request was passed on that had no reply yet. deaf: bytes were lost on it."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter | None = None
    asking: bool = False
    deaf: bool = False
    pumps: list[asyncio.Task[None]] = field(default_factory=list)

    def reset(self) -> None:
        taken = self.client.get_extra_info("socket")
        if taken is not None and not self.client.is_closing():
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.client.transport.abort()
        self._drop_server()

    def finish(self) -> None:
        self.client.close()
        self._drop_server()

    def _drop_server(self) -> None:
        if self.server is not None:
            self.server.transport.abort()


class FaultyProxy:
    """Use it as an async context manager; `port` stays the same whatever the mode."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._mode = Mode.PASS
        self._changed = asyncio.Event()
        self._delay_s = 0.0
        self._links: set[_Link] = set()
        self._server: asyncio.Server | None = None
        self._name = _bound(0)  # keeps the port ours while nothing listens
        self.port: int = self._name.getsockname()[1]
        self.accepted = 0
        """Connections that were taken so far."""

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}"

    @property
    def connections(self) -> int:
        return len(self._links)

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._unlisten()
        self._name.close()

    async def set(self, mode: Mode) -> None:
        self._mode = mode
        if mode is Mode.REFUSE:
            await self._unlisten()
        else:
            await self._listen()
        self._changed.set()
        self._changed = asyncio.Event()

    def delay(self, ms: float) -> None:
        """Hold up every read of both directions by this long."""
        self._delay_s = ms / 1_000

    def switch(self, upstream: Upstream) -> None:
        """Lead new connections elsewhere; those that stand stay with the old upstream."""
        self._upstream = upstream

    def reset_all(self) -> int:
        return self._end(list(self._links), reset=True)

    def reset_idle(self) -> int:
        return self._end([link for link in self._links if not link.asking], reset=True)

    def finish_all(self) -> int:
        """End every connection with FIN."""
        return self._end(list(self._links), reset=False)

    async def resets(self, every_ms: float, for_s: float) -> None:
        """Reset all connections again and again."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(for_s):
                while True:
                    self.reset_all()
                    await asyncio.sleep(every_ms / 1_000)

    def _end(self, links: list[_Link], *, reset: bool) -> int:
        for link in links:
            link.reset() if reset else link.finish()
        return len(links)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._take, sock=_bound(self.port))

    async def _unlisten(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
        pumps = [pump for link in self._links for pump in link.pumps]
        self._end(list(self._links), reset=True)
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link(writer)
        self.accepted += 1
        if len(self._links) >= MAX_CONNECTIONS:
            link.reset()
            return
        self._links.add(link)
        link.pumps.append(asyncio.ensure_future(self._serve(link, reader)))
        await asyncio.wait(link.pumps)
        self._links.discard(link)

    async def _serve(self, link: _Link, reader: asyncio.StreamReader) -> None:
        try:
            if self._mode is Mode.SWALLOW:
                link.deaf = True
                await self._pump(link, reader, link.client, is_request=True)
                return
            await self._held()
            answers, link.server = await _dial(self._upstream)
            back = self._pump(link, answers, link.client, is_request=False)
            link.pumps.append(asyncio.ensure_future(back))
            await self._pump(link, reader, link.server, is_request=True)
        except OSError:  # the upstream is away: so is the name that leads to it
            link.reset()

    async def _pump(
        self,
        link: _Link,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        is_request: bool,
    ) -> None:
        try:
            while data := await reader.read(MAX_READ):
                await asyncio.sleep(self._delay_s)
                await self._held()
                if self._loses(link, is_request=is_request):
                    continue
                link.asking = is_request
                writer.write(data)
                await writer.drain()
        except (OSError, RuntimeError):  # uvloop raises RuntimeError on a handle that was closed
            pass
        finally:
            link.finish()

    def _loses(self, link: _Link, *, is_request: bool) -> bool:
        lost = self._mode is Mode.SWALLOW or (self._mode is Mode.MUTE and not is_request)
        link.deaf = link.deaf or lost
        return link.deaf and (lost or self._mode is not Mode.MUTE)

    async def _held(self) -> None:
        while self._mode is Mode.HOLD:
            await self._changed.wait()


def _bound(port: int) -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((HOST, port))
    return made


async def _dial(upstream: Upstream) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if isinstance(upstream, str):
        return await asyncio.open_unix_connection(upstream)
    return await asyncio.open_connection(*upstream)
