"""The probe asks what requests need, and names the kind of what is wrong, at real servers."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme
from redis.exceptions import ResponseError

from bench.chaos.proxy import FaultyProxy, Mode
from router.adapters.storage import Storage, StorageSettings, open_storage
from router.adapters.storage.link.failures import ADVICE, FailureKind, kind_of
from router.domain.errors import RouterError, ServerMissing, StorageUnavailable
from tests.contract.samples import RECORD
from tests.stores import Server, free_port, ready, spawn, stored

AT_ONCE_S = 0.1


@asynccontextmanager
async def opened(url: str, timeout_ms: float = 2_000) -> AsyncIterator[Storage]:
    storage = await open_storage(StorageSettings(url=url, timeout_ms=timeout_ms))
    try:
        yield storage
    finally:
        await storage.close()


async def kind_found(storage: Storage) -> FailureKind | None:
    try:
        await storage.ping()
    except RouterError:
        return storage.client.circuit.kind
    return None


async def is_ill(storage: Storage, kind: FailureKind) -> None:
    """The probe says so, and the next call is refused at once."""
    assert await kind_found(storage) is kind
    assert storage.client.is_away
    began_s = time.monotonic()
    with pytest.raises(StorageUnavailable) as caught:
        await storage.decisions.record(RECORD)
    assert time.monotonic() - began_s < AT_ONCE_S
    assert caught.value.metadata == {"kind": kind.value}


async def is_well(storage: Storage) -> None:
    assert await kind_found(storage) is None
    assert not storage.client.is_away
    await storage.decisions.record(RECORD)


def signed(server: Server, user: str, password: str = "p") -> str:  # noqa: S107 - of a test
    return f"redis://{user}:{password}@127.0.0.1:{server.port}"


async def test_a_replica_is_read_only(tmp_path: Path) -> None:
    async with stored(tmp_path / "a") as master, stored(tmp_path / "b") as replica:
        await replica.ask("REPLICAOF", "127.0.0.1", master.port)
        async with opened(replica.url) as storage:
            await is_ill(storage, FailureKind.READ_ONLY)
            await replica.ask("REPLICAOF", "NO", "ONE")
            await is_well(storage)


async def test_full_memory_is_told_and_waited_for(tmp_path: Path) -> None:
    async with stored(tmp_path) as server, opened(server.url) as storage:
        await is_well(storage)
        await server.ask("CONFIG", "SET", "maxmemory", 1)
        await is_ill(storage, FailureKind.MEMORY_FULL)
        await server.ask("CONFIG", "SET", "maxmemory", 0)
        await is_well(storage)


async def test_a_server_that_can_not_save_is_told(tmp_path: Path) -> None:
    options = ("--dbfilename", "none.rdb")
    async with stored(tmp_path, *options) as server, opened(server.url) as storage:
        await server.ask("SET", "a", "b")
        await server.ask("CONFIG", "SET", "save", "1 1")
        (tmp_path / "none.rdb").mkdir()  # nothing can be renamed to it
        (tmp_path / "none.rdb" / "x").touch()
        with pytest.raises(ResponseError):
            await server.ask("SAVE")
        await server.ask("BGSAVE")
        async with asyncio.timeout(60):
            while await kind_found(storage) is not FailureKind.NOT_PERSISTING:
                await asyncio.sleep(0.05)
        await is_ill(storage, FailureKind.NOT_PERSISTING)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
async def test_a_full_disk_is_told(tmp_path: Path) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:  # noqa: ASYNC221, S603 - at once
        pytest.skip("this machine lets nobody mount")
    try:
        options = ("--appendonly", "yes", "--appendfsync", "everysec")
        async with stored(tmp_path / "data", *options) as server, opened(server.url) as storage:
            await is_well(storage)
            (tmp_path / "filler").write_bytes(b"x" * 120_000)
            async with asyncio.timeout(60):
                number = 0
                while await kind_found(storage) is not FailureKind.NOT_PERSISTING:
                    number += 1
                    try:
                        await server.ask("SET", f"k{number}", "x" * 20_000)
                    except ResponseError:
                        await asyncio.sleep(0.05)
            await is_ill(storage, FailureKind.NOT_PERSISTING)
            (tmp_path / "filler").unlink()
            async with asyncio.timeout(60):
                while await kind_found(storage) is not None:
                    await asyncio.sleep(0.1)
            await is_well(storage)
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)  # noqa: ASYNC221, S603, S607 - at once


@pytest.mark.parametrize(
    ("rules", "kind"),
    [
        ("+@all ~* -@scripting", FailureKind.SCRIPTING_DENIED),
        ("+@all ~* -xadd", FailureKind.NOT_PERMITTED),
        ("+@all ~* -@write", FailureKind.NOT_PERMITTED),
        ("+@all ~other:*", FailureKind.NOT_PERMITTED),
        ("+@all ~* -info", None),
        ("+@all ~* -info -hello", None),
        ("+@all ~ar:* -@admin -@dangerous", None),
    ],
)
async def test_what_an_acl_denies(
    rules: str, kind: FailureKind | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with stored(tmp_path) as server:
        await server.ask("ACL", "SETUSER", "u", "on", ">p", *rules.split())
        async with opened(signed(server, "u")) as storage:
            if kind is None:
                await is_well(storage)
                return
            for _ in range(3):
                await is_ill(storage, kind)
    told = [r.message for r in caplog.records if r.levelno == logging.WARNING]
    assert len(told) == 1
    assert kind.value in told[0]
    assert ("XADD" in told[0]) is ("xadd" in rules)


@pytest.mark.parametrize("url", ["redis://u:wrong@", "redis://:secret-pw@", "redis://"])
async def test_a_password_that_is_refused(
    url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = spawn(tmp_path, "--requirepass", "right")
    try:
        await ready(server, password="right")
        async with opened(f"{url}127.0.0.1:{server.port}") as storage:
            began_s = time.monotonic()
            await is_ill(storage, FailureKind.PASSWORD_REFUSED)
            assert time.monotonic() - began_s < 1
        assert "secret-pw" not in caplog.text
        assert caplog.text.count(FailureKind.PASSWORD_REFUSED.value) == 1
    finally:
        server.end()


async def test_a_node_of_a_cluster_is_no_store_of_its_own(tmp_path: Path) -> None:
    # The bus of a cluster is 10,000 above the port otherwise, which need be none.
    options = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    async with stored(tmp_path, *options) as server:
        await server.ask("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        async with opened(server.url) as storage:
            await is_ill(storage, FailureKind.WRONG_NODE)


async def test_a_sentinel_is_no_store(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "s.conf").write_text(f"port {port}\nbind 127.0.0.1\ndir {tmp_path}\n")
    server = spawn(tmp_path, str(tmp_path / "s.conf"), port=port, mode="--sentinel")
    try:
        await ready(server)
        async with opened(server.url) as storage:
            await is_ill(storage, FailureKind.SENTINEL_PORT)
    finally:
        server.end()


async def test_too_many_clients(tmp_path: Path) -> None:
    async with stored(tmp_path, "--maxclients", "1") as server:
        reader, writer = await asyncio.open_connection(*server.address)
        writer.write(b"PING\r\n")
        await reader.readline()
        async with opened(server.url, timeout_ms=500) as storage:
            await is_ill(storage, FailureKind.TOO_MANY_CLIENTS)
            writer.close()
            await writer.wait_closed()
            async with asyncio.timeout(60):
                while await kind_found(storage) is not None:
                    await asyncio.sleep(0.02)


async def test_too_few_replicas(tmp_path: Path) -> None:
    async with stored(tmp_path, "--min-replicas-to-write", "1") as server, opened(server.url) as s:
        await is_ill(s, FailureKind.TOO_FEW_REPLICAS)


async def test_a_replica_without_its_master(tmp_path: Path) -> None:
    options = ("--replica-serve-stale-data", "no", "--replicaof", "127.0.0.1", str(free_port()))
    server = spawn(tmp_path, *options)
    try:
        async with opened(server.url) as storage:
            async with asyncio.timeout(60):
                while await kind_found(storage) is FailureKind.AWAY:
                    await asyncio.sleep(0.02)
            await is_ill(storage, FailureKind.MASTER_DOWN)
    finally:
        server.end()


async def test_a_database_that_there_is_not(tmp_path: Path) -> None:
    async with stored(tmp_path) as server, opened(f"{server.url}/99") as storage:
        await is_ill(storage, FailureKind.WRONG_DATABASE)


async def test_a_renamed_command(tmp_path: Path) -> None:
    options = ("--rename-command", "EVALSHA", "", "--rename-command", "EVAL", "")
    async with stored(tmp_path, *options) as server, opened(server.url) as storage:
        await is_ill(storage, FailureKind.SCRIPTING_DENIED)


async def test_info_that_is_renamed_away_is_not_missed(tmp_path: Path) -> None:
    options = ("--rename-command", "INFO", "")
    async with stored(tmp_path, *options) as server, opened(server.url) as storage:
        await is_well(storage)


async def test_nothing_there_and_a_name_that_leads_nowhere() -> None:
    async with opened(f"redis://127.0.0.1:{free_port()}", 300) as storage:
        await is_ill(storage, FailureKind.AWAY)
    async with opened("redis://no-such-host.invalid:6379", 1_000) as storage:
        assert await kind_found(storage) in {FailureKind.NAME_UNKNOWN, FailureKind.TIMEOUT}


@pytest.mark.parametrize("mode", [Mode.HOLD, Mode.SWALLOW, Mode.MUTE])
async def test_a_black_hole_is_refused_at_once_after_the_first_look(
    mode: Mode, tmp_path: Path
) -> None:
    async with (
        stored(tmp_path) as server,
        FaultyProxy(server.address) as proxy,
        opened(proxy.url, timeout_ms=300) as storage,
    ):
        await is_well(storage)
        await proxy.set(mode)
        await is_ill(storage, FailureKind.TIMEOUT)
        await proxy.set(Mode.PASS)
        async with asyncio.timeout(60):
            while await kind_found(storage) is not None:
                await asyncio.sleep(0.02)
        await is_well(storage)


class Faked:
    """Answers on the wire as an older or another server does."""

    def __init__(self, *replies: bytes) -> None:
        self.replies = replies

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for reply in self.replies:
                await reader.read(1 << 16)
                writer.write(reply)
            await reader.read()
        except OSError:
            pass
        finally:
            writer.transport.abort()


@asynccontextmanager
async def faked(*replies: bytes) -> AsyncIterator[str]:
    server = await asyncio.start_server(Faked(*replies).serve, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


HELLO = b"*4\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$7\r\nversion\r\n$5\r\n7.4.1\r\n"


async def test_an_older_server_that_denies_info_is_told_by_hello() -> None:
    denied = b"-NOPERM User u has no permissions to run the 'info' command\r\n"
    async with faked(denied, HELLO) as url, opened(url) as storage:
        with pytest.raises(ServerMissing, match=r"7\.4\.1.* 8 or newer"):
            await storage.ping()
        assert storage.client.circuit.kind is FailureKind.VERSION_TOO_OLD


async def test_what_is_no_redis_is_told() -> None:
    async with faked(b"HTTP/1.1 400 Bad Request\r\n\r\n") as url, opened(url, 500) as storage:
        assert await kind_found(storage) is FailureKind.NOT_REDIS


async def test_a_certificate_that_nobody_trusts() -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server = await asyncio.start_server(Faked().serve, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    try:
        async with opened(f"rediss://127.0.0.1:{port}", 500) as storage:
            assert await kind_found(storage) is FailureKind.TLS_NOT_TRUSTED
        async with opened(f"redis://127.0.0.1:{port}", 1_000) as storage:
            for _ in range(2):
                assert await kind_found(storage) is FailureKind.TLS_EXPECTED
    finally:
        server.close()


async def test_tls_to_a_server_that_speaks_none(tmp_path: Path) -> None:
    async with stored(tmp_path) as server:
        url = server.url.replace("redis://", "rediss://")
        async with opened(url, 500) as storage:
            assert await kind_found(storage) is FailureKind.TLS_NOT_SPOKEN


def test_every_kind_says_what_to_do() -> None:
    assert set(ADVICE) == set(FailureKind)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (
            ResponseError("Invalid command passed to redis.acl_check_cmd() script: x"),
            FailureKind.VERSION_TOO_OLD,
        ),
        (ResponseError("UNBLOCKED force unblock"), FailureKind.UNBLOCKED),
        (ResponseError("BUSY Redis is busy running a script."), FailureKind.BUSY_SCRIPT),
        (ResponseError("DENIED Redis is running in protected mode"), FailureKind.PROTECTED_MODE),
        (ResponseError("WRONGTYPE Operation against a key"), FailureKind.REFUSED),
        (TimeoutError(), FailureKind.TIMEOUT),
        (ConnectionResetError(), FailureKind.AWAY),
        (RuntimeError("handle closed"), FailureKind.AWAY),
    ],
)
def test_a_driver_s_error_has_one_kind(error: Exception, kind: FailureKind) -> None:
    assert kind_of(error) is kind
