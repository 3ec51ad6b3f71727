"""A doctor looks at servers, clocks, certificates and disks, each of them real."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from router.adapters.embedding.files import MODEL_DIR_VARIABLE
from router.adapters.spool import FileSpool, waiting_bytes
from router.config import load_config
from router.tools.doctor.certificates import look_at_certificates
from router.tools.doctor.findings import Finding, State, worst
from router.tools.doctor.machine import look_at_spool
from router.tools.doctor.run import examined
from tests.e2e.wire import on_uvloop
from tests.router.conftest import ARMS
from tests.stores import Server, stored

Write = Callable[[str], Path]
FIT = ("--appendonly", "yes", "--maxmemory", "200mb")


def by_check(found: Iterable[Finding]) -> dict[str, Finding]:
    return {finding.check: finding for finding in found}


async def look(folder: Path, server: Server, more: str = "", ahead_s: float = 0.0) -> list[Finding]:
    """ahead_s: of the clock of the machine that looks."""
    config = folder / "router.yaml"
    config.write_text(f"{ARMS}redis: {{url: '{server.url}'}}\n{more}")
    return await examined(config, {}, lambda: time.time() + ahead_s, probe=False)


@on_uvloop
async def test_a_fit_server_is_told_with_its_numbers(tmp_path: Path, model_dir: Path) -> None:
    async with stored(tmp_path / "redis", *FIT) as server:
        found = by_check(await look(tmp_path, server))
    store = {check: f for check, f in found.items() if check.startswith("store.")}
    assert {f.state for f in store.values()} == {State.OK}
    assert set(store) == {
        *("store.reachable", "store.version", "store.eviction", "store.persistence"),
        "store.memory",
    }
    assert found["store.memory"].facts["limit_bytes"] == 200 << 20
    assert abs(found["clock"].facts["ahead_s"]) < 1
    assert found["model"].state is State.OK
    assert str(model_dir) in found["model"].text


@pytest.mark.parametrize(
    ("options", "check", "state", "fix"),
    [
        (
            ("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru", "--appendonly", "yes"),
            "store.eviction",
            State.FAIL,
            "set noeviction",
        ),
        (("--maxmemory", "100mb"), "store.persistence", State.FAIL, "set appendonly yes"),
        (("--appendonly", "yes"), "store.memory", State.WARN, "set it below what there is"),
    ],
)
def test_what_is_wrong_with_a_server(
    tmp_path: Path, options: tuple[str, ...], check: str, state: State, fix: str
) -> None:
    @on_uvloop
    async def looked() -> None:
        async with stored(tmp_path / "redis", *options) as server:
            found = by_check(await look(tmp_path, server))[check]
        assert (found.state, found.fix) == (state, fix)

    looked()


@pytest.mark.parametrize(
    ("ahead_s", "state", "words"),
    [(0, State.OK, "agrees"), (30, State.WARN, "ahead of"), (-90, State.FAIL, "behind")],
)
def test_a_clock_that_is_wrong(tmp_path: Path, ahead_s: float, state: State, words: str) -> None:
    @on_uvloop
    async def looked() -> None:
        async with stored(tmp_path / "redis", *FIT) as server:
            found = by_check(await look(tmp_path, server, ahead_s=ahead_s))["clock"]
        assert found.state is state
        assert words in found.text
        assert found.facts["ahead_s"] == pytest.approx(ahead_s, abs=1)

    looked()


@on_uvloop
async def test_a_store_that_is_away_leaves_the_other_checks(tmp_path: Path) -> None:
    async with stored(tmp_path / "redis", *FIT) as server:
        pass
    found = by_check(await look(tmp_path, server))
    assert found["store.reachable"].state is State.FAIL
    assert "nothing answers at its address" in found["store.reachable"].text
    assert {"config", "model", "provider.mini.key", "spool.disk"} <= set(found)
    assert not {"clock", "learning.lag", "keys"} & set(found)


@on_uvloop
async def test_a_store_that_never_answers_holds_nobody_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        found = by_check(await look(tmp_path, Server(port, tmp_path, None)))  # type: ignore[arg-type]
    assert found["store.reachable"].state is State.FAIL
    assert "model" in found


@on_uvloop
async def test_a_server_that_permits_too_little(tmp_path: Path) -> None:
    async with stored(tmp_path / "redis", *FIT) as server:
        await server.ask("ACL", "SETUSER", "default", "-hset")
        found = by_check(await look(tmp_path, server))["store.permissions"]
    assert found.state is State.FAIL
    assert "that the router needs fail: HSET" in found.text
    assert "redis.url" in found.fix


@on_uvloop
async def test_a_model_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MODEL_DIR_VARIABLE, str(tmp_path / "none"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    async with stored(tmp_path / "redis", *FIT) as server:
        found = by_check(await look(tmp_path, server))["model"]
    assert found.state is State.FAIL
    assert "fetch-model" in found.fix


@on_uvloop
async def test_a_missing_key_hides_nothing_else(tmp_path: Path) -> None:
    async with stored(tmp_path / "redis", *FIT) as server:
        config = tmp_path / "router.yaml"
        arms = ARMS.replace("model: small", "model: small\n        api_key_env: MINI_KEY")
        config.write_text(f"{arms}redis: {{url: '{server.url}'}}\n")
        found = by_check(await examined(config, {}, time.time, probe=True))
        given = by_check(await examined(config, {"MINI_KEY": "k"}, time.time, probe=False))
    key = found["provider.mini.key"]
    assert (key.state, "MINI_KEY" in key.fix) == (State.FAIL, True)
    assert found["store.reachable"].state is State.OK
    assert not [check for check in found if check.endswith(".call")]
    assert given["provider.mini.key"].state is State.OK


@on_uvloop
async def test_every_mistake_of_a_config_is_a_finding(tmp_path: Path) -> None:
    config = tmp_path / "router.yaml"
    config.write_text(f"{ARMS}servr: {{}}\nserver: {{port: x}}\n")
    found = await examined(config, {}, time.time, probe=False)
    assert [(f.check, f.state, f.facts["key"]) for f in found] == [
        ("config", State.FAIL, "servr"),
        ("config", State.FAIL, "server.port"),
    ]
    (gone,) = await examined(tmp_path / "none.yaml", {}, time.time, probe=False)
    assert (gone.state, gone.fix) == (State.FAIL, "there is no such file")


def certificate(folder: Path, *ends: timedelta) -> Path:
    authority, file = trustme.CA(), folder / "ca.pem"
    made = [
        authority.issue_cert("router.example", not_after=datetime.now(UTC) + each)
        .cert_chain_pems[0]
        .bytes()
        for each in ends
    ]
    file.write_bytes(b"".join(made))
    return file


@pytest.mark.parametrize(
    ("ends_d", "state", "words"),
    [
        ((400,), State.OK, "is valid until"),
        ((10,), State.WARN, "expires in 10.0 days"),
        ((-1,), State.FAIL, "expired on"),
        ((-1, 400), State.OK, "is valid until"),
    ],
)
def test_certificates_that_end(
    tmp_path: Path, write_config: Write, ends_d: tuple[int, ...], state: State, words: str
) -> None:
    file = certificate(tmp_path, *(timedelta(days=d, hours=1) for d in ends_d))
    path = write_config(f"providers: {{ca_file: {file}}}\n")
    (found,) = look_at_certificates(load_config(path, {}), time.time)
    assert (found.check, found.state) == ("certificate.providers.ca_file", state)
    assert words in found.text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "holds no certificate"),
        (b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", "is damaged"),
        (b"-----BEGIN CERTIFICATE-----\n%%\n-----END CERTIFICATE-----\n", "is damaged"),
        (None, "can't be read"),
    ],
)
def test_certificates_that_are_none(
    tmp_path: Path, write_config: Write, content: bytes | None, words: str
) -> None:
    file = certificate(tmp_path, timedelta(days=400))
    config = load_config(write_config(f"providers: {{ca_file: {file}}}\n"), {})
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    (found,) = look_at_certificates(config, time.time)
    assert found.state is State.FAIL
    assert words in found.text


@on_uvloop
async def test_a_spool_is_measured_and_left_alone(tmp_path: Path, write_config: Write) -> None:
    folder = tmp_path / "spool"
    config = load_config(write_config(f"degraded: {{spool_dir: {folder}}}\n"), {})
    (empty,) = look_at_spool(config, folder)
    assert (empty.check, empty.state) == ("spool.disk", State.OK)
    assert not folder.exists()
    spool = FileSpool(folder)
    await spool.append(os.urandom(40_000))
    before = {path: path.read_bytes() for path in folder.rglob("*.spool")}
    disk, waiting = look_at_spool(config, folder)
    assert (disk.state, waiting.state) == (State.OK, State.WARN)
    assert 40_000 < waiting.facts["bytes"] < 41_000
    assert {path: path.read_bytes() for path in folder.rglob("*.spool")} == before
    page = await spool.oldest(5)
    assert page is not None
    await spool.delivered(page, 1)
    assert waiting_bytes(folder) == (0, 0.0)
    await spool.close()


def test_a_spool_without_room(tmp_path: Path, write_config: Write) -> None:
    folder = tmp_path / "spool"
    config = load_config(write_config(f"degraded: {{spool_bytes: {1 << 40}}}\n"), {})
    (found,) = look_at_spool(config, folder)
    assert (found.state, found.facts["spool_bytes"]) == (State.WARN, 1 << 40)
    folder.write_text("a file")
    (found,) = look_at_spool(config, folder)
    assert (found.state, "can't be written to" in found.text) == (State.WARN, True)
    off = load_config(write_config("degraded: {serve: no}\n"), {})
    (found,) = look_at_spool(off, folder)
    assert found.state is State.OK


def test_the_worst_state_is_the_whole() -> None:
    found = [Finding("a", State.OK, ""), Finding("b", State.WARN, ""), Finding("c", State.FAIL, "")]
    assert [worst(found[:n]) for n in range(4)] == [State.OK, State.OK, State.WARN, State.FAIL]


def test_a_private_store_that_was_never_begun(write_config: Write) -> None:
    path = write_config("")
    found = by_check(asyncio.run(examined(path, {}, time.time, probe=False)))
    missing = found["store.reachable"]
    assert missing.state is State.WARN
    assert missing.text.startswith("nothing was stored in")
    assert "serve" in missing.fix
    assert not (path.parent / "redis" / "appendonlydir").exists()
