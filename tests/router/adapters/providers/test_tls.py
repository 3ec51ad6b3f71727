"""Providers behind TLS, by HTTP/1.1 and HTTP/2, with a certificate of one's own authority."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trustme
from hypercorn.asyncio import serve
from hypercorn.config import Config

from demo.stack import free_port, listens
from demo.upstream import INSTANT, Upstream
from demo.world import Reply
from router.adapters.providers import make_client, make_providers, trust_authorities
from router.domain.catalog import Deployment, Price
from router.domain.chat import Answer, ChatRequest, Message, Role, TextPart
from router.domain.errors import ConfigInvalid, ProviderUnavailable

REPLY = Reply("Forty-two, and here is why: six times seven.", 1.0, 10, 12)
ASK = ChatRequest((Message(Role.USER, (TextPart("What is six times seven?"),)),))


@dataclass
class Site:
    """versions: of HTTP, of each call."""

    ca_file: Path
    deployment: Deployment
    versions: list[str] = field(default_factory=list)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    port = free_port()
    url = f"https://localhost:{port}/v1"
    made = Site(tmp_path / "ca.pem", Deployment("here", "openai", url, "m", Price(1, 1)))
    async with _served(made, authority, port):
        yield made


@asynccontextmanager
async def _served(site: Site, authority: trustme.CA, port: int) -> AsyncIterator[None]:
    certificate = authority.issue_cert("localhost")
    file = str(site.ca_file.parent / "server.pem")
    certificate.private_key_and_cert_chain_pem.write_to_path(file)
    app = Upstream("here", INSTANT, lambda _: REPLY).app()

    async def noting(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            site.versions.append(scope["http_version"])
        await app(scope, receive, send)

    config, stop = Config(), asyncio.Event()
    config.bind, config.errorlog = [f"127.0.0.1:{port}"], None
    config.certfile = config.keyfile = file
    task = asyncio.create_task(serve(noting, config, shutdown_trigger=stop.wait))
    while not await asyncio.to_thread(listens, port):
        await asyncio.sleep(0.01)
    yield
    stop.set()
    await task


@pytest.mark.parametrize(("http2", "version"), [(False, "1.1"), (True, "2")])
async def test_answers_and_streams(site: Site, *, http2: bool, version: str) -> None:
    async with make_client(http2=http2, ca_file=site.ca_file) as client:
        provider = make_providers(client, {})["openai"]
        answer = await provider.complete(site.deployment, ASK, 5_000)
        assert answer.text == REPLY.text
        parts = [part async for part in provider.stream(site.deployment, ASK, 5_000)]
    assert isinstance(parts[-1], Answer)
    assert parts[-1].text == REPLY.text
    assert len(parts) > 2
    assert site.versions == [version] * 2


async def test_another_authority_is_not_trusted(site: Site) -> None:
    async with make_client() as client:
        provider = make_providers(client, {})["openai"]
        with pytest.raises(ProviderUnavailable):
            await provider.complete(site.deployment, ASK, 5_000)
    assert not site.versions


async def test_authorities_written_anew_are_trusted_by_the_next_connection(
    site: Site, tmp_path: Path
) -> None:
    file, other = tmp_path / "trusted.pem", trustme.CA()
    other.cert_pem.write_to_path(str(file))
    async with make_client(ca_file=file) as client:
        provider = make_providers(client, {})["openai"]
        with pytest.raises(ProviderUnavailable):
            await provider.complete(site.deployment, ASK, 5_000)
        file.write_bytes(site.ca_file.read_bytes())
        trust_authorities(client, file)
        assert (await provider.complete(site.deployment, ASK, 5_000)).text == REPLY.text
        file.write_text("no certificate")
        with pytest.raises(ConfigInvalid, match=r"providers\.ca_file"):
            trust_authorities(client, file)
    assert len(site.versions) == 1


async def test_authorities_that_were_taken_out_are_trusted_no_more(
    site: Site, tmp_path: Path
) -> None:
    file = tmp_path / "trusted.pem"
    file.write_bytes(site.ca_file.read_bytes())
    async with make_client(ca_file=file) as client:
        trustme.CA().cert_pem.write_to_path(str(file))
        trust_authorities(client, file)
        provider = make_providers(client, {})["openai"]
        with pytest.raises(ProviderUnavailable):
            await provider.complete(site.deployment, ASK, 5_000)
    assert not site.versions
