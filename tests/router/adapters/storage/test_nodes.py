"""A real Sentinel set and a real cluster: their master is found, and a failover is followed."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import pytest_asyncio
from redis.exceptions import RedisError

from router.adapters.storage import Nodes, Storage, StorageSettings, open_storage
from router.adapters.storage.link.address import ByCluster
from router.adapters.storage.server_facts import Unfit, findings
from router.domain.errors import StorageUnavailable
from router.domain.records import FeedbackReport
from router.domain.tenants import Tenant, hash_key
from tests.contract.samples import RECORD
from tests.stores import Server, free_port, ready, spawn, stored

PATIENCE_S = 60.0
SERVICE = "router-store"
CLUSTER_PREFIX = "{ar}:"
SLOTS = ((0, 5460), (5461, 10922), (10923, 16383))


@asynccontextmanager
async def started(*servers: Server) -> AsyncIterator[None]:
    try:
        for server in servers:
            await ready(server)
        yield
    finally:
        for server in servers:
            server.end()


@asynccontextmanager
async def opened(nodes: Nodes, prefix: str = "ar:") -> AsyncIterator[Storage]:
    settings = StorageSettings(nodes=nodes, prefix=prefix, timeout_ms=1_000)
    storage = await open_storage(settings)
    try:
        yield storage
    finally:
        await storage.close()


async def holds(server: Server, *command: str, has: str, count: int = 1) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                if str(await server.ask(*command)).count(has) >= count:
                    return
            except (OSError, RedisError):
                pass
            await asyncio.sleep(0.05)


@dataclass(slots=True)
class SentinelSet:
    data: list[Server]
    sentinels: list[Server]

    @property
    def nodes(self) -> Nodes:
        return Nodes(nodes=tuple(s.address for s in self.sentinels), service=SERVICE)


def sentinel(folder: Path, master: Server) -> Server:
    folder.mkdir(parents=True)
    port = free_port()
    (folder / "s.conf").write_text(
        f"port {port}\nbind 127.0.0.1\ndir {folder}\n"
        f"sentinel monitor {SERVICE} 127.0.0.1 {master.port} 2\n"
        f"sentinel down-after-milliseconds {SERVICE} 1000\n"
        f"sentinel failover-timeout {SERVICE} 5000\n"
    )
    return spawn(folder, str(folder / "s.conf"), port=port, mode="--sentinel")


@pytest_asyncio.fixture
async def sentinel_set(tmp_path: Path) -> AsyncIterator[SentinelSet]:
    """One master, two replicas, three Sentinels that know one another."""
    async with AsyncExitStack() as stack:
        fast = ("--repl-diskless-sync-delay", "0")
        master = spawn(tmp_path / "d0", *fast)
        replicaof = (*fast, "--replicaof", f"127.0.0.1 {master.port}")
        replicas = [spawn(tmp_path / f"d{n}", *replicaof) for n in (1, 2)]
        await stack.enter_async_context(started(master, *replicas))
        await holds(master, "INFO", "replication", has="'connected_slaves': 2")
        sentinels = [sentinel(tmp_path / f"s{n}", master) for n in range(3)]
        await stack.enter_async_context(started(*sentinels))
        for each in sentinels:
            await holds(each, "INFO", "sentinel", has="'slaves': 2, 'sentinels': 3")
        yield SentinelSet([master, *replicas], sentinels)


@asynccontextmanager
async def made_cluster(folder: Path, replicas: int = 0) -> AsyncIterator[list[Server]]:
    """Three masters that hold all slots; the first `replicas` of them have one replica each."""
    options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1500")
    options += ("--repl-diskless-sync-delay", "0", "--cluster-require-full-coverage", "no")
    buses = [free_port() for _ in range(3 + replicas)]
    servers = [
        spawn(folder / f"c{n}", *options, "--cluster-port", str(bus)) for n, bus in enumerate(buses)
    ]
    async with started(*servers):
        for server, (first, last) in zip(servers, SLOTS, strict=False):
            await server.ask("CLUSTER", "ADDSLOTSRANGE", first, last)
        for n, server in enumerate(servers):
            await server.ask("CLUSTER", "SET-CONFIG-EPOCH", n + 1)
        for server, bus in zip(servers[1:], buses[1:], strict=True):
            await servers[0].ask("CLUSTER", "MEET", "127.0.0.1", server.port, bus)
        for server in servers:
            await holds(server, "CLUSTER", "INFO", has="cluster_state:ok")
            await holds(server, "CLUSTER", "INFO", has=f"cluster_known_nodes:{3 + replicas}")
        for n in range(replicas):
            name = str((await servers[n].ask("CLUSTER", "MYID")).decode())  # type: ignore[attr-defined]
            await servers[3 + n].ask("CLUSTER", "REPLICATE", name)
            await holds(servers[3 + n], "INFO", "replication", has="'master_link_status': 'up'")
        for server in servers:  # else nobody votes for a replica
            await holds(server, "CLUSTER", "NODES", has="slave", count=replicas)
        yield servers


async def record(storage: Storage, number: int) -> bool:
    try:
        await storage.decisions.record(replace(RECORD, id=f"d-{number}"))
    except StorageUnavailable:
        return False
    return True


@dataclass(slots=True)
class Load:
    """Twenty writes a second; what failed is counted, and when it last did."""

    storage: Storage
    number: int = 0
    failed: int = 0
    good_since_s: float = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        watch = asyncio.create_task(self._probe(stop))
        while not stop.is_set():
            self.number += 1
            if not await record(self.storage, self.number):
                self.failed += 1
                self.good_since_s = 0.0
            elif not self.good_since_s:
                self.good_since_s = time.monotonic()
            await asyncio.sleep(0.05)
        await watch

    async def _probe(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            with contextlib.suppress(StorageUnavailable):
                await self.storage.ping()
            await asyncio.sleep(0.25)


async def survives(storage: Storage, killed: Server, is_over: asyncio.Task[None]) -> Load:
    """Kill the master under load. Returns once calls have succeeded for a second after it."""
    load, stop = Load(storage), asyncio.Event()
    running = asyncio.create_task(load.run(stop))
    await asyncio.sleep(0.5)
    assert load.failed == 0
    assert load.number > 3
    killed.end()
    async with asyncio.timeout(PATIENCE_S):
        await is_over
        over_s = time.monotonic()
        while not load.good_since_s or time.monotonic() - load.good_since_s < 1:
            await asyncio.sleep(0.05)
    assert load.good_since_s - over_s < 3
    stop.set()
    await running
    return load


async def test_everything_of_a_store_works_in_one_slot(tmp_path: Path) -> None:
    async with made_cluster(tmp_path) as servers:
        nodes = Nodes(nodes=tuple(s.address for s in servers))
        async with opened(nodes, CLUSTER_PREFIX) as storage:
            await storage.ping()
            await storage.tenants.create(Tenant("acme"), hash_key("k"))
            assert await storage.tenants.find(hash_key("k")) == Tenant("acme")
            assert await record(storage, 1)
            assert await storage.events.backlog("0-0") == 1
            assert await storage.lease.acquire("me", 60_000) is not None
            found = [each async for each in storage.kept.each(10)]
            assert [each.id for each in found] == ["d-1"]
            turn = replace(RECORD, id="d-2", session_id="d2", created_ms=int(time.time() * 1_000))
            await storage.decisions.record(turn)
            told = FeedbackReport(quality=1.0)
            assert (await storage.decisions.session_feedback("acme", "d2", told)).decisions == 1
            facts = await storage.tried()
            assert {one.what for one in findings(facts) if one.grave} == {
                Unfit.NOT_DURABLE
            }  # as started here
            assert Unfit.CLUSTER not in {one.what for one in findings(facts)}
        sizes = [await server.ask("DBSIZE") for server in servers]
        assert sorted(bool(size) for size in sizes) == [False, False, True]


@pytest.mark.slow
async def test_the_master_that_sentinels_name_is_followed(sentinel_set: SentinelSet) -> None:
    async with opened(sentinel_set.nodes) as storage:
        await storage.ping()
        old = sentinel_set.data[0]

        async def over() -> None:
            for replica in sentinel_set.data[1:]:
                waits = holds(replica, "INFO", "replication", has="'role': 'master'")
                waiting.append(asyncio.create_task(waits))
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

        waiting: list[asyncio.Task[None]] = []
        load = await survives(storage, old, asyncio.create_task(over()))
        assert await storage.events.backlog("0-0") >= load.number - load.failed


@pytest.mark.slow
async def test_a_sentinel_that_is_down_or_hangs_is_passed_over(sentinel_set: SentinelSet) -> None:
    sentinel_set.sentinels[0].end()
    async with opened(sentinel_set.nodes) as storage:
        assert await record(storage, 1)


@pytest.mark.slow
async def test_a_failover_of_the_slot_s_master_is_followed(tmp_path: Path) -> None:
    async with made_cluster(tmp_path, replicas=3) as servers:
        nodes = Nodes(nodes=tuple(s.address for s in servers))
        async with opened(nodes, CLUSTER_PREFIX) as storage:
            assert await record(storage, 0)
            sizes = [int(str(await server.ask("DBSIZE"))) for server in servers[:3]]
            holder = sizes.index(max(sizes))
            over = holds(servers[3 + holder], "INFO", "replication", has="'role': 'master'")
            load = await survives(storage, servers[holder], asyncio.create_task(over))
            assert await storage.events.backlog("0-0") >= load.number - load.failed


async def test_a_manual_failover_costs_no_call(tmp_path: Path) -> None:
    async with made_cluster(tmp_path, replicas=3) as servers:
        nodes = Nodes(nodes=tuple(s.address for s in servers[:1]))
        async with opened(nodes, CLUSTER_PREFIX) as storage:
            assert await record(storage, 0)
            sizes = [int(str(await server.ask("DBSIZE"))) for server in servers[:3]]
            replica = servers[3 + sizes.index(max(sizes))]
            await replica.ask("CLUSTER", "FAILOVER")
            ends = []
            async with asyncio.timeout(PATIENCE_S):
                number = 1
                while "'role': 'master'" not in str(await replica.ask("INFO", "replication")):
                    ends.append(await record(storage, number))
                    number += 1
            ends += [await record(storage, number + n) for n in range(20)]
            assert all(ends)


def open_sockets() -> int:
    found = 0
    for each in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found += "socket" in str(each.readlink())
    return found


async def test_a_way_that_is_given_up_leaves_no_connection_open(tmp_path: Path) -> None:
    async with made_cluster(tmp_path) as servers:
        nodes = Nodes(nodes=tuple(s.address for s in servers))
        options = {"socket_connect_timeout": 1.0}
        before = open_sockets()
        ends = set()
        for turns in range(300):
            making = asyncio.ensure_future(ByCluster(nodes, CLUSTER_PREFIX, options).make())
            await asyncio.sleep(turns * 20e-6)
            making.cancel()
            ends.add(type((await asyncio.gather(making, return_exceptions=True))[0]))
        assert asyncio.CancelledError in ends
        assert (await ByCluster(nodes, CLUSTER_PREFIX, options).make()) is not None
        async with asyncio.timeout(PATIENCE_S):
            while open_sockets() > before:
                await asyncio.sleep(0.01)


async def kind_told(nodes: Nodes, prefix: str = "ar:") -> str:
    async with opened(nodes, prefix) as storage:
        with pytest.raises(StorageUnavailable) as caught:
            await storage.ping()
        with pytest.raises(StorageUnavailable) as again:
            await storage.decisions.record(RECORD)
        assert again.value.metadata == caught.value.metadata
        return caught.value.metadata["kind"]


async def test_nodes_that_are_none_are_told(tmp_path: Path) -> None:
    async with stored(tmp_path / "a") as plain:
        sentinels = Nodes(nodes=(plain.address,), service=SERVICE)
        assert await kind_told(sentinels) == "not_sentinel"
        cluster = Nodes(nodes=(plain.address,))
        assert await kind_told(cluster, CLUSTER_PREFIX) == "not_cluster"


async def test_nodes_that_are_silent_are_away() -> None:
    nodes = (("127.0.0.1", free_port()), ("127.0.0.1", free_port()))
    assert await kind_told(Nodes(nodes=nodes, service=SERVICE)) == "away"
    assert await kind_told(Nodes(nodes=nodes), CLUSTER_PREFIX) == "away"


async def test_sentinels_that_know_no_master_or_no_password_say_so(tmp_path: Path) -> None:
    async with stored(tmp_path / "a") as master:
        known = sentinel(tmp_path / "s", master)
        async with started(known):
            nodes = Nodes(nodes=(("127.0.0.1", free_port()), known.address), service="other")
            assert await kind_told(nodes) == "no_master"
            await known.ask("ACL", "SETUSER", "default", "resetpass", ">p")
            refused = Nodes(nodes=(known.address,), service=SERVICE, sentinel_password="q")
            assert await kind_told(refused) == "password_refused"
