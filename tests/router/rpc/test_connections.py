"""Connections that stay open, grow old or come over IPv6."""

from __future__ import annotations

import asyncio
import socket
import time

import grpc
import pytest
from adaptive_router.v1 import router_pb2_grpc

from router.domain.errors import PortTaken
from router.rpc.health import HealthReporter
from router.rpc.server import RouterServer, ServerSettings, listen_address
from tests.router.rpc.wire import (
    GOOD,
    METADATA,
    PATIENCE_S,
    FixedService,
    ScriptedService,
    served,
    until,
)

COMPLETE = GOOD["Complete"]
ANY = ".".join("0" * 4)


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


async def test_pings_of_a_client_that_waits_for_a_long_call() -> None:
    """Two pings too many would end the connection; ten come here."""
    service = ScriptedService(hold=asyncio.Event())
    options = [("grpc.keepalive_time_ms", 200), ("grpc.http2.max_pings_without_data", 0)]
    async with served(service, min_ping_ms=50) as wire:
        target = f"127.0.0.1:{wire.server.port}"
        async with grpc.aio.insecure_channel(target, options) as channel:
            stub = router_pb2_grpc.RouterServiceStub(channel)
            call = stub.Complete(COMPLETE, metadata=METADATA)
            await service.entered.wait()
            await asyncio.sleep(2)
            service.hold.set()
            async with asyncio.timeout(PATIENCE_S):
                assert await call
            assert len(service.calls) == 1


async def test_pings_that_come_too_often_end_the_connection() -> None:
    """The one above could not fail otherwise."""
    service = ScriptedService(hold=asyncio.Event())
    options = [("grpc.keepalive_time_ms", 100), ("grpc.http2.max_pings_without_data", 0)]
    async with served(service, min_ping_ms=60_000) as wire:
        target = f"127.0.0.1:{wire.server.port}"
        async with grpc.aio.insecure_channel(target, options) as channel:
            call = router_pb2_grpc.RouterServiceStub(channel).Complete(COMPLETE, metadata=METADATA)
            async with asyncio.timeout(PATIENCE_S):
                with pytest.raises(grpc.aio.AioRpcError):
                    await call


async def test_an_old_connection_is_asked_to_close_and_its_calls_end() -> None:
    service = ScriptedService(hold=asyncio.Event())
    async with served(service, max_connection_age_ms=300, drain_ms=60_000) as wire:
        call = wire.start("Complete", COMPLETE)
        await service.entered.wait()
        ready = grpc.ChannelConnectivity.READY
        await until(lambda: wire.channel.get_state() is not ready)
        service.hold.set()
        async with asyncio.timeout(PATIENCE_S):
            assert await call
            assert await wire.send("Complete", COMPLETE)


async def test_connections_stay_where_no_age_is_set() -> None:
    async with served() as wire:
        end_s = time.monotonic() + 1
        while time.monotonic() < end_s:
            assert await wire.send("Complete", COMPLETE)
            assert wire.channel.get_state() is grpc.ChannelConnectivity.READY
            await asyncio.sleep(0.1)


def sixth(host: str) -> object:
    return pytest.param(host, marks=pytest.mark.skipif(not has_ipv6(), reason="no ::1 here"))


@pytest.mark.parametrize(
    "host", [*map(sixth, ("::", "[::]", "::1", "[::1]")), "localhost", ANY, "127.0.0.1"]
)
async def test_hosts(host: str) -> None:
    async with served(host=host) as wire:
        own = "[::1]" if ":" in host else "127.0.0.1"
        for target in {own, "127.0.0.1" if host in ("::", "[::]") else own}:
            async with grpc.aio.insecure_channel(f"{target}:{wire.server.port}") as channel:
                stub = router_pb2_grpc.RouterServiceStub(channel)
                assert await stub.Complete(COMPLETE, metadata=METADATA)


@pytest.mark.parametrize("host", ["no.such.host.invalid", "::g", "[", "256.1.1.1", "a b"])
async def test_hosts_that_are_none(host: str) -> None:
    settings = ServerSettings(host=host, port=0)
    with pytest.raises(PortTaken, match=r"server\.host"):
        RouterServer(FixedService(ScriptedService()), HealthReporter(), lambda *_: None, settings)


def test_an_address_with_a_zone() -> None:
    assert listen_address("fe80::1%eth0", 1) == "[fe80::1%eth0]:1"
