"""One request in one piece, with and without TLS, on either event loop."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import httpcore
import pytest
import trustme
import uvloop

from router.adapters.providers.network import OnePieceBackend

AUTHORITY = trustme.CA()
BODY = b"x" * 1_000_000
HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(BODY)

Loop = Callable[[], asyncio.AbstractEventLoop]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> Loop:
    made: Loop = request.param
    return made


class Upstream:
    """pieces: what each read of a request gave. hangs_up: once it has answered."""

    def __init__(self, *, hangs_up: bool = False) -> None:
        self.pieces: list[bytes] = []
        self.calls: list[asyncio.Task[None]] = []
        self._hangs_up = hangs_up

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.calls.append(asyncio.create_task(self.answer(reader, writer)))

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await reader.read(65_536):
                self.pieces.append(piece)
                writer.write(HEAD + BODY)
                await writer.drain()
                if self._hangs_up:
                    break
            writer.close()
            await writer.wait_closed()

    @asynccontextmanager
    async def url(self, *, tls: bool) -> AsyncIterator[str]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if tls else None
        if context:
            AUTHORITY.issue_cert("localhost").configure_cert(context)
        server = await asyncio.start_server(self.accept, "127.0.0.1", 0, ssl=context)
        async with server:
            port = server.sockets[0].getsockname()[1]
            yield f"http{'s' if tls else ''}://localhost:{port}/"
            await asyncio.gather(*self.calls)


def _pool() -> httpcore.AsyncConnectionPool:
    trusting = ssl.create_default_context()
    AUTHORITY.configure_trust(trusting)
    return httpcore.AsyncConnectionPool(ssl_context=trusting, network_backend=OnePieceBackend())


def _run(loop: Loop, upstream: Upstream, *, tls: bool, pause_s: float = 0) -> None:
    async def ask_twice() -> None:
        async with upstream.url(tls=tls) as url, _pool() as pool:
            for _ in range(2):
                response = await pool.request("POST", url, content=b'{"model": "m"}')
                assert response.content == BODY
                await asyncio.sleep(pause_s)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(ask_twice())


@pytest.mark.parametrize("tls", [False, True])
def test_head_and_body_are_sent_together_on_a_connection_that_is_kept(
    loop: Loop, *, tls: bool
) -> None:
    upstream = Upstream()
    _run(loop, upstream, tls=tls)
    assert len(upstream.calls) == 1
    assert len(upstream.pieces) == 2
    assert all(piece.endswith(b'\r\n\r\n{"model": "m"}') for piece in upstream.pieces)


@pytest.mark.parametrize("tls", [False, True])
def test_a_connection_that_the_upstream_left_is_not_used_again(loop: Loop, *, tls: bool) -> None:
    upstream = Upstream(hangs_up=True)
    _run(loop, upstream, tls=tls, pause_s=0.1)
    assert len(upstream.calls) == 2


def test_an_upstream_that_is_not_trusted_is_not_told_anything(loop: Loop) -> None:
    async def ask() -> None:
        upstream = Upstream()
        pool = httpcore.AsyncConnectionPool(network_backend=OnePieceBackend())
        async with upstream.url(tls=True) as url, pool:
            with pytest.raises(ssl.SSLError):
                await pool.request("POST", url, content=b"secret")
        assert not upstream.pieces

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(ask())
