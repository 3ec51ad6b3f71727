"""Handshakes that are dropped before anything of them was read."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import warnings
from contextlib import ExitStack

import trustme

from router.http.server import TlsListener
from tests.e2e.wire import on_uvloop

MANY = 60
PATIENT_S = 60.0


@on_uvloop
async def test_connections_of_one_burst_that_give_way_are_closed() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    with ExitStack() as stack, warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=MANY))
        at = listening.getsockname()
        peers = [stack.enter_context(socket.create_connection(at)) for _ in range(MANY)]
        listener = TlsListener(listening, asyncio.Protocol, context, lambda n: n > 1, PATIENT_S)
        listener.open()
        for peer in peers[:-1]:
            peer.settimeout(0)
            async with asyncio.timeout(PATIENT_S):
                assert await asyncio.get_running_loop().sock_recv(peer, 1) == b""
        listener.close()
        peers[-1].settimeout(0)
        async with asyncio.timeout(PATIENT_S):
            assert await asyncio.get_running_loop().sock_recv(peers[-1], 1) == b""
        gc.collect()
    assert not [each for each in told if each.category is ResourceWarning]
