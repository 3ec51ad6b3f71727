"""The HTTP door's bounds: those it shares with gRPC, its connections, and how it stops."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import KEY
from tests.e2e.http_doors import PATIENCE_S, QUESTION, Held, door, post, raw, says, url
from tests.e2e.wire import Wire, asked_whole, on_uvloop, routed

CHAT = "/v1/chat/completions"
BODY = json.dumps({"model": "auto", "messages": QUESTION}).encode()


@pytest.fixture(autouse=True)
def _model(model_dir: Path) -> None:
    """The router finds it where it was fetched to."""


async def _posted(at: str, **more: Any) -> httpx.Response:
    async with httpx.AsyncClient(timeout=PATIENCE_S) as http:
        body = {"model": "auto", "messages": QUESTION} | more
        return await http.post(at + CHAT, json=body, headers={"x-api-key": KEY})


@on_uvloop
async def test_calls_of_both_doors_share_the_bound(tmp_path: Path) -> None:
    wire = Held(says())
    async with door(tmp_path, wire, server=", max_in_flight: 1, tenant_share: 1") as router:
        running = asyncio.create_task(asked_whole(router))
        async with asyncio.timeout(PATIENCE_S):
            await wire.began.wait()
        refused = await _posted(url(router))
        assert refused.status_code == 503
        assert refused.headers["x-router-reason"] == "OVERLOADED"
        assert int(refused.headers["retry-after"]) >= 1
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize("stream", [True, False])
@on_uvloop
async def test_what_outlasts_the_drain_is_told(tmp_path: Path, *, stream: bool) -> None:
    wire = Held(says())
    async with AsyncExitStack() as stack:
        opened = door(tmp_path, wire, server=", drain_ms: 300")
        router = await stack.enter_async_context(opened)
        asking = asyncio.create_task(_posted(url(router), stream=stream))
        async with asyncio.timeout(PATIENCE_S):
            await wire.began.wait()
            await asyncio.sleep(0.1)
    answer = await asking
    assert answer.status_code == (200 if stream else 503)
    last = answer.text.removeprefix("data: ").split("\n\ndata: ")[-1]
    assert json.loads(last)["error"]["code"] == "shutting_down"


@on_uvloop
async def test_what_ends_within_the_drain_is_answered(tmp_path: Path) -> None:
    wire = Wire(says())
    async with AsyncExitStack() as stack:
        router = await stack.enter_async_context(door(tmp_path, wire))
        idle = await asyncio.open_connection("127.0.0.1", router.http_port)
        asking = asyncio.create_task(_posted(url(router)))
        async with asyncio.timeout(PATIENCE_S):
            while not wire.asked:
                await asyncio.sleep(0.005)
        began_s = time.monotonic()
    assert (await asking).status_code == 200
    assert time.monotonic() - began_s < 20
    assert await idle[0].read() == b""
    idle[1].close()


@on_uvloop
async def test_a_body_is_waited_for_where_it_may_come(tmp_path: Path) -> None:
    good = post(CHAT, BODY).partition(b"\r\n\r\n")[0] + b"\r\nexpect: 100-continue\r\n\r\n"
    large = good.replace(b"content-length: %d" % len(BODY), b"content-length: 99999999")
    async with door(tmp_path, Wire(says())) as router:
        reader, writer = await asyncio.open_connection("127.0.0.1", router.http_port)
        writer.write(good)
        async with asyncio.timeout(PATIENCE_S):
            assert b" 100 " in await reader.readuntil(b"\r\n\r\n")
            writer.write(BODY)
            assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
        writer.close()
        got = await raw(router, large)
        assert b" 413 " in got
        assert b" 100 " not in got


@on_uvloop
async def test_connections_are_bounded(tmp_path: Path) -> None:
    """One on which a request is under way makes room for nobody."""
    alone = b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    async with door(tmp_path, Wire(says()), server=", max_in_flight: 1, tenant_share: 1") as router:
        held = [await asyncio.open_connection("127.0.0.1", router.http_port) for _ in range(4)]
        for _, writer in held:
            writer.write(post(CHAT, BODY)[:-1])
        async with asyncio.timeout(PATIENCE_S):
            while b" 503 " not in (refused := await raw(router, alone)):
                await asyncio.sleep(0.02)
        assert b"x-router-reason: OVERLOADED" in refused
        for _, writer in held:
            writer.close()
            await writer.wait_closed()
        async with asyncio.timeout(PATIENCE_S):
            while b" 200 " not in await raw(router, alone):
                await asyncio.sleep(0.02)


@on_uvloop
async def test_a_plan_answers_alone(tmp_path: Path) -> None:
    wires = {"a": [Wire(says("one"))], "b": [Wire(says("two"), model="n")]}
    sections = "cache: {enabled: false}\nplans: {both: {rungs: [a, b]}}"

    opened = routed(tmp_path, wires, sections=sections, server=", http_port: 0")
    async with opened as router:
        for _ in range(4):
            answer = await _posted(url(router), model="both")
            assert answer.json()["router"]["plan"] == "both"
            assert answer.json()["router"]["propensity"] == 1
        pinned = await _posted(url(router), model="b")
        assert pinned.headers["x-router-arm"] == "b"
