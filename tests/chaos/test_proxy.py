"""The proxy of the chaos runs does to a connection what its names say."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import uvloop

from bench.chaos.proxy import FaultyProxy, Mode

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
PATIENCE_S = 20
SHORT_S = 0.15


class Echo:
    """Answers each line with its own name."""

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.heard: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                self.heard.append(line)
                writer.write(self.name + b"\n")
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.transport.abort()


@asynccontextmanager
async def echoing(name: bytes) -> AsyncIterator[tuple[Echo, tuple[str, int]]]:
    echo = Echo(name)
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    try:
        yield echo, server.sockets[0].getsockname()
    finally:
        server.close()


class Caller:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self) -> bytes:
        self.writer.write(b"hello\n")
        return (await self.reader.readline()).strip()

    async def hears_nothing(self) -> bool:
        try:
            await asyncio.wait_for(self.reader.readline(), SHORT_S)
        except TimeoutError:
            return True
        return False


OPEN: list[Caller] = []
"""uvloop does not end while a transport is open."""


async def connected(proxy: FaultyProxy) -> Caller:
    caller = Caller(*await asyncio.open_connection("127.0.0.1", proxy.port))
    OPEN.append(caller)
    return caller


async def resets_reach_the_caller() -> None:
    async with echoing(b"one") as (_, address), FaultyProxy(address) as proxy:
        caller = await connected(proxy)
        assert await caller.ask() == b"one"
        assert proxy.reset_idle() == 1
        with pytest.raises(ConnectionResetError):
            await caller.reader.read()


async def a_connection_that_waits_for_its_reply_is_not_idle() -> None:
    async with echoing(b"one") as (_, address), FaultyProxy(address) as proxy:
        caller = await connected(proxy)
        assert await caller.ask() == b"one"
        await proxy.set(Mode.MUTE)
        caller.writer.write(b"hello\n")
        assert await caller.hears_nothing()
        assert proxy.reset_idle() == 0
        assert proxy.reset_all() == 1


async def finishing_is_no_reset() -> None:
    async with echoing(b"one") as (_, address), FaultyProxy(address) as proxy:
        caller = await connected(proxy)
        assert await caller.ask() == b"one"
        proxy.finish_all()
        assert await caller.reader.read() == b""


async def what_is_held_comes_later_and_what_is_swallowed_never() -> None:
    async with echoing(b"one") as (echo, address), FaultyProxy(address) as proxy:
        caller = await connected(proxy)
        heard = 0
        for mode in (Mode.HOLD, Mode.SWALLOW):
            await proxy.set(mode)
            caller.writer.write(b"hello\n")
            late = await connected(proxy)
            late.writer.write(b"hello\n")
            assert await caller.hears_nothing()
            if mode is Mode.HOLD:
                await proxy.set(Mode.PASS)
                assert await caller.reader.readline() == b"one\n"
                assert await late.reader.readline() == b"one\n"
            heard = len(echo.heard)
        await proxy.set(Mode.PASS)
        assert await late.hears_nothing()
        assert len(echo.heard) == heard


async def a_muted_request_is_executed() -> None:
    async with echoing(b"one") as (echo, address), FaultyProxy(address) as proxy:
        caller = await connected(proxy)
        await proxy.set(Mode.MUTE)
        caller.writer.write(b"hello\n")
        assert await caller.hears_nothing()
        assert echo.heard == [b"hello\n"]


async def a_refused_port_comes_back() -> None:
    async with echoing(b"one") as (_, address), FaultyProxy(address) as proxy:
        caller = await connected(proxy)
        assert await caller.ask() == b"one"
        await proxy.set(Mode.REFUSE)
        with pytest.raises(ConnectionRefusedError):
            await connected(proxy)
        with pytest.raises(ConnectionResetError):
            await caller.reader.read()
        await proxy.set(Mode.PASS)
        assert await (await connected(proxy)).ask() == b"one"


async def only_new_connections_are_switched() -> None:
    async with echoing(b"one") as (_, one), echoing(b"two") as (_, two), FaultyProxy(one) as proxy:
        old = await connected(proxy)
        assert await old.ask() == b"one"
        proxy.switch(two)
        assert await (await connected(proxy)).ask() == b"two"
        assert await old.ask() == b"one"


async def resets_come_again_and_again() -> None:
    async with echoing(b"one") as (_, address), FaultyProxy(address) as proxy:
        storm = asyncio.create_task(proxy.resets(every_ms=10, for_s=0.3))
        ended = 0
        while not storm.done():
            try:
                caller = await connected(proxy)
                assert await caller.ask() in {b"one", b""}
                await caller.reader.read()
                ended += 1
            except OSError:
                ended += 1
            await asyncio.sleep(0)
            if ended > 5:
                break
        await storm
        assert ended > 5
        assert await (await connected(proxy)).ask() == b"one"


async def an_upstream_that_is_away_resets() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        async with FaultyProxy(bound.getsockname()) as proxy:
            with pytest.raises(ConnectionResetError):
                await (await connected(proxy)).ask()


async def a_delay_holds_up() -> None:
    async with echoing(b"one") as (_, address), FaultyProxy(address) as proxy:
        caller = await connected(proxy)
        proxy.delay(SHORT_S * 2_000)
        caller.writer.write(b"hello\n")
        assert await caller.hears_nothing()
        assert await caller.reader.readline() == b"one\n"


CASES = (
    resets_reach_the_caller,
    a_connection_that_waits_for_its_reply_is_not_idle,
    finishing_is_no_reset,
    what_is_held_comes_later_and_what_is_swallowed_never,
    a_muted_request_is_executed,
    a_refused_port_comes_back,
    only_new_connections_are_switched,
    resets_come_again_and_again,
    an_upstream_that_is_away_resets,
    a_delay_holds_up,
)


@pytest.mark.parametrize("name", LOOPS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_a_fault_is_what_its_name_says(case: Callable[[], Awaitable[None]], name: str) -> None:
    async def bounded() -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                await case()
        finally:
            for caller in OPEN:
                caller.writer.transport.abort()
            await asyncio.sleep(0.02)
            OPEN.clear()

    with asyncio.Runner(loop_factory=LOOPS[name]) as runner:
        runner.run(bounded())
