"""TLS at both doors: real handshakes, clients that are let in or not, files that are exchanged."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import trustme
from adaptive_router.v1 import router_pb2, router_pb2_grpc
from click.testing import CliRunner

from demo.stack import free_port, listens
from router.cli import main
from router.domain.errors import ConfigInvalid
from tests.e2e.conftest import KEY, Router, chat
from tests.e2e.http_doors import PATIENCE_S, QUESTION, Held, door, says
from tests.e2e.logged import logged
from tests.e2e.wire import Wire, on_uvloop

BODY = {"model": "auto", "messages": QUESTION}
PAIR = {"certificate": "server.pem", "key": "server.key"}


@dataclass
class Site:
    """Files of a server, and the authority that vouches for them."""

    folder: Path
    authority: trustme.CA = field(default_factory=trustme.CA)
    client_authority: trustme.CA = field(default_factory=trustme.CA)

    @property
    def certificate(self) -> Path:
        return self.folder / "server.pem"

    @property
    def key(self) -> Path:
        return self.folder / "server.key"

    @property
    def client_ca(self) -> Path:
        return self.folder / "clients.pem"

    def write(self, **more: Any) -> None:
        chain, key = issued(self.authority, **more)
        self.certificate.write_bytes(chain)
        self.key.write_bytes(key)
        self.client_ca.write_bytes(self.client_authority.cert_pem.bytes())

    def section(self, *, mutual: bool = False) -> str:
        clients = f", client_ca: {self.client_ca}" if mutual else ""
        files = f"certificate: {self.certificate}, key: {self.key}{clients}"
        return f", reload_ms: 100, body_timeout_ms: 500, tls: {{{files}}}"


def issued(authority: trustme.CA, **more: Any) -> tuple[bytes, bytes]:
    made = authority.issue_cert("127.0.0.1", "localhost", **more)
    return b"".join(pem.bytes() for pem in made.cert_chain_pems), made.private_key_pem.bytes()


@pytest.fixture(autouse=True)
def _model(model_dir: Path) -> None:
    """The router finds it where it was fetched to."""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path)
    made.write()
    return made


@pytest.fixture
def log() -> Iterator[StringIO]:
    with logged() as stream:
        yield stream


def context(authority: trustme.CA, client: tuple[bytes, bytes] | None = None) -> ssl.SSLContext:
    made = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
    if client is not None:
        with trustme.Blob(client[0] + client[1]).tempfile() as file:
            made.load_cert_chain(file)
    return made


@asynccontextmanager
async def http(
    router: Router, authority: trustme.CA, client: tuple[bytes, bytes] | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        base_url=f"https://127.0.0.1:{router.http_port}",
        headers={"x-api-key": KEY},
        verify=context(authority, client),
        timeout=PATIENCE_S,
        trust_env=False,
    ) as made:
        yield made


@asynccontextmanager
async def channel(
    router: Router, authority: trustme.CA, client: tuple[bytes, bytes] | None = None
) -> AsyncIterator[grpc.aio.Channel]:
    chain, key = client or (None, None)
    told = grpc.ssl_channel_credentials(authority.cert_pem.bytes(), key, chain)
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.secure_channel(f"127.0.0.1:{router.port}", told, options) as made:
        yield made


async def complete(router: Router, made: grpc.aio.Channel) -> str:
    stub = router_pb2_grpc.RouterServiceStub(made)
    request = router_pb2.CompleteRequest(chat=chat("Say it."))
    answer = await stub.Complete(request, metadata=router.metadata, timeout=PATIENCE_S)
    return str(answer.answer.text)


async def answers(
    router: Router, authority: trustme.CA, client: tuple[bytes, bytes] | None = None
) -> tuple[bool, bool]:
    """Returns whether new connections are served: over HTTP, over gRPC."""
    async with http(router, authority, client) as made:
        try:
            over_http = (await made.get("/v1/models")).status_code == 200
        except httpx.TransportError:
            over_http = False
    async with channel(router, authority, client) as other:
        try:
            over_grpc = bool(await complete(router, other))
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            over_grpc = False
    return over_http, over_grpc


async def metrics(router: Router) -> str:
    async with httpx.AsyncClient(trust_env=False) as made:
        return (await made.get(f"http://127.0.0.1:{router.metrics_port}/metrics")).text


async def gauge(router: Router, name: str) -> float:
    told = (await metrics(router)).splitlines()
    (line,) = (x for x in told if x.startswith(f"adaptive_router_{name} "))
    return float(line.rpartition(" ")[2])


async def expiry_s(router: Router) -> float:
    return await gauge(router, "certificate_expiry_timestamp_seconds")


async def looked(router: Router) -> None:
    """Returns when the files have been looked at anew: the second look from here on began later."""
    for _ in range(2):
        name = 'loop_last_finished_timestamp_seconds{loop="certificates"}'
        before_s = await gauge(router, name)
        async with asyncio.timeout(PATIENCE_S):
            while await gauge(router, name) == before_s:
                await asyncio.sleep(0.01)


async def until(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await holds():
            await asyncio.sleep(0.05)


def events(log: StringIO, name: str) -> list[dict[str, Any]]:
    lines = (json.loads(line) for line in log.getvalue().splitlines())
    return [line for line in lines if line["event"] == name]


@on_uvloop
async def test_both_doors_speak_tls_and_nothing_else(tmp_path: Path, site: Site) -> None:
    async with door(tmp_path, Wire(says()), server=site.section()) as router:
        async with http(router, site.authority) as made:
            answer = await made.post("/v1/chat/completions", json=BODY)
            assert answer.json()["choices"][0]["message"]["content"] == "Forty-two."
            live = await made.post("/v1/chat/completions", json=BODY | {"stream": True})
            assert live.text.endswith("data: [DONE]\n\n")
        async with channel(router, site.authority) as other:
            assert await complete(router, other) == "Forty-two."
        assert await answers(router, trustme.CA()) == (False, False)
        async with httpx.AsyncClient(trust_env=False) as plain:
            with pytest.raises(httpx.TransportError):
                await plain.get(f"http://127.0.0.1:{router.http_port}/livez")
            for path in ("/live", "/ready", "/metrics"):
                at = f"http://127.0.0.1:{router.metrics_port}{path}"
                assert (await plain.get(at)).status_code == 200
        assert await expiry_s(router) > time.time()


@on_uvloop
async def test_only_clients_of_the_named_authorities_come_in(tmp_path: Path, site: Site) -> None:
    good, stranger = issued(site.client_authority), issued(trustme.CA())
    async with door(tmp_path, Wire(says()), server=site.section(mutual=True)) as router:
        assert await answers(router, site.authority, good) == (True, True)
        assert await answers(router, site.authority) == (False, False)
        assert await answers(router, site.authority, stranger) == (False, False)
        site.client_authority = trustme.CA()
        site.client_ca.write_bytes(site.client_authority.cert_pem.bytes())
        newer = issued(site.client_authority)

        async def is_served() -> bool:
            return await answers(router, site.authority, newer) == (True, True)

        await until(is_served)
        assert await answers(router, site.authority, good) == (False, False)


@on_uvloop
async def test_exchanged_files_are_shown_without_a_restart(
    tmp_path: Path, site: Site, log: StringIO
) -> None:
    before = site.authority
    async with (
        door(tmp_path, Wire(says()), server=site.section()) as router,
        http(router, before) as kept,
        channel(router, before) as open_channel,
    ):
        assert (await kept.get("/v1/models")).status_code == 200
        assert await complete(router, open_channel)
        site.authority = trustme.CA()
        expires = datetime.now(UTC).replace(microsecond=0) + timedelta(days=30)
        site.write(not_after=expires)

        async def is_served() -> bool:
            return await answers(router, site.authority) == (True, True)

        await until(is_served)
        assert await answers(router, before) == (False, False)
        assert (await kept.get("/v1/models")).status_code == 200
        assert await complete(router, open_channel)
        assert await expiry_s(router) == expires.timestamp()
        assert [e["expires_s"] for e in events(log, "certificate_in_place")] == [
            int(expires.timestamp())
        ]


def _spoilt(site: Site) -> dict[str, tuple[dict[Path, bytes], str]]:
    """Returns what is written to which files, by name, and the key that is told."""
    now = datetime.now(UTC)
    expired = issued(site.authority, not_after=now - timedelta(minutes=1))
    early = issued(site.authority, not_before=now + timedelta(days=1))
    chain, key = issued(site.authority)
    return {
        "half of it": ({site.certificate: chain[: len(chain) // 3]}, "server.tls.certificate"),
        "nothing": ({site.certificate: b""}, "server.tls.certificate"),
        "half a key": ({site.key: key[: len(key) // 2]}, "server.tls.key"),
        "another's key": ({site.key: key}, "server.tls.key"),
        "expired": ({site.certificate: expired[0], site.key: expired[1]}, "server.tls.certificate"),
        "early": ({site.certificate: early[0], site.key: early[1]}, "server.tls.certificate"),
        "no authority": ({site.client_ca: b"what?"}, "server.tls.client_ca"),
    }


@on_uvloop
async def test_files_that_are_exchanged_while_it_stops_break_nothing(
    tmp_path: Path, site: Site, log: StringIO
) -> None:
    wire = Held(says())

    async def exchanged() -> None:
        await asyncio.sleep(0.3)
        site.write()

    async with AsyncExitStack() as stack:
        opened = door(tmp_path, wire, server=f"{site.section()}, drain_ms: 1500")
        router = await stack.enter_async_context(opened)
        async with http(router, site.authority) as made:
            asking = asyncio.create_task(made.post("/v1/chat/completions", json=BODY))
            async with asyncio.timeout(PATIENCE_S):
                await wire.began.wait()
            await asyncio.gather(stack.aclose(), exchanged())
            assert (await asking).status_code == 503
    assert events(log, "certificate_in_place")
    assert not events(log, "loop_broke")


@on_uvloop
async def test_spoilt_files_leave_the_earlier_ones_in_place(
    tmp_path: Path, site: Site, log: StringIO
) -> None:
    client = issued(site.client_authority)
    files = (site.certificate, site.key, site.client_ca)
    good = {file: file.read_bytes() for file in files}
    async with door(tmp_path, Wire(says()), server=site.section(mutual=True)) as router:
        for name, (written, key) in _spoilt(site).items():
            before = len(events(log, "certificate_refused"))
            for file, text in written.items():
                file.write_bytes(text)
            await looked(router)
            told = [event["key"] for event in events(log, "certificate_refused")[before:]]
            assert told[-1:] == [key], name
            assert await answers(router, site.authority, client) == (True, True), name
            for file, text in good.items():
                file.write_bytes(text)
            await looked(router)
        site.certificate.unlink()
        await until(lambda: _counts(router))
        assert await answers(router, site.authority, client) == (True, True)
        assert not events(log, "certificate_in_place")
        site.write()

        async def is_in_place() -> bool:
            return bool(events(log, "certificate_in_place"))

        await until(is_in_place)
        assert await answers(router, site.authority, client) == (True, True)
    assert "PRIVATE KEY" not in log.getvalue()


async def _counts(router: Router) -> bool:
    return 'degraded_total{what="certificate"}' in await metrics(router)


@pytest.mark.parametrize("name", ["half of it", "half a key", "another's key", "expired", "early"])
@on_uvloop
async def test_spoilt_files_end_the_start_and_are_named(
    tmp_path: Path, site: Site, name: str
) -> None:
    written, key = _spoilt(site)[name]
    for file, text in written.items():
        file.write_bytes(text)
    with pytest.raises(ConfigInvalid) as refused:
        async with door(tmp_path, Wire(says()), server=site.section()):
            pass
    assert refused.value.problems[0].key == key


@pytest.mark.parametrize("name", ["half of it", "another's key", "expired", "no authority"])
def test_check_config_names_file_line_and_fix(tmp_path: Path, site: Site, name: str) -> None:
    config = tmp_path / "router.yaml"
    config.write_text(
        "arms:\n"
        "  a: {deployments: [{name: d, provider: openai, model: m, base_url: 'http://127.0.0.1:9',"
        " price: {input_usd_per_mtok: 1, output_usd_per_mtok: 1}}]}\n"
        f"server:\n  tls:\n    certificate: {site.certificate}\n    key: {site.key}\n"
        f"    client_ca: {site.client_ca}\n"
    )
    good = CliRunner().invoke(main, ["check-config", str(config)])
    assert good.exit_code == 0, good.output
    written, key = _spoilt(site)[name]
    for file, text in written.items():
        file.write_bytes(text)
    refused = CliRunner().invoke(main, ["check-config", str(config)])
    line = {"certificate": 5, "key": 6, "client_ca": 7}[key.rpartition(".")[2]]
    assert refused.exit_code
    assert f"{config}:{line}: {key}: " in refused.output + str(refused.exception)


@pytest.mark.parametrize("over", ["http", "grpc"])
@on_uvloop
async def test_a_handshake_that_does_not_come_is_not_waited_for(
    tmp_path: Path, site: Site, over: str
) -> None:
    async with door(tmp_path, Wire(says()), server=site.section()) as router:
        began_s = time.monotonic()
        port = router.http_port if over == "http" else router.port
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(200)]
        assert await answers(router, site.authority) == (True, True)
        async with asyncio.timeout(PATIENCE_S):
            assert {await reader.read() for reader, _ in silent} == {b""}
        assert time.monotonic() - began_s < PATIENCE_S / 2
        for _, writer in silent:
            writer.close()


HELD = 32
"""Connections of a router with eight calls in flight."""
FEW = ", max_in_flight: 8, body_timeout_ms: 600000"


async def asked_again(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    writer.write(b"HEAD /livez HTTP/1.1\r\nhost: x\r\n\r\n")
    async with asyncio.timeout(PATIENCE_S):
        return (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")[0]


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02\x00\x01"])
@on_uvloop
async def test_handshakes_that_stop_are_bounded_in_number(
    tmp_path: Path, site: Site, sent: bytes
) -> None:
    """However long each may take; who was there before and who comes after is served."""
    server = site.section().replace(", body_timeout_ms: 500", FEW)
    async with door(tmp_path, Wire(says()), server=server) as router:
        secured = context(site.authority)
        kept = await asyncio.open_connection("127.0.0.1", router.http_port, ssl=secured)
        assert await asked_again(*kept) == b"HTTP/1.1 200 OK"
        silent = []
        for _ in range(10 * HELD):
            silent.append(await asyncio.open_connection("127.0.0.1", router.http_port))
            silent[-1][1].write(sent)
        ended = [asyncio.create_task(_ended(reader)) for reader, _ in silent]
        async with asyncio.timeout(PATIENCE_S):
            while sum(task.done() for task in ended) < len(silent) - HELD:
                await asyncio.sleep(0.01)
        assert await answers(router, site.authority) == (True, True)
        assert not all(task.done() for task in ended)
        assert await asked_again(*kept) == b"HTTP/1.1 200 OK"
        for _, writer in (kept, *silent):
            writer.close()
        await asyncio.gather(*ended)


async def _ended(reader: asyncio.StreamReader) -> None:
    with suppress(ConnectionError):
        await reader.read()


@on_uvloop
async def test_idle_connections_make_room_for_handshakes(tmp_path: Path, site: Site) -> None:
    server = site.section().replace(", body_timeout_ms: 500", FEW)
    async with door(tmp_path, Wire(says()), server=server) as router:
        secured, idle = context(site.authority), []
        for _ in range(2 * HELD):
            idle.append(await asyncio.open_connection("127.0.0.1", router.http_port, ssl=secured))
            assert await asked_again(*idle[-1]) == b"HTTP/1.1 200 OK"
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*(_ended(reader) for reader, _ in idle[:HELD]))
        assert await asked_again(*idle[-1]) == b"HTTP/1.1 200 OK"
        for _, writer in idle:
            writer.close()


def test_a_stranger_writes_nothing_into_the_log(tmp_path: Path, site: Site) -> None:
    port = free_port()
    config = tmp_path / "router.yaml"
    config.write_text(
        f"server: {{port: {port}, metrics_port: 0, http_port: 0{site.section(mutual=True)}}}\n"
        f"redis: {{embedded: {{data_dir: {tmp_path}/redis, appendfsync: everysec}}}}\n"
        "embedding: {workers: 1}\nlearning: {embedded: false}\n"
        "arms:\n  a: {deployments: [{name: d, provider: openai, model: m, base_url:"
        " 'http://127.0.0.1:9', price: {input_usd_per_mtok: 1, output_usd_per_mtok: 1}}]}\n"
    )
    argv = [sys.executable, "-m", "router", "serve", "--config", str(config)]
    with (tmp_path / "log").open("wb") as log:
        started = subprocess.Popen(argv, stdout=log, stderr=log)  # noqa: S603 - our own command
    try:
        end_s = time.monotonic() + PATIENCE_S
        while not listens(port):
            assert time.monotonic() < end_s
            time.sleep(0.05)
        for authority in (site.authority, trustme.CA()):
            told = grpc.ssl_channel_credentials(authority.cert_pem.bytes())
            with grpc.secure_channel(f"127.0.0.1:{port}", told) as made:
                stub = router_pb2_grpc.RouterServiceStub(made)
                with pytest.raises(grpc.RpcError):
                    stub.Complete(router_pb2.CompleteRequest(), timeout=5)
        with socket.create_connection(("127.0.0.1", port)) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\n\r\n" * 10)
            plain.settimeout(PATIENCE_S)
            with suppress(ConnectionError):
                assert plain.recv(1_000) == b""
        started.terminate()
        assert started.wait(PATIENCE_S) == 0
    finally:
        started.kill()
        started.wait()
    lines = (tmp_path / "log").read_text().splitlines()
    assert any(json.loads(line)["event"] == "started" for line in lines)
