"""A connection that the network resets while it is idle costs no call and hangs nobody."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable

import pytest
import uvloop

from router.adapters.storage.client import Client
from router.adapters.storage.link.address import Address
from router.domain.errors import StorageUnavailable

LOOPS = (asyncio.new_event_loop, uvloop.new_event_loop)
PATIENCE_S = 20
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER of no time: closing sends RST instead of FIN."""


class Pinged:
    """A server that answers every PING, and can end all of its connections."""

    def __init__(self) -> None:
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        while data := await reader.read(1 << 16):
            writer.write(b"+PONG\r\n" * data.count(b"PING"))

    def end_all(self, *, reset: bool) -> None:
        for writer in self.writers:
            if reset:
                taken = writer.get_extra_info("socket")
                taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()
        self.writers.clear()


async def pinged_after_an_end(*, reset: bool) -> list[bytes]:
    pinged = Pinged()
    async with await asyncio.start_server(pinged.serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        client = Client(Address(f"redis://127.0.0.1:{port}"), pool_size=4, timeout_ms=5_000)
        replies = await client.call_many([("PING",)] * 3)
        pinged.end_all(reset=reset)
        await asyncio.sleep(0.1)
        replies += [await client.call("PING") for _ in range(2)]
        await client.close()
        pinged.end_all(reset=False)
    return replies


@pytest.mark.parametrize("new_loop", LOOPS, ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("reset", [False, True])
def test_a_call_after_an_idle_connection_ended_is_answered(
    new_loop: Callable[[], asyncio.AbstractEventLoop], *, reset: bool
) -> None:
    with asyncio.Runner(loop_factory=new_loop) as runner:
        bounded = asyncio.wait_for(pinged_after_an_end(reset=reset), PATIENCE_S)
        assert runner.run(bounded) == [b"PONG"] * 5


@pytest.mark.parametrize("new_loop", LOOPS, ids=["asyncio", "uvloop"])
def test_a_url_with_an_unknown_option_fails_the_call_and_hangs_nobody(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def called() -> None:
        client = Client(Address("redis://127.0.0.1:9?sokcet=1"), pool_size=2, timeout_ms=1_000)
        with pytest.raises(StorageUnavailable):
            await asyncio.wait_for(client.call("PING"), PATIENCE_S)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(called())
