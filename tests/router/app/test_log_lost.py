"""A learner and its replicas after the store has lost events that were learned.

Real servers: a replica that stopped following is promoted behind the address of its master.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis
import uvloop

from demo.stack import free_port
from router.adapters.storage import Storage
from router.adapters.storage.embedded import find_server
from router.app.learner import build_learner
from router.app.learner_state_factory import LearnerStateFactory
from router.app.process import opened_storage
from router.app.wiring import build_decider, build_follower
from router.config import Config, load_config
from router.config.values import catalog_of
from router.domain.events import Move, PolicyCommand
from router.learning.learner import Learner
from router.ports.observer import Observer
from router.ports.state import StoredSnapshot
from router.serving.decider import Decider
from router.serving.snapshot_follower import SnapshotFollower
from router.tools.train.run import replayed
from tests.router.conftest import ARMS
from tests.router.tools.train.test_replay import write

WAIT_S = 60.0
OLD, NEW = 20, 30
Scenario = Callable[["Site"], Awaitable[None]]


class Noticing(Observer):
    def __init__(self) -> None:
        self.losses = 0
        self.backlog = -1
        self.leading: list[bool] = []
        self.behind = -1

    def log_lost(self) -> None:
        self.losses += 1

    def learned(self, events: int, backlog: int) -> None:
        del events
        self.backlog = backlog

    def leads(self, *, leading: bool) -> None:
        self.leading.append(leading)

    def staleness(self, events: int, seconds: float) -> None:
        del seconds
        self.behind = events


@dataclass
class Server:
    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def path(self) -> Path:
        return self.folder / "redis.sock"

    @property
    def client(self) -> redis.Redis:
        return redis.Redis(unix_socket_path=str(self.path))

    def start(self) -> Server:
        self.folder.mkdir(exist_ok=True)
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        options += ["--unixsocket", str(self.path), "--appendonly", "yes", "--save", ""]
        options += ["--repl-diskless-sync-delay", "0"]
        self.process = subprocess.Popen(  # noqa: S603 - the server of the tests
            [str(find_server()), *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until(self.answers)
        return self

    def answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.RedisError:
            return False

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.path.unlink(missing_ok=True)
            self.process = None


def until(holds: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline_s, "did not come about"
        time.sleep(0.01)


@dataclass
class Site:
    """Two servers behind one name, a learner and a router's follower on it."""

    folder: Path
    config: Config
    storage: Storage
    master: Server
    replica: Server
    noticing: Noticing = field(default_factory=Noticing)

    def __post_init__(self) -> None:
        catalog = catalog_of(self.config)
        self.factory = LearnerStateFactory(self.config, catalog)
        self.learner = self.new_learner()
        self.decider: Decider = build_decider(self.config, self.factory)
        self.follower: SnapshotFollower = build_follower(
            self.factory, self.storage, self.decider, self.noticing
        )

    def new_learner(self) -> Learner:
        catalog = catalog_of(self.config)
        return build_learner(self.config, catalog, self.factory, self.storage, self.noticing)

    def pause_replication(self) -> None:
        master, replica = self.master.client, self.replica.client
        until(lambda: bool(master.wait(1, 100)))
        replica.replicaof("NO", "ONE")

    def fail_over(self) -> None:
        """The name leads to the replica from here; the master is dead."""
        link, spare = self.folder / "at.sock", self.folder / "next.sock"
        spare.symlink_to(self.replica.path)
        spare.replace(link)
        self.master.stop()

    async def caught_up(self) -> StoredSnapshot:
        deadline_s = time.monotonic() + WAIT_S
        while True:
            assert time.monotonic() < deadline_s, "the learner does not catch up"
            await self.learner.step()
            stored = await self.storage.snapshots.load()
            if stored and await self.storage.events.backlog(stored.position) == 0:
                return stored

    async def is_true(self) -> None:
        """Learner, store and router agree, and replay is byte-exact."""
        stored = await self.caught_up()
        assert stored.position == await self.storage.events.end()
        assert self.noticing.backlog == 0
        await self.follower.step()
        await self.follower.measure()
        assert (self.decider.version, self.noticing.behind) == (stored.version, 0)
        assert (await replayed(self.config, {}, None, verify=True)).payload == stored.payload


@pytest.fixture
def servers() -> Iterator[tuple[Path, Server, Server]]:
    folder = Path(tempfile.mkdtemp(prefix="ar-"))  # a socket's path is short
    master, replica = (Server(folder / name, free_port()) for name in ("one", "two"))
    try:
        master.start()
        replica.start().client.replicaof("127.0.0.1", str(master.port))
        (folder / "at.sock").symlink_to(master.path)
        until(lambda: replica.client.info("replication")["master_link_status"] == "up")
        yield folder, master, replica
    finally:
        master.stop()
        replica.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def within(servers: tuple[Path, Server, Server]) -> Callable[[Scenario], None]:
    """Runs a scenario on uvloop."""
    folder, master, replica = servers
    path = folder / "router.yaml"
    path.write_text(
        f"{ARMS}redis: {{url: 'unix://{folder}/at.sock'}}\nlearning: {{publish_every_ms: 1}}\n"
    )
    config = load_config(path, os.environ)

    async def run(scenario: Scenario) -> None:
        async with opened_storage(config, {}) as storage:
            await scenario(Site(folder, config, storage, master, replica))

    return lambda scenario: uvloop.run(run(scenario))


@pytest.mark.parametrize("more", [5, 60], ids=["shorter", "regrown"])
@pytest.mark.parametrize("lives", [True, False], ids=["living learner", "restarted learner"])
def test_learning_goes_on_after_a_failover_to_a_replica_that_lagged(
    within: Callable[[Scenario], None], more: int, *, lives: bool
) -> None:
    """more: decisions after it, fewer or more than were lost."""

    async def scenario(site: Site) -> None:
        await write(site.storage, 0, OLD)
        before = await site.caught_up()
        site.pause_replication()
        await write(site.storage, OLD, NEW)
        lost = await site.caught_up()
        await site.follower.step()
        site.fail_over()
        await write_again(site.storage, 1_000, more)
        if not lives:
            site.learner = site.new_learner()
        await site.is_true()
        assert site.noticing.losses == (1 if lives else 0)
        assert lost.version > before.version
        if lives:
            assert site.decider.version > lost.version

    within(scenario)


async def write_again(storage: Storage, start: int, count: int) -> None:
    """The first calls may meet the end of the connections to the dead server."""
    for _ in range(100):
        try:
            await storage.decisions.has_room()
            break
        except Exception:  # noqa: BLE001 - until it is reached
            await asyncio.sleep(0.05)
    await write(storage, start, count)


def test_learning_begins_anew_after_everything_was_deleted(
    within: Callable[[Scenario], None],
) -> None:
    async def scenario(site: Site) -> None:
        await write(site.storage, 0, OLD)
        await site.caught_up()
        await site.follower.step()
        served = site.decider.version
        await site.storage.client.call("FLUSHALL")
        await write(site.storage, 100, 7)
        await site.follower.measure()
        assert site.noticing.behind > 0
        await site.is_true()
        assert site.noticing.losses == 1
        assert site.decider.version > served
        assert await site.storage.decisions.has_room()

    within(scenario)


def test_learning_goes_on_from_a_backup_that_was_brought_back(
    within: Callable[[Scenario], None],
) -> None:
    """Both the older files and the newer snapshot in the learner's memory are of one store."""

    async def scenario(site: Site) -> None:
        await write(site.storage, 0, OLD)
        await site.caught_up()
        copy = site.folder / "backup"
        shutil.copytree(site.master.folder / "appendonlydir", copy)
        await write(site.storage, OLD, NEW)
        await site.caught_up()
        await site.follower.step()
        site.master.stop()
        shutil.rmtree(site.master.folder / "appendonlydir")
        shutil.copytree(copy, site.master.folder / "appendonlydir")
        site.master.start()
        await write_again(site.storage, 500, NEW + 3)
        await site.is_true()
        assert site.noticing.losses == 1

    within(scenario)


def test_a_lost_stream_alone_is_noticed_and_later_commands_are_told(
    within: Callable[[Scenario], None],
) -> None:
    async def scenario(site: Site) -> None:
        await write(site.storage, 0, OLD)
        await site.caught_up()
        await site.storage.client.call("ZADD", "ar:policy-changes", 90_000, b"old")
        await site.storage.client.call("DEL", "ar:events")
        await site.storage.policies.command(PolicyCommand(Move.ROLLED_BACK))
        await write(site.storage, 300, 4)
        await site.is_true()
        assert site.noticing.losses == 1
        assert await site.storage.client.call("ZRANGE", "ar:policy-changes", 0, -1) == []

    within(scenario)


def test_a_marker_beyond_the_end_trims_nothing(within: Callable[[Scenario], None]) -> None:
    async def scenario(site: Site) -> None:
        await write(site.storage, 0, OLD)
        stored = await site.caught_up()
        end = int(stored.position[2:])
        await site.storage.events.trim("0-900000")
        assert int(await site.storage.client.call("GET", "ar:learned")) == end
        assert await site.storage.events.backlog("0") == end

    within(scenario)


def test_a_snapshot_of_another_log_is_not_published(within: Callable[[Scenario], None]) -> None:
    async def scenario(site: Site) -> None:
        await write(site.storage, 0, OLD)
        stored = await site.caught_up()
        fence = await site.storage.lease.acquire(site.learner.owner, 60_000)
        assert fence is not None
        await site.storage.client.call("SET", "ar:epoch", "another")
        ahead = StoredSnapshot(stored.version + 1, stored.position, b"x", stored.mark)
        assert not await site.storage.snapshots.publish(ahead, fence)

    within(scenario)


def test_two_holders_on_two_servers_have_different_fences(
    within: Callable[[Scenario], None],
) -> None:
    """A learner that acquired on the dead master must not pass for the one on its successor."""

    async def scenario(site: Site) -> None:
        site.pause_replication()
        first = await site.storage.lease.acquire("one", 60_000)
        site.fail_over()
        await write_again(site.storage, 0, 1)
        second = await site.storage.lease.acquire("two", 60_000)
        assert first is not None
        assert second is not None
        assert second > first
        assert not await site.storage.snapshots.publish(StoredSnapshot(9, "0", b"x"), first)
        assert await site.storage.snapshots.publish(StoredSnapshot(9, "0", b"x"), second)

    within(scenario)


def test_a_replica_follows_another_snapshot_of_the_same_version(
    within: Callable[[Scenario], None],
) -> None:
    async def scenario(site: Site) -> None:
        await write(site.storage, 0, OLD)
        await site.caught_up()
        await site.follower.step()
        first = site.decider.policy
        await site.storage.client.call("FLUSHALL")
        site.learner = site.new_learner()
        deadline_s = time.monotonic() + WAIT_S
        await write(site.storage, 0, 1)
        while site.decider.policy is first:
            assert time.monotonic() < deadline_s
            await site.learner.step()
            await site.follower.step()
        assert site.decider.version == 1

    within(scenario)


def test_the_leader_says_so(within: Callable[[Scenario], None]) -> None:
    async def scenario(site: Site) -> None:
        await site.learner.step()
        other = Noticing()
        catalog = catalog_of(site.config)
        idle = build_learner(site.config, catalog, site.factory, site.storage, other)
        await idle.step()
        assert (site.noticing.leading, other.leading) == ([True], [False])

    within(scenario)


@pytest.mark.parametrize("lives", [True, False], ids=["living learner", "restarted learner"])
def test_a_store_of_an_earlier_version_is_gone_on_with(
    within: Callable[[Scenario], None], *, lives: bool
) -> None:
    """It has neither an epoch nor marks, and an older fence: nothing was lost."""

    async def scenario(site: Site) -> None:
        await write(site.storage, 0, OLD)
        stored = await site.caught_up()
        fields = await site.storage.client.call("HKEYS", "ar:snapshots")
        marks = [name for name in fields if name.endswith(b":mark")]
        assert marks
        await site.storage.client.call("HDEL", "ar:snapshots", *marks)
        await site.storage.client.call("DEL", "ar:epoch", "ar:lease")
        await site.storage.client.call("SET", "ar:fence", 7)
        if not lives:
            site.learner = site.new_learner()
        await write(site.storage, 700, 6)
        await site.is_true()
        assert site.noticing.losses == 0
        assert site.decider.version > stored.version

    within(scenario)
