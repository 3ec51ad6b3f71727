"""Providers and verifier through a real proxy: tunnels, forwarded calls, exempt hosts, refusals."""

from __future__ import annotations

import asyncio
import base64
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import pytest
import trustme
import uvloop

from router.adapters.providers import ProxyRules, make_client, make_providers
from router.adapters.providers.client import trusted
from router.adapters.providers.proxy import TunnelBackend
from router.adapters.verifier import HttpVerifier
from router.adapters.verifier import make_client as verifier_client
from router.domain.catalog import Deployment, Price
from router.domain.chat import Answer, ChatRequest, Message, Role, TextPart
from router.domain.errors import ConfigInvalid, ProviderError, ProviderUnavailable
from router.ports.upstream import VerifierCase

Serve: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
ASK = ChatRequest((Message(Role.USER, (TextPart("What is six times seven?"),)),))
ANSWER = b"""{"choices": [{"message": {"content": "42"}, "finish_reason": "stop"}],
 "usage": {"prompt_tokens": 10, "completion_tokens": 5}, "quality": 0.75}"""
PASSWORD = "s3:cr@t"
LOGIN = "Basic " + base64.b64encode(f"me:{PASSWORD}".encode()).decode()


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def runner(request: pytest.FixtureRequest) -> Callable[[object], object]:
    def run(test: object) -> object:
        with asyncio.Runner(loop_factory=request.param) as made:
            return made.run(test)  # type: ignore[arg-type]

    return run


@dataclass
class Proxy:
    """asked: the first line of each request. logins: their Proxy-Authorization, "" for none.

    spoken: what was agreed on with TLS.
    """

    status: bytes = b"200 Connected"
    hangs: bool = False
    asked: list[str] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    spoken: list[str | None] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, target, _ = head.split(" ", 2)
        told = {k.lower(): v for k, _, v in (line.partition(": ") for line in head.split("\r\n"))}
        self.asked.append(f"{method} {target}")
        if tls := writer.get_extra_info("ssl_object"):
            self.spoken.append(tls.selected_alpn_protocol())
        self.logins.append(told.get("proxy-authorization", ""))
        if self.hangs:
            await reader.read()
            self.left.set()
        elif method == "CONNECT" and self.status.startswith(b"2"):
            await self._tunnel(target, reader, writer)
        elif method == "CONNECT":
            writer.write(b"HTTP/1.1 %s\r\ncontent-length: 0\r\n\r\n" % self.status)
        else:
            await reader.readexactly(int(told["content-length"]))
            writer.write(_whole())
        writer.close()

    async def _tunnel(
        self, target: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        host, _, port = target.rpartition(":")
        there, back = await asyncio.open_connection(host.strip("[]"), int(port))
        writer.write(b"HTTP/1.1 %s\r\nvia: a proxy\r\n\r\n" % self.status)
        ways = [asyncio.ensure_future(_pump(*way)) for way in ((reader, back), (there, writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            back.transport.abort()
            for way in ways:
                way.cancel()
            await asyncio.wait(ways)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()


def _whole() -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(ANSWER) + ANSWER


@dataclass
class Site:
    """proxy_url: with a login. ca_file: the authority of everybody here."""

    proxy: Proxy
    proxy_url: str
    secure_proxy_url: str
    deployment: Deployment
    ca_file: Path
    served: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split()[0])
                await reader.readexactly(length)
                self.served += 1
                writer.write(_whole())

    async def ask(self, rules: ProxyRules, timeout_ms: float = 10_000) -> Answer:
        async with make_client(ca_file=self.ca_file, proxies=rules) as client:
            provider = make_providers(client, {})["openai"]
            answers = [await provider.complete(self.deployment, ASK, timeout_ms) for _ in range(2)]
        return answers[-1]


@asynccontextmanager
async def opened(folder: Path, proxy: Proxy) -> AsyncIterator[Site]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(tls)
    tls.set_alpn_protocols(["h2", "http/1.1"])
    made = Site(proxy, "", "", Deployment("d", "openai", "", "m", Price(1, 1)), folder / "ca.pem")
    tasks: set[asyncio.Task[None]] = set()

    def ended(serve: Serve) -> Serve:
        """Serve so that every connection is closed at the end."""

        async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            try:
                await serve(reader, writer)
            except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                pass
            finally:
                writer.transport.abort()

        return run

    plain = await asyncio.start_server(ended(proxy.serve), "127.0.0.1", 0)
    secure = await asyncio.start_server(ended(proxy.serve), "127.0.0.1", 0, ssl=tls)
    origin = await asyncio.start_server(ended(made.serve), "127.0.0.1", 0, ssl=tls)
    ports = [server.sockets[0].getsockname()[1] for server in (plain, secure, origin)]
    made.proxy_url = f"http://me:s3%3Acr%40t@127.0.0.1:{ports[0]}"
    made.secure_proxy_url = f"https://localhost:{ports[1]}"
    base_url = f"https://localhost:{ports[2]}/v1"
    made.deployment = Deployment("d", "openai", base_url, "m", Price(1, 1))
    try:
        yield made
    finally:
        for server in (plain, secure, origin):
            server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.01)  # aborted transports close at the loop's next turn


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
def test_a_proxy_of_the_environment_gives_a_tunnel(runner, tmp_path: Path, variable: str) -> None:
    async def check() -> None:
        async with opened(tmp_path, Proxy()) as site:
            rules = ProxyRules.read("environment", {variable: site.proxy_url})
            assert (await site.ask(rules)).text == "42"
            target = site.deployment.base_url.split("/")[2]
            assert site.proxy.asked == [f"CONNECT {target}"]  # two calls on one connection
            assert site.proxy.logins == [LOGIN]
            assert site.served == 2

    runner(check())


def test_a_proxy_behind_tls_gives_a_tunnel(runner, tmp_path: Path) -> None:
    async def check() -> None:
        async with opened(tmp_path, Proxy()) as site:
            rules = ProxyRules.read(site.secure_proxy_url, {})
            assert (await site.ask(rules)).text == "42"
            assert len(site.proxy.asked) == 1

    runner(check())


def test_a_proxy_is_asked_in_its_protocol_beside_direct_calls_over_http2(
    runner, tmp_path: Path
) -> None:
    """The context is that of all connections, and is told what the last of them speaks."""

    async def check() -> None:
        async with opened(tmp_path, Proxy()) as site:
            (proxy,) = set(ProxyRules.read(site.secure_proxy_url, {}).by_scheme.values())
            shared = trusted(site.ca_file)
            shared.set_alpn_protocols(["http/1.1", "h2"])
            port = int(site.deployment.base_url.split(":")[2].split("/")[0])
            stream = await TunnelBackend(proxy, shared).connect_tcp("localhost", port, 10)
            await stream.aclose()
            assert site.proxy.spoken == ["http/1.1"]

    runner(check())


@pytest.mark.parametrize(
    ("setting", "env"),
    [
        ("none", {}),
        ("environment", {"NO_PROXY": "elsewhere, localhost"}),
        ("environment", {"HTTPS_PROXY": "", "https_proxy": ""}),
    ],
)
def test_the_direct_way_is_kept(runner, tmp_path: Path, setting: str, env: dict[str, str]) -> None:
    async def check() -> None:
        async with opened(tmp_path, Proxy()) as site:
            env_of_proxy = {"HTTPS_PROXY": site.proxy_url} | env
            assert (await site.ask(ProxyRules.read(setting, env_of_proxy))).text == "42"
            assert site.proxy.asked == []

    runner(check())


def test_a_plain_call_is_forwarded(runner, tmp_path: Path) -> None:
    async def check() -> None:
        async with opened(tmp_path, Proxy()) as site:
            site.deployment = Deployment("d", "openai", "http://api.example/v1", "m", Price(1, 1))
            rules = ProxyRules.read("environment", {"http_proxy": site.proxy_url})
            assert (await site.ask(rules)).text == "42"
            assert site.proxy.asked == ["POST http://api.example/v1/chat/completions"] * 2
            assert site.proxy.logins == [LOGIN] * 2

    runner(check())


def test_a_refused_tunnel_is_free_and_tells_no_password(
    runner, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    async def check() -> None:
        async with opened(tmp_path, Proxy(b"407 Who are you")) as site:
            rules = ProxyRules.read("environment", {"HTTPS_PROXY": site.proxy_url})
            with pytest.raises(ProviderUnavailable) as refused:
                await site.ask(rules)
            assert "407" in caplog.text
            shown = caplog.text + repr(rules) + str(refused.value)
            for secret in (PASSWORD, "s3%3Acr%40t", LOGIN):
                assert secret not in shown

    runner(check())


def test_a_proxy_that_hangs_is_given_up_before_anything_was_sent(runner, tmp_path: Path) -> None:
    async def check() -> None:
        async with opened(tmp_path, Proxy(hangs=True)) as site:
            rules = ProxyRules.read("environment", {"HTTPS_PROXY": site.proxy_url})
            with pytest.raises(ProviderUnavailable) as late:
                await site.ask(rules, timeout_ms=200)
            assert late.value.hurried
            leaving = asyncio.ensure_future(site.ask(rules))
            async with asyncio.timeout(60):
                await site.proxy.left.wait()
                while len(site.proxy.asked) < 2:
                    await asyncio.sleep(0.01)
            site.proxy.left.clear()
            leaving.cancel()
            with pytest.raises(asyncio.CancelledError) as left:
                await leaving
            assert isinstance(left.value.__cause__, ProviderError)
            async with asyncio.timeout(60):
                await site.proxy.left.wait()

    runner(check())


def test_the_verifier_goes_through_the_proxy_too(runner, tmp_path: Path) -> None:
    async def check() -> None:
        async with opened(tmp_path, Proxy()) as site:
            rules = ProxyRules.read("environment", {"HTTP_PROXY": site.proxy_url})
            url = "http://checks.example/verify"
            async with verifier_client(rules.url_for(url)) as client:
                score = await HttpVerifier(client, url).verify(VerifierCase(ASK, "a", "42"), 10_000)
            assert score == 0.75
            assert site.proxy.asked == [f"POST {url}"]

    runner(check())


@pytest.mark.parametrize(
    ("no_proxy", "host", "port", "direct"),
    [
        ("", "api.example", 443, False),
        ("*", "api.example", 443, True),
        ("example", "api.example", 443, True),
        (".api.example", "api.example", 443, True),
        ("*.example", "api.example", 443, True),
        ("pi.example", "api.example", 443, False),
        ("API.Example.", "api.example", 443, True),
        ("api.example:443", "api.example", 443, True),
        ("api.example:8443", "api.example", 443, False),
        ("a.b c.d,\tapi.example", "api.example", 443, True),
        ("10.0.0.0/8", "10.1.2.3", 443, True),
        ("10.0.0.0/8", "11.1.2.3", 443, False),
        ("10.1.2.3", "10.1.2.3", 443, True),
        ("10.1.2.3:8000", "10.1.2.3", 443, False),
        ("fd00::/8", "fd12::1", 443, True),
        ("[::1]:443", "::1", 443, True),
        ("::1", "::1", 80, True),
        ("localhost", "127.0.0.1", 80, False),
    ],
)
def test_no_proxy(no_proxy: str, host: str, port: int, *, direct: bool) -> None:
    env = {"HTTPS_PROXY": "proxy.example:3128", "NO_PROXY": no_proxy}
    rules = ProxyRules.read("environment", env)
    assert (rules.proxy_for("https", host, port) is None) is direct


@pytest.mark.parametrize("told", ["socks5://me:secret@h:1", "http://", "http://h:port", "ftp://h"])
def test_a_proxy_that_cannot_be_used_is_named_without_its_words(told: str) -> None:
    with pytest.raises(ConfigInvalid) as refused:
        ProxyRules.read("environment", {"ALL_PROXY": told})
    assert "secret" not in str(refused.value)
    assert "providers.proxy" in str(refused.value)
