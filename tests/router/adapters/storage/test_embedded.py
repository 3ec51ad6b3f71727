"""The private server: what survives what, and who may start it."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from redis.asyncio import Redis

from router.adapters.storage import EmbeddedRedis, Storage, StorageSettings, open_storage
from router.adapters.storage.embedded import find_server, major_version
from router.domain.errors import (
    ServerMissing,
    StorageUnavailable,
    StoreMissing,
    StoreUnwritable,
)
from router.domain.events import Decided
from router.domain.tenants import Tenant, hash_key
from tests.contract.samples import RECORD, eventually


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[Storage]:
    opened = await open_storage(StorageSettings(data_dir=tmp_path / "data", timeout_ms=2_000))
    yield opened
    await opened.close()


def server_of(storage: Storage) -> EmbeddedRedis:
    assert storage.server is not None
    return storage.server


def kill(storage: Storage, with_signal: signal.Signals) -> None:
    pid = server_of(storage).pid
    assert pid is not None
    os.kill(pid, with_signal)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def runs(pid: int) -> bool:
    """Return whether this process is alive; one that only waits to be reaped is not."""
    found = Path(f"/proc/{pid}/stat")
    return found.exists() and found.read_text().rpartition(")")[2].split()[0] != "Z"


async def setting(server: EmbeddedRedis, name: str) -> str:
    async with Redis(unix_socket_path=server.socket, decode_responses=True) as redis:
        found = await redis.config_get(name)
        return str(found[name])


async def write(storage: Storage, n: int) -> int | None:
    """Its number once the write is acknowledged, None when it is not."""
    try:
        await storage.decisions.record(replace(RECORD, id=f"d-{n}"))
    except StorageUnavailable:
        return None
    return n


async def is_away(storage: Storage) -> bool:
    try:
        await storage.snapshots.latest_version()
    except StorageUnavailable:
        return True
    return False


async def is_back(storage: Storage) -> bool:
    return not await is_away(storage)


async def test_it_is_private_durable_and_never_evicts(storage: Storage) -> None:
    server = server_of(storage)
    await storage.ping()
    assert await setting(server, "port") == "0"
    assert await setting(server, "appendonly") == "yes"
    assert await setting(server, "appendfsync") == "always"
    assert await setting(server, "maxmemory-policy") == "noeviction"
    assert mode(server.data_dir) == 0o700
    assert mode(Path(server.socket)) == 0o700


async def test_acknowledged_writes_survive_kill_9(storage: Storage) -> None:
    await storage.tenants.create(Tenant("acme"), hash_key("k"))
    writes = [asyncio.create_task(write(storage, n)) for n in range(400)]
    await asyncio.wait(writes, return_when=asyncio.FIRST_COMPLETED)
    kill(storage, signal.SIGKILL)
    acknowledged = [n for n in await asyncio.gather(*writes) if n is not None]
    await eventually(lambda: is_away(storage))
    await server_of(storage).start()
    assert await storage.tenants.find(hash_key("k")) == Tenant("acme")
    for n in acknowledged:
        assert (await storage.decisions.get("acme", f"d-{n}")).id == f"d-{n}"
    assert await storage.events.backlog("0") >= len(acknowledged) > 0


async def test_positions_go_on_after_a_restart(storage: Storage) -> None:
    await write(storage, 1)
    (position, _), *_ = await storage.events.read("0", 10, 0)
    await storage.events.trim(position)
    kill(storage, signal.SIGKILL)
    await eventually(lambda: is_away(storage))
    await server_of(storage).start()
    await write(storage, 2)
    assert [event for _, event in await storage.events.read(position, 10, 0)] == [
        Decided(replace(RECORD, id="d-2"))
    ]


async def test_a_server_that_is_away_is_told_at_once_and_found_again(storage: Storage) -> None:
    await storage.ping()
    await server_of(storage).stop()
    for _ in range(20):
        assert await is_away(storage)
    await server_of(storage).start()
    await storage.ping()


async def test_a_ping_brings_a_server_back_that_has_crashed(storage: Storage) -> None:
    await storage.decisions.record(RECORD)
    kill(storage, signal.SIGKILL)
    await eventually(lambda: is_away(storage))

    async def pings() -> bool:
        try:
            await storage.ping()
        except StorageUnavailable:
            return False
        return True

    await eventually(pings)
    assert await storage.decisions.get("acme", RECORD.id) == RECORD


async def test_a_server_that_hangs_is_given_up(tmp_path: Path) -> None:
    settings = StorageSettings(data_dir=tmp_path, timeout_ms=100, pool_size=2)
    storage = await open_storage(settings)
    await storage.ping()
    kill(storage, signal.SIGSTOP)
    ends = await asyncio.gather(*(is_away(storage) for _ in range(500)))
    with pytest.raises(StorageUnavailable):
        await storage.events.read("0", 1, 10)
    kill(storage, signal.SIGCONT)
    assert all(ends)
    await eventually(lambda: is_back(storage))
    await storage.close()


async def test_a_second_opener_joins_the_first_one_s_server(storage: Storage) -> None:
    second = await open_storage(StorageSettings(data_dir=server_of(storage).data_dir))
    await storage.decisions.record(RECORD)
    assert await second.decisions.get("acme", RECORD.id) == RECORD
    assert server_of(second).pid is None
    await second.close()
    await storage.ping()


async def test_of_many_that_start_at_once_one_starts_a_server(tmp_path: Path) -> None:
    servers = [EmbeddedRedis(tmp_path) for _ in range(5)]
    await asyncio.gather(*(server.start() for server in servers))
    assert sum(server.pid is not None for server in servers) == 1
    for server in servers:
        await server.stop()


async def test_the_server_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    source = textwrap.dedent(
        """
        import asyncio, sys, time
        from pathlib import Path
        from router.adapters.storage import EmbeddedRedis
        server = EmbeddedRedis(Path(sys.argv[1]))
        asyncio.run(server.start())
        print(server.pid, flush=True)
        time.sleep(60)
        """
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", source, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    parent.kill()
    await parent.communicate()

    async def ended() -> bool:
        return not runs(pid)

    await eventually(ended)
    again = EmbeddedRedis(tmp_path)
    await again.start()
    assert again.pid is not None
    await again.stop()


async def test_a_long_path_and_a_blank_in_it_are_no_obstacle(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path / "with blank" / ("x" * 120))
    await server.start()
    assert len(server.socket) < 108
    folder = Path(server.socket).parent
    assert mode(folder) == 0o700
    assert (server.data_dir / "appendonlydir").is_dir()
    await server.stop()
    folder.rmdir()


async def test_a_runtime_folder_that_others_can_write_is_refused(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path / ("x" * 120))
    folder = Path(server.socket).parent
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(ServerMissing, match="somebody else"):
        await server.start()
    folder.rmdir()


async def test_a_damaged_data_directory_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "appendonlydir").mkdir()
    (tmp_path / "appendonlydir" / "appendonly.aof.manifest").write_text("not a manifest")
    with pytest.raises(ServerMissing, match=r"redis\.log"):
        await EmbeddedRedis(tmp_path).start()


@pytest.mark.parametrize(
    ("folder", "fix"),
    [
        ("file", "it is a file"),
        ("file/below", "a part of the path is a file"),
        ("x" * 300, "the path is too long"),
        ("/sys/adaptive-router", "let this user write there|read-only"),
    ],
)
async def test_a_data_directory_that_cannot_be_made_is_named(
    tmp_path: Path, folder: str, fix: str
) -> None:
    (tmp_path / "file").write_text("")
    data_dir = tmp_path / folder
    with pytest.raises(StoreUnwritable, match=fix) as caught:
        await EmbeddedRedis(data_dir).start()
    assert str(data_dir) in caught.value.message
    assert "redis.embedded.data_dir" in caught.value.message


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of its own, with no space left."""
    folder = tmp_path / "full"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:  # noqa: S603 - the machine's own
        pytest.skip("no file system may be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)  # noqa: S603, S607 - the same


async def test_a_full_data_directory_is_named(full: Path) -> None:
    server = EmbeddedRedis(full / "redis")
    with pytest.raises(StoreUnwritable, match=r"no space left.*make room") as caught:
        await server.start()
    assert str(full) in caught.value.message
    assert server.pid is None


async def test_stopping_twice_or_before_the_start_is_harmless(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path)
    await server.stop()
    await server.start()
    await server.stop()
    await server.stop()
    assert server.pid is None


def test_the_version_of_a_binary_is_read(tmp_path: Path) -> None:
    assert major_version(str(find_server())) >= 8
    other = tmp_path / "redis-server"
    other.write_text("#!/bin/sh\necho 'Redis server v=7.4.1 sha=0'\n")
    other.chmod(0o700)
    assert major_version(str(other)) == 7
    other.write_text("#!/bin/sh\necho nonsense\n")
    assert major_version(str(other)) == 0
    assert major_version(str(tmp_path / "missing")) == 0


async def test_who_only_reads_begins_no_store(tmp_path: Path) -> None:
    settings = StorageSettings(data_dir=tmp_path / "redis")
    with pytest.raises(StoreMissing, match=r"redis\.url"):
        await open_storage(settings, begun=True)
    assert not (tmp_path / "redis").exists()
    await (await open_storage(settings)).close()
    await (await open_storage(settings, begun=True)).close()
