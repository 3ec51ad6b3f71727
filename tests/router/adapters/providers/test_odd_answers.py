"""Answers over HTTP/1.1 as servers really write them, on a connection of the pool."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import httpcore
import pytest

from router.adapters.providers import make_client
from router.adapters.providers.network import MAX_HEAD_BYTES
from tests.e2e.wire import on_uvloop

OK = b"HTTP/1.1 200 OK\r\n"
TWO = b"content-length: 2\r\n\r\nhi"
CHUNKED = b"transfer-encoding: chunked\r\n\r\n"
PATIENT_S = 60.0
KEPT = {
    "a length": OK + TWO,
    "bare line feeds": b"HTTP/1.1 200 OK\ncontent-length: 2\n\nhi",
    "no reason": b"HTTP/1.1 200\r\n" + TWO,
    "a reason in Latin-1": b"HTTP/1.1 200 \xe4\xf6\r\n" + TWO,
    "a folded header": OK + b"a: b\r\n c\r\n" + TWO,
    "a control character": OK + b"set-cookie: a\x01b\r\n" + TWO,
    "text in Latin-1": OK + b"x: \xe4\xff\r\n" + TWO,
    "a header without a value": OK + b"x:\r\n" + TWO,
    "the length twice": OK + b"content-length: 2\r\n" + TWO,
    "an interim answer, then the length twice": b"HTTP/1.1 103 E\r\nlink: x\r\n\r\n"
    + OK
    + b"content-length: 2\r\n"
    + TWO,
    "the length as a list": OK + b"content-length: 2, 2\r\n\r\nhi",
    "chunks": OK + CHUNKED + b"1\r\nh\r\n1\r\ni\r\n0\r\n\r\n",
    "chunks and a length": OK + b"content-length: 9\r\n" + CHUNKED + b"2\r\nhi\r\n0\r\n\r\n",
    "chunks with extensions": OK + CHUNKED + b"2;a=b\r\nhi\r\n0\r\n\r\n",
    "chunks with spaces": OK + CHUNKED + b"2  \r\nhi\r\n0\r\n\r\n",
    "a trailer": OK + CHUNKED + b"2\r\nhi\r\n0\r\nx-t: 1\r\n\r\n",
    "an interim answer": b"HTTP/1.1 100 Continue\r\nconnection: close\r\n\r\n" + OK + TWO,
    "two interim answers": b"HTTP/1.1 103 E\r\nlink: x\r\n\r\nHTTP/1.1 102 P\r\n\r\n" + OK + TWO,
    "an offered upgrade": OK + b"upgrade: h2c\r\nconnection: upgrade\r\n" + TWO,
    "a long head": OK + b"x: " + b"a" * (MAX_HEAD_BYTES - 200) + b"\r\n" + TWO,
}
LEFT = {
    "close": OK + b"connection: x, Close\r\n" + TWO,
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n" + TWO,
    "HTTP/1.0 kept": b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\n" + TWO,
    "something after it": OK + TWO + b"GARBAGE",
    "another answer after it": OK + TWO + OK + b"content-length: 3\r\n\r\nbye",
}
UNTIL_CLOSED = {
    "no length": OK + b"\r\nhi",
    "no length in HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\nhi",
}
REFUSED = {
    "nothing": b"",
    "no HTTP": b"\x16\x03\x01\x00garbage\r\n\r\n",
    "a page": b"<html>hello</html>\r\n\r\n",
    "half a head": b"HTTP/1.1 200 OK\r\ncontent-len",
    "half a length": OK + b"content-length: 2\r\ncontent-length: ",
    "lengths that differ": OK + b"content-length: 2\r\ncontent-length: 3\r\n\r\nhi",
    "no number": OK + b"content-length: 2x\r\n\r\nhi",
    "an unknown coding": OK + b"transfer-encoding: gzip, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "another protocol": b"HTTP/1.1 101 S\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    "a space before the colon": OK + b"x : b\r\n" + TWO,
    "a head without an end": OK + b"x: " + b"a" * (MAX_HEAD_BYTES + 70_000),
}
CUT = {
    "a length": OK + b"content-length: 5\r\n\r\nhi",
    "a chunk": OK + CHUNKED + b"5\r\nhi",
    "the last chunk": OK + CHUNKED + b"2\r\nhi\r\n0\r\n",
    "a trailer without an end": OK + CHUNKED + b"2\r\nhi\r\n0\r\nx: " + b"a" * 300_000,
    "an extension without an end": OK + CHUNKED + b"2\r\nhi\r\n2;x=" + b"a" * 300_000,
    "a bad chunk": OK + CHUNKED + b"2\r\nhi\r\nzz\r\n",
}


@dataclass
class Server:
    """Answers each request with the same bytes, by `step` at once, and hangs up where told."""

    answer: bytes
    step: int = 1_000_000
    hangs_up: bool = False
    connections: int = 0
    heads: list[bytes] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                self.heads.append(await reader.readuntil(b"\r\n\r\n"))
                await reader.readexactly(2)
                for at in range(0, len(self.answer), self.step):
                    writer.write(self.answer[at : at + self.step])
                    await writer.drain()
                    await asyncio.sleep(0)
                if self.hangs_up:
                    break
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def listening(server: Server) -> AsyncIterator[str]:
    """Yields the server's URL."""
    made = await asyncio.start_server(server.serve, "127.0.0.1", 0, limit=1 << 20)
    async with made:
        yield f"http://127.0.0.1:{made.sockets[0].getsockname()[1]}/v1"


@asynccontextmanager
async def asking(server: Server) -> AsyncIterator[Callable[..., asyncio.Task[bytes]]]:
    """Yields what asks the server and gives the body of its answer."""
    async with asyncio.timeout(PATIENT_S), listening(server) as url, make_client() as client:

        async def body(**headers: str) -> bytes:
            response = await client.request("POST", url, headers=headers, content=b"{}")
            assert response.status == 200
            return response.content

        yield lambda **headers: asyncio.create_task(body(**headers))


@pytest.mark.parametrize("step", [1_000_000, 1], ids=["at once", "bytewise"])
@pytest.mark.parametrize("kind", [kind for kind in KEPT if kind != "a long head"])
@on_uvloop
async def test_the_connection_is_kept(kind: str, step: int) -> None:
    server = Server(KEPT[kind], step)
    async with asking(server) as ask:
        assert [await ask(), await ask()] == [b"hi", b"hi"]
    assert server.connections == 1


@on_uvloop
async def test_a_long_head_is_read() -> None:
    async with asking(Server(KEPT["a long head"], 9_000)) as ask:
        assert await ask() == b"hi"


@pytest.mark.parametrize("kind", LEFT)
@on_uvloop
async def test_the_connection_is_left(kind: str) -> None:
    server = Server(LEFT[kind])
    async with asking(server) as ask:
        assert [await ask(), await ask()] == [b"hi", b"hi"]
    assert server.connections == 2


@pytest.mark.parametrize("kind", UNTIL_CLOSED)
@on_uvloop
async def test_the_end_of_the_connection_ends_the_body(kind: str) -> None:
    server = Server(UNTIL_CLOSED[kind], hangs_up=True)
    async with asking(server) as ask:
        assert [await ask(), await ask()] == [b"hi", b"hi"]
    assert server.connections == 2


@pytest.mark.parametrize("step", [1_000_000, 1_009], ids=["at once", "in pieces"])
@pytest.mark.parametrize("kind", [*REFUSED, *CUT])
@on_uvloop
async def test_the_answer_is_refused(kind: str, step: int) -> None:
    answer = REFUSED[kind] if kind in REFUSED else CUT[kind]
    async with asking(Server(answer, step, hangs_up=True)) as ask:
        with pytest.raises(httpcore.RemoteProtocolError):
            await ask()


@pytest.mark.parametrize(
    "kind",
    [
        *("no HTTP", "no number", "a space before the colon"),
        *("a trailer without an end", "an extension without an end"),
    ],
)
@on_uvloop
async def test_an_answer_that_goes_on_for_ever_is_refused_at_once(kind: str) -> None:
    async with asking(Server({**REFUSED, **CUT}[kind])) as ask:
        with pytest.raises(httpcore.RemoteProtocolError):
            await ask()


@on_uvloop
async def test_an_idle_connection_makes_room_for_one_to_another_server() -> None:
    servers = [Server(KEPT["a length"]), Server(KEPT["a length"])]
    async with asyncio.timeout(PATIENT_S), AsyncExitStack() as stack:
        urls = [await stack.enter_async_context(listening(each)) for each in servers]
        client = await stack.enter_async_context(make_client(max_connections=1))
        for url in (urls[0], urls[1], urls[1], urls[0]):
            assert (await client.request("POST", url, content=b"{}")).content == b"hi"
        assert len(client.connections) == 1
    assert [each.connections for each in servers] == [2, 1]


@on_uvloop
async def test_calls_that_are_given_up_leave_room_for_others() -> None:
    """Waiting for a place, for an answer, and for the rest of a body."""
    server = Server(CUT["a length"])
    async with (
        asyncio.timeout(PATIENT_S),
        listening(server) as url,
        make_client(max_connections=1) as client,
    ):

        def call() -> asyncio.Task[httpcore.Response]:
            return asyncio.create_task(client.request("POST", url, content=b"{}"))

        for _ in range(3):
            calls = [call(), call()]
            await asyncio.sleep(0.05)
            for each in reversed(calls):
                each.cancel()
            await asyncio.wait(calls)
        server.answer = KEPT["a length"]
        assert (await call()).content == b"hi"


@pytest.mark.parametrize("value", ["a\r\nx-more: b", "a\nb", "a\rb", "a\x00b"])
@on_uvloop
async def test_a_header_that_would_be_two_is_not_sent(value: str) -> None:
    server = Server(KEPT["a length"])
    async with asking(server) as ask:
        with pytest.raises(httpcore.LocalProtocolError):
            await ask(authorization=value)
        assert await ask(authorization="Bearer x") == b"hi"
    assert len(server.heads) == 1
