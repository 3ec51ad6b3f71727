"""The way to the server: pipelines, limits, errors."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from redis.asyncio import Redis

from demo.stack import free_port
from router.adapters.storage import EmbeddedRedis, Storage, StorageSettings, open_storage
from router.adapters.storage.client import MAX_PIPELINE, Client, load
from router.adapters.storage.keys import Keys
from router.adapters.storage.link.address import Address
from router.adapters.storage.link.failures import FailureKind
from router.domain.errors import ServerMissing, StorageUnavailable
from tests.contract.samples import RECORD


async def connections(bare: Redis) -> int:
    return int((await bare.info("clients"))["connected_clients"])


async def test_every_caller_gets_its_own_reply(shared: Storage, keys: Keys) -> None:
    count = 3 * MAX_PIPELINE
    await shared.client.call_many(("SET", keys.answer(str(n)), n) for n in range(count))
    replies = await asyncio.gather(
        *(shared.client.call("GET", keys.answer(str(n))) for n in range(count))
    )
    assert [int(reply) for reply in replies] == list(range(count))


async def test_a_caller_that_leaves_takes_nobody_s_reply(shared: Storage, keys: Keys) -> None:
    await shared.client.call_many(("SET", keys.answer(str(n)), n) for n in range(100))
    for round_ in range(20):
        tasks = [
            asyncio.create_task(shared.client.call("GET", keys.answer(str(n)))) for n in range(100)
        ]
        for _ in range(round_ % 4):
            await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        replies = await asyncio.gather(*tasks, return_exceptions=True)
        assert [int(reply) for reply in replies[1::2]] == list(range(1, 100, 2))


async def test_an_error_stays_with_the_command_that_caused_it(shared: Storage, keys: Keys) -> None:
    key = keys.answer("text")
    ends = await asyncio.gather(
        shared.client.call("SET", key, "secret text"),
        shared.client.call("LPUSH", key, "x"),
        shared.client.call("GET", key),
        return_exceptions=True,
    )
    assert ends[0] == b"OK"
    assert isinstance(ends[1], StorageUnavailable)
    assert ends[2] == b"secret text"


async def test_commands_of_one_call_are_one_try_of_a_store_that_was_away(shared: Storage) -> None:
    circuit = shared.client.circuit
    circuit.open(FailureKind.AWAY)
    circuit.probed()
    assert await shared.client.call_many([("PING",), ("PING",)]) == [b"PONG", b"PONG"]
    assert not shared.client.is_away


async def test_a_call_of_no_commands_is_no_try_of_a_store_that_was_away(shared: Storage) -> None:
    circuit = shared.client.circuit
    circuit.open(FailureKind.AWAY)
    circuit.probed()
    assert await shared.client.call_many([]) == []
    assert await shared.client.call("PING") == b"PONG"
    assert not shared.client.is_away


async def test_no_word_of_the_driver_reaches_a_message_or_a_log(
    shared: Storage, keys: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG), pytest.raises(StorageUnavailable) as caught:
        await shared.client.call("NOSUCHCOMMAND", keys.answer("secret"))
    assert "secret" not in str(caught.value) + caplog.text
    assert "NOSUCH" not in str(caught.value) + caplog.text
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


async def test_a_script_is_told_again_to_a_server_that_forgot_it(
    shared: Storage, bare: Redis
) -> None:
    await shared.decisions.record(RECORD)
    await bare.script_flush()
    assert await shared.decisions.get("acme", RECORD.id) == RECORD
    fence = await shared.lease.acquire("a", 60_000)
    await bare.script_flush()
    assert await shared.lease.acquire("a", 60_000) == fence


async def test_connections_are_bounded(redis_server: EmbeddedRedis, bare: Redis) -> None:
    client = Client(Address(socket=redis_server.socket), pool_size=3, timeout_ms=5_000)
    before = await connections(bare)
    waits = [client.wait(("BLPOP", f"none-{n}", 0.02), 5_000) for n in range(12)]
    assert await asyncio.gather(*waits) == [None] * 12
    assert await connections(bare) - before == 3
    await client.close()
    assert await client.call("PING") == b"PONG"
    await client.close()


async def test_waiting_for_a_connection_ends_at_the_timeout(redis_server: EmbeddedRedis) -> None:
    client = Client(Address(socket=redis_server.socket), pool_size=1, timeout_ms=100)
    blocking = asyncio.create_task(client.wait(("BLPOP", "none", 0.6), 10_000))
    await asyncio.sleep(0.02)
    with pytest.raises(StorageUnavailable):
        await client.call("PING")
    assert await blocking is None
    assert await client.call("PING") == b"PONG"
    await client.close()


async def test_a_call_that_is_cancelled_gives_its_connection_back(
    redis_server: EmbeddedRedis,
) -> None:
    client = Client(Address(socket=redis_server.socket), pool_size=1, timeout_ms=2_000)
    for _ in range(3):
        blocking = asyncio.create_task(client.wait(("BLPOP", "none", 0), 60_000))
        await asyncio.sleep(0.02)
        blocking.cancel()
        await asyncio.gather(blocking, return_exceptions=True)
        assert await client.call("PING") == b"PONG"
    await client.close()


async def test_a_url_that_leads_nowhere_is_told_when_it_is_used() -> None:
    settings = StorageSettings(url=f"redis://127.0.0.1:{free_port()}", timeout_ms=1_000)
    storage = await open_storage(settings)
    with pytest.raises(StorageUnavailable):
        await storage.ping()
    with pytest.raises(StorageUnavailable):
        await storage.decisions.record(RECORD)
    with pytest.raises(StorageUnavailable):
        await storage.events.read("0", 10, 50)
    await storage.close()


async def test_a_server_that_can_not_write_is_unavailable(tmp_path: Path) -> None:
    storage = await open_storage(StorageSettings(data_dir=tmp_path))
    await storage.client.call("CONFIG", "SET", "maxmemory", 1)
    with pytest.raises(StorageUnavailable):
        await storage.decisions.record(RECORD)
    assert await storage.snapshots.latest_version() == 0
    await storage.close()


async def test_a_server_of_an_older_version_is_refused() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        info = b"# Server\r\nredis_version:7.2.4\r\nredis_mode:standalone\r\n"
        await reader.readuntil(b"server\r\n")
        writer.write(b"$%d\r\n%s\r\n" % (len(info), info))
        await writer.drain()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        storage = await open_storage(StorageSettings(url=f"redis://127.0.0.1:{port}"))
        with pytest.raises(ServerMissing, match=r"7\.2\.4.* 8 or newer"):
            await storage.ping()
        await storage.close()


def test_scripts_are_put_together_in_order() -> None:
    common, own = load("events_common"), load("decision_record")
    both = load("events_common", "decision_record")
    assert both.source == common.source + b"\n" + own.source
    assert len({common.sha, own.sha, both.sha}) == 3
