"""Connections that break or lead to the wrong node are left; commands go where the store is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from bench.chaos.proxy import FaultyProxy, Mode
from router.adapters.storage import EmbeddedRedis, Storage, StorageSettings, open_storage
from router.adapters.storage.client import Client
from router.adapters.storage.link.address import Address
from router.adapters.storage.link.failures import FailureKind
from router.domain.errors import StorageUnavailable
from tests.contract.samples import RECORD
from tests.stores import Server, stored

PATIENCE_S = 60.0
ABOUT_A_SECOND_S = 2.5


@asynccontextmanager
async def behind(
    server: Server, timeout_ms: float = 1_000
) -> AsyncIterator[tuple[Storage, FaultyProxy]]:
    async with FaultyProxy(server.address) as proxy:
        storage = await open_storage(StorageSettings(url=proxy.url, timeout_ms=timeout_ms))
        try:
            yield storage, proxy
        finally:
            await storage.close()


async def record(storage: Storage, number: int) -> bool:
    try:
        await storage.decisions.record(replace(RECORD, id=f"d-{number}"))
    except StorageUnavailable:
        return False
    return True


async def fill_pool(storage: Storage) -> None:
    """Every connection of the pool stands and is idle."""
    await asyncio.gather(*(storage.client.wait(("PING",), 0) for _ in range(8)))


async def replicates(replica: Server, master: Server) -> None:
    await replica.ask("REPLICAOF", "127.0.0.1", master.port)
    async with asyncio.timeout(PATIENCE_S):
        while (
            b"master_link_status:up" not in str(await replica.ask("INFO", "replication")).encode()
        ):
            info = await replica.ask("INFO", "replication")
            if isinstance(info, dict) and info.get("master_link_status") == "up":
                return
            await asyncio.sleep(0.02)


async def test_a_failover_behind_a_stable_name_costs_no_call(tmp_path: Path) -> None:
    async with stored(tmp_path / "a") as old, stored(tmp_path / "b") as new:
        await replicates(new, old)
        async with behind(old) as (storage, proxy):
            await fill_pool(storage)
            assert await record(storage, 0)
            await new.ask("REPLICAOF", "NO", "ONE")
            await old.ask("REPLICAOF", "127.0.0.1", new.port)
            proxy.switch(new.address)
            began_s = time.monotonic()
            ends = await asyncio.gather(*(record(storage, n) for n in range(1, 31)))
            assert all(ends)
            assert time.monotonic() - began_s < ABOUT_A_SECOND_S
            assert await new.ask("EXISTS", "ar:decision:d-30") == 1


async def test_a_name_that_follows_late_is_waited_for(tmp_path: Path) -> None:
    async with stored(tmp_path / "a") as old, stored(tmp_path / "b") as new:
        await replicates(new, old)
        async with behind(old) as (storage, proxy):
            await fill_pool(storage)
            await old.ask("REPLICAOF", "127.0.0.1", new.port)
            calls = [asyncio.create_task(record(storage, n)) for n in range(30)]
            await asyncio.sleep(0.3)
            await new.ask("REPLICAOF", "NO", "ONE")
            proxy.switch(new.address)
            ends = await asyncio.gather(*calls)
            assert all(ends)


async def test_a_learner_that_waits_for_events_is_woken_by_a_demotion(tmp_path: Path) -> None:
    async with stored(tmp_path / "a") as old, stored(tmp_path / "b") as new:
        await replicates(new, old)
        async with behind(old) as (storage, proxy):
            reading = asyncio.create_task(storage.events.read("0-0", 10, 5_000))
            await asyncio.sleep(0.1)
            await new.ask("REPLICAOF", "NO", "ONE")
            proxy.switch(new.address)
            await old.ask("REPLICAOF", "127.0.0.1", new.port)
            assert await record(storage, 1)
            assert len(await asyncio.wait_for(reading, PATIENCE_S)) == 1


async def test_resets_for_seconds_under_load_lose_and_double_nothing(tmp_path: Path) -> None:
    async with stored(tmp_path) as server, behind(server) as (storage, proxy):
        storm = asyncio.create_task(proxy.resets(every_ms=40, for_s=3))
        done = []
        number = 0
        while not storm.done():
            ends = await asyncio.gather(*(record(storage, number + n) for n in range(10)))
            done += [number + n for n, ok in enumerate(ends) if ok]
            number += 10
            await asyncio.sleep(0.005)
        assert len(done) == number
        assert await storage.events.backlog("0-0") == number


@pytest.mark.parametrize("is_reset", [True, False])
async def test_idle_connections_that_ended_cost_no_call(is_reset: bool, tmp_path: Path) -> None:  # noqa: FBT001 - a parameter
    async with stored(tmp_path) as server, behind(server) as (storage, proxy):
        for number in range(20):
            await fill_pool(storage)
            assert (proxy.reset_idle() if is_reset else proxy.finish_all()) > 0
            assert await record(storage, number)


async def test_what_may_have_been_executed_is_sent_again_only_where_it_is_safe(
    tmp_path: Path,
) -> None:
    async with stored(tmp_path) as server, behind(server) as (storage, proxy):
        await fill_pool(storage)
        await proxy.set(Mode.MUTE)
        safe = asyncio.create_task(record(storage, 1))
        counted = asyncio.create_task(storage.client.call("INCR", "ar:n"))
        async with asyncio.timeout(PATIENCE_S):
            while await server.ask("GET", "ar:n") is None:
                await asyncio.sleep(0.005)
        await proxy.set(Mode.PASS)
        proxy.reset_all()
        assert await safe
        with pytest.raises(StorageUnavailable):
            await counted
        assert await server.ask("GET", "ar:n") == b"1"
        assert await server.ask("XLEN", "ar:events") == 1


async def test_what_was_never_sent_is_sent_whatever_it_is(tmp_path: Path) -> None:
    async with stored(tmp_path) as server, behind(server) as (storage, proxy):
        for number in range(1, 11):
            await fill_pool(storage)
            proxy.reset_idle()
            await asyncio.sleep(0.02)
            assert await storage.client.call("INCR", "ar:n") == number


async def test_loading_is_waited_for_as_long_as_a_call_may(tmp_path: Path) -> None:
    options = ("--enable-debug-command", "yes")
    async with (
        stored(tmp_path, *options) as server,
        behind(server, timeout_ms=5_000) as (storage, _),
    ):
        await server.ask("CONFIG", "SET", "key-load-delay", 20_000)
        await server.ask("DEBUG", "POPULATE", 50)
        loading = asyncio.create_task(server.ask("DEBUG", "RELOAD"))
        await asyncio.sleep(0.05)
        assert await record(storage, 1)
        await asyncio.wait_for(loading, PATIENCE_S)


async def test_a_client_closes_in_time_whatever_the_store_does(tmp_path: Path) -> None:
    async with stored(tmp_path) as server, FaultyProxy(server.address) as proxy:
        client = Client(Address(proxy.url), pool_size=4, timeout_ms=60_000)
        assert await client.call("PING") == b"PONG"
        await proxy.set(Mode.SWALLOW)
        calls = [asyncio.create_task(client.call("PING")) for _ in range(4)]
        await asyncio.sleep(0.05)
        began_s = time.monotonic()
        await client.close()
        assert time.monotonic() - began_s < 5
        ends = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ends)


async def test_the_circuit_opens_by_calls_and_closes_without_anybody_who_probes(
    redis_server: EmbeddedRedis,
) -> None:
    async with FaultyProxy(redis_server.socket) as proxy:
        client = Client(Address(proxy.url), pool_size=4, timeout_ms=1_000)
        assert await client.call("PING") == b"PONG"
        await proxy.set(Mode.REFUSE)
        ends = await asyncio.gather(*[client.call("PING")] * 1, return_exceptions=True)
        ends += await asyncio.gather(
            *(client.call("PING") for _ in range(5)), return_exceptions=True
        )
        assert all(isinstance(end, StorageUnavailable) for end in ends)
        assert client.is_away
        assert client.circuit.kind is FailureKind.AWAY
        await proxy.set(Mode.PASS)
        assert await client.call("PING") == b"PONG"
        assert not client.is_away
        await client.close()
