"""Whether a server is fit to keep the store, asked of real ones."""

from __future__ import annotations

import asyncio
import logging
import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import redis
import uvloop
from click.testing import CliRunner, Result
from redis.backoff import ConstantBackoff
from redis.retry import Retry

import router.adapters.storage
from demo.stack import free_port
from router.adapters.storage import Storage, StorageSettings, open_storage
from router.adapters.storage.embedded import find_server
from router.adapters.storage.server_facts import ServerFacts, findings
from router.app.store_watch import StoreWatch
from router.cli import main
from router.ports.observer import Observer
from tests.router.conftest import ARMS

WAIT_S = 60.0
FIT = ["--maxmemory", "100mb", "--appendonly", "yes"]
EVERY = {
    "redis_version": "7.4.0",
    "role": "slave",
    "cluster_enabled": "1",
    "maxmemory": "1000",
    "used_memory": "800",
    "maxmemory_policy": "volatile-ttl",
    "aof_enabled": "0",
    "rdb_last_bgsave_status": "err",
}


class Server:
    def __init__(self, folder: Path, options: Sequence[str]) -> None:
        self.port = free_port()
        words = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder)]
        self.process = subprocess.Popen(  # noqa: S603 - the server of the tests
            [str(find_server()), *words, "--save", "", *options], stdout=subprocess.DEVNULL
        )
        self.client = redis.Redis(port=self.port)
        deadline_s = time.monotonic() + WAIT_S
        while not self._answers():
            assert time.monotonic() < deadline_s
            time.sleep(0.01)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.RedisError:
            return False


@pytest.fixture
def options() -> list[str]:
    return FIT


@pytest.fixture
def server(tmp_path: Path, options: list[str]) -> Iterator[Server]:
    made = Server(tmp_path, options)
    yield made
    made.process.kill()
    made.process.wait()


async def tried(url: str) -> ServerFacts:
    storage = await open_storage(StorageSettings(url=url))
    try:
        return await storage.tried()
    finally:
        await storage.close()


def found(url: str) -> dict[str, bool]:
    """Names of the findings, and whether each is grave."""
    return {str(one.what): one.grave for one in findings(uvloop.run(tried(url)))}


def check(folder: Path, url: str) -> Result:
    path = folder / "router.yaml"
    path.write_text(f"{ARMS}redis: {{url_env: STORE_URL}}\n")
    words = ["check-config", "--probe", "--only", "store", str(path)]
    return CliRunner().invoke(main, words, env={"STORE_URL": url})


def test_a_server_that_is_fit_has_no_findings(server: Server, tmp_path: Path) -> None:
    assert found(server.url) == {}
    assert server.client.dbsize() == 0  # what was tried is gone
    done = check(tmp_path, server.url)
    assert done.exit_code == 0
    assert re.search(r"^store: Redis \d.* of 100 MiB in use$", done.output, re.MULTILINE)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([*FIT, "--maxmemory-policy", "allkeys-lru"], {"eviction": True}),
        (["--appendonly", "yes", "--maxmemory-policy", "allkeys-lru"], {"eviction": False}),
        (["--appendonly", "yes"], {}),
        (["--maxmemory", "100mb"], {"not_durable": False}),
        (
            [*FIT, "--cluster-enabled", "yes", "--cluster-port", str(free_port())],
            {"cluster": True},
        ),
    ],
    ids=["evicts", "would evict", "no limit", "no log", "cluster"],
)
def test_what_is_wrong_is_found(server: Server, expected: dict[str, bool]) -> None:
    server.client.ping()

    async def asked() -> ServerFacts:
        storage = await open_storage(StorageSettings(url=server.url))
        try:
            return await storage.facts()
        finally:
            await storage.close()

    told = {str(one.what): one.grave for one in findings(uvloop.run(asked()))}
    told.pop("no_limit", None)
    assert told == expected


def test_what_is_grave_fails_the_check(server: Server, tmp_path: Path) -> None:
    server.client.config_set("maxmemory-policy", "allkeys-lru")
    done = check(tmp_path, server.url)
    assert done.exit_code == 1
    assert "maxmemory-policy is allkeys-lru" in done.stderr
    assert "set noeviction" in done.stderr


@pytest.mark.parametrize("options", [["--maxmemory", "100mb"]])
def test_a_server_that_keeps_nothing_fails_the_check(server: Server, tmp_path: Path) -> None:
    done = check(tmp_path, server.url)
    assert done.exit_code == 1
    assert "nothing is written to disk" in done.stderr
    server.client.config_set("save", "3600 1")
    assert found(server.url) == {"not_durable": False}
    server.client.config_set("save", "")
    server.client.execute_command(
        "ACL SETUSER app on >secret ~ar:* +@all -@admin -@dangerous +info"
    )
    assert found(f"redis://app:secret@127.0.0.1:{server.port}") == {"not_durable": False}


def test_a_check_that_is_refused_says_what_to_change(server: Server, tmp_path: Path) -> None:
    for url, words in (
        (f"redis://:wrong@127.0.0.1:{server.port}", "password: correct them"),
        (f"{server.url}/99", "no database of this number: name another"),
        (f"redis://127.0.0.1:{free_port()}", "nothing answers at its address"),
    ):
        done = check(tmp_path, url)
        assert done.exit_code == 1
        assert words in done.stderr
        assert ("try again" in done.stderr) == ("nothing answers" in words)


def test_a_check_tells_a_sentinel(tmp_path: Path) -> None:
    port = free_port()
    path = tmp_path / "s.conf"
    path.write_text(f"port {port}\nbind 127.0.0.1\ndir {tmp_path}\n")
    words = [str(find_server()), str(path), "--sentinel"]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)  # noqa: S603 - the server of the tests
    try:
        with redis.Redis(port=port, retry=Retry(ConstantBackoff(0.05), 1_000)) as asked:
            assert asked.ping()
        done = check(tmp_path, f"redis://127.0.0.1:{port}")
    finally:
        process.kill()
        process.wait()
    assert done.exit_code == 1
    assert "it is a Sentinel: name it in redis.sentinel.nodes" in done.stderr


def test_a_replica_is_found_without_a_write(server: Server) -> None:
    server.client.replicaof("127.0.0.1", "1")
    assert found(server.url)["replica"]


def test_a_user_who_may_not_ask_is_not_taken_for_unfit(server: Server) -> None:
    server.client.execute_command(
        "ACL SETUSER app on >secret ~ar:* +@all -info -config -@dangerous +keys"
    )
    assert found(f"redis://app:secret@127.0.0.1:{server.port}") == {}


def test_commands_that_a_user_lacks_are_named(server: Server, tmp_path: Path) -> None:
    server.client.execute_command("ACL SETUSER app on >secret ~ar:* +@all -xadd -hsetex -xinfo")
    url = f"redis://app:secret@127.0.0.1:{server.port}"
    assert found(url) == {"not_permitted": True}
    done = check(tmp_path, url)
    assert done.exit_code == 1
    for name in ("XADD", "HSETEX", "XINFO"):
        assert name in done.stderr
    assert "secret" not in done.output


def test_every_command_in_use_is_tried() -> None:
    folder = Path(router.adapters.storage.__file__).parent
    probe = (folder / "lua/server_may.lua").read_text()
    scripts = [p.read_text() for p in (folder / "lua").glob("*.lua") if p.stem != "server_may"]
    called = {name for text in scripts for name in re.findall(r"redis\.p?call\('([A-Z]+)'", text)}
    sources = [p.read_text() for p in folder.glob("*.py") if p.stem not in {"embedded", "client"}]
    sent = r"(?:call|wait)\(\s*\(?\"([A-Z]+)\"|^\s*\(\"([A-Z]+)\",|= \(\"([A-Z]+)\""
    for text in sources:
        called |= {n for names in re.findall(sent, text, re.MULTILINE) for n in names if n}
    assert len(called) > 35
    missing = called - set(re.findall(r"\{'([A-Z]+)'", probe)) - {"INFO", "BLOCK", "STREAMS"}
    assert sorted(missing) == [], "add it to lua/server_may.lua"


def test_all_findings_of_a_bad_server_are_told_once() -> None:
    names = [one.what for one in findings(ServerFacts(EVERY, [("XADD", "NOPERM")]))]
    assert len(names) == len(set(names)) == 8


class Told(Observer):
    def __init__(self) -> None:
        self.memory = (0, 0)
        self.found: list[str] = []

    def store_memory(self, used_bytes: int, limit_bytes: int) -> None:
        self.memory = (used_bytes, limit_bytes)

    def store_findings(self, what: Sequence[str]) -> None:
        self.found = list(what)


def test_a_store_that_fills_up_is_told_once_per_change(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    told = Told()

    async def watch() -> None:
        storage: Storage = await open_storage(StorageSettings(url=server.url))
        seen = StoreWatch(storage.facts, told, is_ours=False, every_s=0.02)
        await seen.step()
        used, limit = told.memory
        assert (told.found, limit) == ([], 100 << 20)
        for _ in range(2):
            await asyncio.to_thread(server.client.config_set, "maxmemory", int(used * 1.1))
            for _ in range(3):
                await seen.step()
            assert told.found == ["nearly_full"]
            await asyncio.to_thread(server.client.config_set, "maxmemory", used * 10)
            await seen.step()
            assert told.found == []
        server.process.kill()
        server.process.wait()
        await seen.step()
        await storage.close()

    with caplog.at_level(logging.WARNING):
        uvloop.run(watch())
    lines = [r.getMessage() for r in caplog.records if r.name == "router.app.store_watch"]
    assert len(lines) == 2
    assert all("MiB are used: raise maxmemory" in line for line in lines)
