"""Attacks on the HTTP door: each gets a typed error, keeps nobody out, and is told once."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import KEY, Router
from tests.e2e.http_doors import PATIENCE_S, QUESTION, Held, door, post, raw, says, url
from tests.e2e.wire import Asked, Reply, Wire, on_uvloop

CHAT = "/v1/chat/completions"
AUTH = f"authorization: Bearer {KEY}"
OWN = AUTH.encode()
JSON = "content-type: application/json"
BODY = json.dumps({"model": "auto", "messages": QUESTION}).encode()
LAST = b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
CHUNKED = "transfer-encoding: chunked"
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture(autouse=True)
def _model(model_dir: Path) -> None:
    """The router finds it where it was fetched to."""


def bare(*headers: str, body: bytes = BODY, path: str = CHAT, close: bool = True) -> bytes:
    """Returns a request with these headers alone."""
    closed = ["connection: close"] if close else []
    lines = [f"POST {path} HTTP/1.1", "host: x", AUTH, JSON, *closed, *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def keyless(request: bytes) -> bytes:
    return request.replace(OWN + b"\r\n", b"")


def kept(body: bytes = BODY, *headers: str) -> bytes:
    return bare(f"content-length: {len(body)}", *headers, body=body, close=False)


def responses(got: bytes) -> list[tuple[int, Any]]:
    """Returns status and JSON of each response."""
    found = []
    while got:
        head, _, rest = got.partition(b"\r\n\r\n")
        told = dict(
            line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line
        )
        length = int(told[b"content-length"])
        found.append((int(head.split(b" ")[1]), json.loads(rest[:length])))
        got = rest[length:]
    return found


async def opened(router: Router) -> Stream:
    return await asyncio.open_connection("127.0.0.1", router.http_port)


async def answered(reader: asyncio.StreamReader) -> int:
    """Returns the status of the next response, which is read whole."""
    async with asyncio.timeout(PATIENCE_S):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        await reader.readexactly(int(head.split("content-length: ")[1].split("\r\n")[0]))
    return int(head.split(" ")[1])


async def counted(router: Router) -> dict[tuple[str, str], int]:
    """Returns how many requests were counted, by method and code."""
    async with httpx.AsyncClient(trust_env=False) as http:
        told = (await http.get(f"http://127.0.0.1:{router.metrics_port}/metrics")).text
    found = {}
    for line in told.splitlines():
        name, _, rest = line.partition("{")
        if name == "adaptive_router_request_seconds_count":
            labels = dict(part.split("=") for part in rest.partition("}")[0].split(","))
            key = labels["method"].strip('"'), labels["code"].strip('"')
            found[key] = int(float(line.rpartition(" ")[2]))
    return found


async def serves(router: Router) -> bool:
    async with httpx.AsyncClient(base_url=url(router), timeout=PATIENCE_S) as http:
        body = {"model": "auto", "messages": QUESTION}
        answer = await http.post(CHAT, json=body, headers={"x-api-key": KEY})
        return answer.status_code == 200


UNCUT: dict[str, Any] = {"more": ", max_output_tokens: 1000000, context_window_tokens: 4000000"}
LENGTH = f"content-length: {len(BODY)}"
ATTACKS: dict[str, tuple[bytes, int]] = {
    "length and chunks": (bare(LENGTH, CHUNKED, body=b"0\r\n\r\n" + LAST), 400),
    "two lengths": (bare(LENGTH, "content-length: 5"), 400),
    "a length with a sign": (bare("content-length: +5"), 400),
    "a length below zero": (bare("content-length: -1"), 400),
    "a length beyond counting": (bare("content-length: " + "9" * 30), 400),
    "two codings": (bare(CHUNKED, "transfer-encoding: identity", body=b"0\r\n\r\n"), 400),
    "an unknown coding": (bare("transfer-encoding: xchunked"), 400),
    "a space before the colon": (bare("transfer-encoding : chunked", LENGTH), 400),
    "a folded header": (bare(LENGTH, "x-a: b\r\n c"), 400),
    "bare line feeds": (bare(LENGTH).replace(b"\r\n", b"\n"), 400),
    "a bare carriage return": (bare(LENGTH, "x-a: b\rx-b: c"), 400),
    "a zero byte": (bare(LENGTH, "x-a: b\0"), 400),
    "a header without colon": (bare(LENGTH, "x-a"), 400),
    "no host": (bare(LENGTH).replace(b"host: x\r\n", b""), 400),
    "two hosts": (bare(LENGTH, "host: y"), 400),
    "another version": (bare(LENGTH).replace(b"HTTP/1.1", b"HTTP/2.0"), 505),
    "an ancient version": (b"GET /livez\r\n\r\n", 505),
    "HTTP/2 at once": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 300, 400),
    "CONNECT": (b"CONNECT example.com:443 HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    "an unknown method": (LAST.replace(b"GET", b"BREW"), 400),
    "bytes in the path": (LAST.replace(b"livez", b"\xff\xfe"), 400),
    "a long path": (LAST.replace(b"livez", b"a" * 200_000), 431),
    "chunks of no size": (bare(CHUNKED, body=b"zz\r\n"), 400),
    "a chunk beyond counting": (bare(CHUNKED, body=b"f" * 20 + b"\r\n{"), 400),
    "another charset": (bare(LENGTH).replace(b"/json", b"/json; charset=utf-16"), 415),
    "a quoted charset": (bare(LENGTH).replace(b"/json", b'/json; charset="latin-1"'), 415),
    "a key in the query": (keyless(bare(LENGTH, path=f"{CHAT}?key={KEY}")), 401),
    "two keys": (bare(LENGTH).replace(OWN, b"authorization: Bearer no\r\n" + OWN), 401),
    "a path out of the house": (bare(LENGTH, path="/v1/../v1/chat/completions"), 404),
    "a slash in a name": (LAST.replace(b"/livez", b"/v1/models/a%2fb"), 404),
}


@on_uvloop
async def test_each_gets_one_typed_error(tmp_path: Path) -> None:
    wire = Wire(says())
    async with door(tmp_path, wire) as router:
        for name, (sent, status) in ATTACKS.items():
            found = responses(await raw(router, sent))
            assert [each for each, _ in found] == [status], name
            assert {"message", "type", "param", "code"} <= found[0][1]["error"].keys(), name
        assert not wire.asked
        assert sum((await counted(router)).values()) == len(ATTACKS)
        assert await serves(router)


@on_uvloop
async def test_it_has_the_dialects_form(tmp_path: Path) -> None:
    async with door(tmp_path, Wire(says())) as router:
        for sent in (
            bare(LENGTH, "x-a: b\r\n c", path="/v1/messages"),
            bare(CHUNKED, body=b"zz\r\n", path="/v1/messages?beta=true"),
            bare(LENGTH, f"x-a: {'y' * 70_000}", path="/v1/messages"),
        ):
            ((_, told),) = responses(await raw(router, sent))
            assert (told["type"], told["error"]["type"]) == ("error", "invalid_request_error")


@pytest.mark.parametrize("offer", ["h2c", "websocket", "TLS/1.3"])
@on_uvloop
async def test_offers_of_other_protocols_are_passed_over(tmp_path: Path, offer: str) -> None:
    """Java's client offers h2c with its first request, body and all."""
    wire = Wire(says())
    given = ("connection: Upgrade, HTTP2-Settings", f"upgrade: {offer}", "http2-settings: AAMA")
    hidden = kept()
    async with door(tmp_path, wire) as router:
        reader, writer = await opened(router)
        head = kept(hidden, *given).partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        for piece in (head[:-1], head[-1:], hidden):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.05)
        assert await answered(reader) == 400
        assert not wire.asked
        writer.write(kept(BODY, *given) + kept(BODY, *given) + kept())
        assert [await answered(reader) for _ in range(3)] == [200, 200, 200]
        assert len(wire.asked) == 3
        writer.close()
        closing = bare(LENGTH, "connection: close, Upgrade", f"upgrade: {offer}", close=False)
        assert [each for each, _ in responses(await raw(router, closing))] == [200]


def slow(asked: Asked) -> Reply:
    reply = says()(asked)
    return Reply((0.8, *reply.pieces), length=False, keeps=False)


@pytest.mark.parametrize(
    ("after", "status"), [(b"garbage\r\n\r\n", 400), (b"POST /v1", 408)], ids=["garbage", "half"]
)
@on_uvloop
async def test_what_follows_a_request_does_not_cost_its_answer(
    tmp_path: Path, after: bytes, status: int
) -> None:
    wire = Wire(slow)
    async with door(tmp_path, wire, server=", body_timeout_ms: 200") as router:
        found = responses(await raw(router, kept() + kept() + after))
        assert [each for each, _ in found] == [200, 200, status]
        assert len(wire.asked) == 2
        told = await counted(router)
        assert told["ChatCompletions", "OK"] == 2
        assert sum(told.values()) == 3


@pytest.mark.parametrize("trickle", [b"\r\n", b"x"], ids=["line ends", "rest of a body"])
@on_uvloop
async def test_no_trickle_keeps_an_idle_connection(tmp_path: Path, trickle: bytes) -> None:
    first = b"GET /livez HTTP/1.1\r\nhost: x\r\n"
    first += b"content-length: 9999\r\n\r\n" if trickle == b"x" else b"\r\n"
    async with door(tmp_path, Wire(says()), server=", body_timeout_ms: 300") as router:
        reader, writer = await opened(router)
        writer.write(first)
        assert await answered(reader) == 200
        gone = asyncio.create_task(reader.read())
        async with asyncio.timeout(PATIENCE_S):
            while not gone.done():
                writer.write(trickle)
                await asyncio.wait({gone}, timeout=0.05)
        writer.close()


@on_uvloop
async def test_idle_connections_keep_nobody_out(tmp_path: Path) -> None:
    """A stranger holds more than there may be, and begins heads on some of them."""
    async with door(tmp_path, Wire(says()), server=", max_in_flight: 8") as router:
        async with AsyncExitStack() as stack:
            for number in range(1_000):
                _, writer = await opened(router)
                stack.callback(writer.close)
                if number % 2:
                    writer.write(b"GET /li")
                if not number % 100:
                    assert await serves(router)
            assert await serves(router)
        assert await serves(router)


@on_uvloop
async def test_pipelined_requests_do_not_pile_up(tmp_path: Path) -> None:
    many = b"GET /v1/models HTTP/1.1\r\nhost: x\r\n%s\r\n\r\n" % OWN
    async with door(tmp_path, Wire(says())) as router:
        reader, writer = await opened(router)
        writer.write(many * 100_000)
        async with asyncio.timeout(PATIENCE_S):
            found = [each for each, _ in responses(await reader.read())]
        writer.close()
        assert set(found[:-1]) == {200}
        assert found[-1] == 503
        assert len(found) < 1_000
        assert sum((await counted(router)).values()) == len(found)
        assert await serves(router)


@on_uvloop
async def test_pipelined_answers_that_nobody_reads(tmp_path: Path) -> None:
    wire = Wire(says("word " * 400_000))
    async with door(tmp_path, wire, server=", stall_ms: 300", **UNCUT) as router:
        reader, writer = await opened(router)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(kept() * 20)
        async with asyncio.timeout(PATIENCE_S):
            while ("ChatCompletions", "DEADLINE_EXCEEDED") not in await counted(router):
                await asyncio.sleep(0.05)
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        async with asyncio.timeout(PATIENCE_S):
            with suppress(ConnectionError):
                while await reader.read(1 << 20):
                    pass
        writer.close()
        assert len(wire.asked) < 20


@on_uvloop
async def test_trailers_are_no_headers(tmp_path: Path) -> None:
    chunks = b"%x\r\n%s\r\n0\r\n" % (len(BODY), BODY)
    asked = keyless(bare(CHUNKED, body=b"", close=False))
    trailed = chunks + OWN + b"\r\n\r\n"
    bomb = chunks + b"x-a: b\r\n" * 100_000 + b"\r\n"
    wire = Wire(says())
    async with door(tmp_path, wire) as router:
        first = kept()
        ((good, _), (refused, _)) = responses(await raw(router, first + asked + trailed))
        assert (good, refused) == (200, 401)
        ((bombed, _),) = responses(await raw(router, bare(CHUNKED, body=bomb)))
        assert bombed == 200


@on_uvloop
async def test_who_closes_half_a_connection_has_left(tmp_path: Path) -> None:
    wire = Held(says())
    async with door(tmp_path, wire) as router:
        reader, writer = await opened(router)
        writer.write(kept())
        async with asyncio.timeout(PATIENCE_S):
            await wire.began.wait()
            writer.write_eof()
            await wire.left.wait()
            assert await reader.read() == b""
        writer.close()
        assert await serves_other(router, wire)


async def serves_other(router: Router, wire: Held) -> bool:
    """Returns whether a request comes as far as the provider."""
    wire.began.clear()
    asking = asyncio.create_task(raw(router, post(CHAT, BODY)))
    async with asyncio.timeout(PATIENCE_S):
        await wire.began.wait()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    return True
