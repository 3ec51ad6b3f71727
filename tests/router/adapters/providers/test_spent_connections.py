"""Connections whose server says more than was asked, breaks them, or answers before it has read."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager, suppress

import httpcore
import pytest
import trustme

from router.adapters.providers import make_client
from router.adapters.providers.http import CallProgress
from router.adapters.providers.network import KeptPool
from router.domain.errors import ProviderDisconnected
from tests.e2e.wire import on_uvloop

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"
TOO_LARGE = b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno"
LARGE = b"x" * (8 << 20)
PATIENT_S = 60.0
AUTHORITY = trustme.CA()

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Ask = Callable[[bytes], Awaitable[httpcore.Response]]


@asynccontextmanager
async def listening(serve: Serve, *, tls: bool = False) -> AsyncIterator[str]:
    """Yields the server's URL."""
    shown = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if tls else None
    if shown:
        AUTHORITY.issue_cert("localhost").configure_cert(shown)

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, asyncio.CancelledError, OSError):
            await serve(reader, writer)
        writer.transport.abort()

    made = await asyncio.start_server(served, "127.0.0.1", 0, ssl=shown)
    async with made:
        yield f"http{'s' if tls else ''}://localhost:{made.sockets[0].getsockname()[1]}/"


@asynccontextmanager
async def asking(serve: Serve, *, tls: bool = False) -> AsyncIterator[Ask]:
    """Yields what sends a body to the server over a pool of one connection."""
    trusted = ssl.create_default_context()
    AUTHORITY.configure_trust(trusted)
    pool = KeptPool(ssl_context=trusted, max_connections=1)
    async with asyncio.timeout(PATIENT_S), listening(serve, tls=tls) as url, pool:
        yield lambda body: pool.request("POST", url, content=body)


async def _request(reader: asyncio.StreamReader) -> None:
    await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(2)


@pytest.mark.parametrize("tls", [False, True])
@on_uvloop
async def test_what_comes_after_an_answer_answers_no_other_request(*, tls: bool) -> None:
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while True:
            await _request(reader)
            writer.write(ANSWER)
            await asyncio.sleep(0.02)
            writer.write(TOO_LARGE)

    async with asking(serve, tls=tls) as ask:
        assert (await ask(b"{}")).content == b"hi"
        await asyncio.sleep(0.2)
        assert (await ask(b"{}")).content == b"hi"
    assert connections == 2


@on_uvloop
async def test_a_kept_connection_that_was_reset_is_left_though_its_number_is_anothers() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _request(reader)
        writer.write(ANSWER)
        await asyncio.sleep(0.05)
        now = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)

    async with asking(serve) as ask:
        assert (await ask(b"{}")).content == b"hi"
        await asyncio.sleep(0.2)
        with ExitStack() as stack:
            for _ in range(4):
                for end in socket.socketpair():
                    stack.enter_context(end)
            assert (await ask(b"{}")).content == b"hi"


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("hangs_up", [False, True])
@on_uvloop
async def test_an_answer_counts_before_its_request_is_read(*, tls: bool, hangs_up: bool) -> None:
    connections, done = 0, asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(TOO_LARGE)
        await writer.drain()
        await (asyncio.sleep(0.05) if hangs_up else done.wait())

    async with asking(serve, tls=tls) as ask:
        for _ in range(2):
            response = await ask(LARGE)
            assert (response.status, response.content) == (413, b"no")
        done.set()
    assert connections == 2


@on_uvloop
async def test_a_call_whose_pool_is_closed_is_not_sent_again() -> None:
    requests, begun = 0, asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        await _request(reader)
        writer.write(ANSWER)
        while True:
            await _request(reader)
            requests += 1
            begun.set()

    async with listening(serve) as url, asyncio.timeout(PATIENT_S):
        pool, progress = KeptPool(), CallProgress()
        await pool.request("POST", url, content=b"{}")
        headers = {"host": "x", "content-length": "2"}
        extensions = {"trace": progress.trace}
        request = httpcore.Request(
            "POST", url, headers=headers, content=b"{}", extensions=extensions
        )
        call = asyncio.create_task(progress.sent_by(pool, request))
        await begun.wait()
        await pool.aclose()
        with pytest.raises(ProviderDisconnected):
            await call
        assert pool.connections == []
    assert requests == 1


@pytest.mark.parametrize("path", ["/v1/a b", "/v1/a\x00b"])
@on_uvloop
async def test_a_url_that_is_no_word_is_not_sent(path: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}{path}"
        async with asyncio.timeout(PATIENT_S), make_client() as client:
            with pytest.raises(httpcore.LocalProtocolError):
                await client.request("POST", url, content=b"{}")
