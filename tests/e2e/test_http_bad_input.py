"""Whatever is sent to the HTTP door gets a typed error in the dialect's form, and nothing hangs."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import KEY
from tests.e2e.http_doors import PATIENCE_S, QUESTION, door, post, raw, says
from tests.e2e.wire import Asked, Reply, Wire, on_uvloop

CHAT = "/v1/chat/completions"
GOOD: dict[str, Any] = {"model": "auto", "messages": QUESTION}
AUTH = f"authorization: Bearer {KEY}"
JSON = "content-type: application/json"


@pytest.fixture(autouse=True)
def _model(model_dir: Path) -> None:
    """The router finds it where it was fetched to."""


def body(**more: Any) -> bytes:
    return json.dumps(GOOD | more).encode()


def answered(got: bytes) -> tuple[int, dict[str, Any]]:
    """Returns the status and the error of one response."""
    head, _, rest = got.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), json.loads(rest)["error"]


DEEP = b'{"model":"auto","messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
BODIES: dict[str, tuple[bytes, int, str]] = {
    "nothing": (b"", 400, "request"),
    "broken": (b'{"model":"auto",', 400, "request"),
    "a list": (b"[]", 400, "request"),
    "text": (b'"hi"', 400, "request"),
    "not UTF-8": (b'{"model":"\xff"}', 400, "request"),
    "half a surrogate": (body().replace(b"How", b"\\ud800"), 400, "request"),
    "NaN": (body()[:-1] + b',"temperature":NaN}', 400, "request"),
    "infinite": (body()[:-1] + b',"temperature":1e999}', 400, "temperature"),
    "a key twice": (body()[:-1] + b',"model":"a"}', 400, "model"),
    "a key twice within": (body().replace(b'"role"', b'"role": "user", "role"'), 400, "role"),
    "many values": (b'{"model":"auto","messages":[' + b"[]," * 1_000_000, 400, "request"),
    "many keys": (b'{"model":"auto",' + b'"":0,' * 500_000, 400, "request"),
    "deep": (DEEP, 400, "request"),
    "deep and broken": (b"[" * 200_000, 400, "request"),
    "wrong type": (body(temperature="hot"), 400, "temperature"),
    "wrong type within": (body(messages=[{"role": 1}]), 400, "messages[0].role"),
    "no messages": (b'{"model":"auto"}', 400, "request"),
    "no role known": (body(messages=[{"role": "x", "content": "y"}]), 400, "messages[0].role"),
    "too hot": (body(temperature=9), 400, "temperature"),
    "more answers": (body(n=3), 400, "n"),
    "huge number": (body(seed=10**30), 400, "seed"),
    "another model": (body(model="gpt"), 404, "model"),
    "says nothing": (body(messages=[{"role": "user", "content": " "}]), 400, "messages"),
}


@on_uvloop
async def test_bodies(tmp_path: Path) -> None:
    wire = Wire(says())
    async with door(tmp_path, wire) as router:
        for name, (sent, status, param) in BODIES.items():
            found, error = answered(await raw(router, post(CHAT, sent)))
            assert (found, error["param"]) == (status, param), name
            assert error["message"], name
        assert not wire.asked
        assert b" 200 " in await raw(router, post(CHAT, body(surprise={"a": [1]}, user="u")))


@on_uvloop
async def test_heads(tmp_path: Path) -> None:
    heads = {
        "no type": (post(CHAT, body(), AUTH), 415),
        "a form": (post(CHAT, body(), AUTH, "content-type: text/plain"), 415),
        "compressed": (post(CHAT, body(), AUTH, JSON, "content-encoding: gzip"), 415),
        "no key": (post(CHAT, body(), JSON), 401),
        "basic": (post(CHAT, body(), JSON, "authorization: Basic abc"), 401),
        "another path": (post("/v2/x", body()), 404),
        "another method": (b"GET /v1/chat/completions HTTP/1.1\r\nhost: x\r\n\r\n", 405),
        "many headers": (post(CHAT, b"", *[f"x-{i}: {'y' * 50}" for i in range(2_000)]), 431),
        "one long header": (b"GET /livez HTTP/1.1\r\nx: " + b"y" * 400_000, 431),
        "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
        "no number": (post(CHAT, body(), JSON, AUTH, "x-router-max-cost-usd: much"), 400),
        "nan": (post(CHAT, body(), JSON, AUTH, "x-router-weight-cost: nan"), 400),
    }
    async with door(tmp_path, Wire(says())) as router:
        for name, (sent, status) in heads.items():
            last = sent.replace(b"host: x\r\n\r\n", b"host: x\r\nconnection: close\r\n\r\n")
            found, error = answered(await raw(router, last))
            assert found == status, name
            assert error["message"], name
        other = post(CHAT, body(), JSON, f"x-api-key: {KEY}")
        assert b" 200 " in await raw(router, other)


@on_uvloop
async def test_large_bodies_are_refused_unread(tmp_path: Path) -> None:
    head = post(CHAT, b"").replace(b"content-length: 0", b"content-length: 100000000")
    chunked = post(CHAT, b"").replace(b"content-length: 0", b"transfer-encoding: chunked")
    async with door(tmp_path, Wire(says())) as router:
        began_s = time.monotonic()
        for sent in (head, chunked):
            reader, writer = await asyncio.open_connection("127.0.0.1", router.http_port)
            writer.write(sent)
            flood = asyncio.create_task(_flood(writer, is_chunked=sent is chunked))
            async with asyncio.timeout(PATIENCE_S):
                status, error = answered(await reader.readuntil(b"}}"))
            assert (status, error["param"]) == (413, "request")
            flood.cancel()
            await asyncio.gather(flood, return_exceptions=True)
            writer.close()
        assert time.monotonic() - began_s < PATIENCE_S / 2


async def _flood(writer: asyncio.StreamWriter, *, is_chunked: bool) -> None:
    piece = b"x" * 65_536
    for _ in range(1_600):
        writer.write(b"10000\r\n" + piece + b"\r\n" if is_chunked else piece)
        await writer.drain()


@pytest.mark.parametrize(
    "sent",
    [b"POST /v1/chat/comple", post(CHAT, b"").replace(b"-length: 0", b"-length: 90") + b'{"model"'],
    ids=["head", "body"],
)
@on_uvloop
async def test_what_is_sent_too_slowly(tmp_path: Path, sent: bytes) -> None:
    async with door(tmp_path, Wire(says()), server=", body_timeout_ms: 300") as router:
        status, error = answered(await raw(router, sent))
        assert status == 408
        assert error["message"]


@on_uvloop
async def test_pipelined_requests_are_answered_in_turn(tmp_path: Path) -> None:
    one = post(CHAT, body()).replace(b"connection: close\r\n", b"")
    async with door(tmp_path, Wire(says())) as router:
        got = await raw(router, one + one + post(CHAT, b"{"))
    assert [got.count(status) for status in (b"HTTP/1.1 200", b"HTTP/1.1 400")] == [2, 1]


@on_uvloop
async def test_a_reader_that_stops_is_cut_off(tmp_path: Path) -> None:
    wire = Flood(says())
    async with door(tmp_path, wire, server=", stall_ms: 300") as router:
        reader, writer = await asyncio.open_connection("127.0.0.1", router.http_port)
        writer.write(post(CHAT, body(stream=True)))
        await reader.read(10)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        async with asyncio.timeout(PATIENCE_S):
            await wire.left.wait()
        writer.close()


class Flood(Wire):
    """Streams until the router hangs up."""

    def __init__(self, answers: Any) -> None:
        super().__init__(answers)
        self.left = asyncio.Event()

    async def _write(
        self, _: Asked, __: Reply, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        gone = asyncio.create_task(reader.read())
        piece = {"choices": [{"index": 0, "delta": {"content": "word " * 2_000}}]}
        try:
            while not gone.done():
                writer.write(b"data: " + json.dumps(piece).encode() + b"\n\n")
                await asyncio.wait({gone}, timeout=0.001)
                await writer.drain()
        finally:
            self.left.set()
            gone.cancel()
