"""A kept HTTP/2 connection that its server leaves as a request goes out."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import RequestReceived, StreamEnded

from router.adapters.providers import make_client, make_providers
from router.domain.catalog import Deployment, Price
from router.domain.chat import ChatRequest, Message, Role, TextPart
from router.domain.errors import ProviderDisconnected
from router.ports.upstream import Provider
from tests.e2e.wire import on_uvloop

ANSWER = b'{"choices": [{"message": {"content": "Forty-two."}, "finish_reason": "stop"}]}'
ASK = ChatRequest((Message(Role.USER, (TextPart("hi"),)),))


@dataclass
class Server:
    """ends: (streams of this connection before) -> answer | close | refuse | fail.

    streams: how many each connection has had.
    """

    ends: Callable[[int], str]
    streams: list[int] = field(default_factory=list)
    answered: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(self.streams)
        self.streams.append(0)
        spoken = H2Connection(H2Configuration(client_side=False))
        spoken.initiate_connection()
        writer.write(spoken.data_to_send())
        while data := await reader.read(65_536):
            for event in spoken.receive_data(data):
                if isinstance(event, RequestReceived):
                    self.streams[number] += 1
                if isinstance(event, StreamEnded):
                    end = self.ends(self.streams[number] - 1)
                    if end == "close":
                        writer.transport.abort()
                        return
                    self._answer(spoken, event.stream_id or 0, end)
            writer.write(spoken.data_to_send())
        writer.close()

    def _answer(self, spoken: H2Connection, stream: int, end: str) -> None:
        if end == "answer":
            self.answered += 1
            spoken.send_headers(stream, [(":status", "200"), ("content-type", "application/json")])
            spoken.send_data(stream, ANSWER, end_stream=True)
        else:
            refused = end == "refuse"
            code = ErrorCodes.REFUSED_STREAM if refused else ErrorCodes.INTERNAL_ERROR
            spoken.reset_stream(stream, code)


@asynccontextmanager
async def calling(server: Server, folder: Path) -> AsyncIterator[tuple[Provider, Deployment]]:
    authority, context = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    authority.issue_cert("localhost").configure_cert(context)
    context.set_alpn_protocols(["h2"])
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=context) as listening:
        port = listening.sockets[0].getsockname()[1]
        url = f"https://localhost:{port}/v1"
        async with make_client(http2=True, ca_file=folder / "ca.pem") as client:
            provider = make_providers(client, {"here": "k"})["openai"]
            yield provider, Deployment("here", "openai", url, "m", Price(1, 1))


@pytest.mark.parametrize("end", ["close", "refuse"])
@on_uvloop
async def test_a_stream_that_was_not_worked_on_is_sent_again(end: str, tmp_path: Path) -> None:
    server = Server(lambda before: end if before else "answer")
    async with calling(server, tmp_path) as (provider, here):
        for _ in range(5):
            assert (await provider.complete(here, ASK, 20_000)).text == "Forty-two."
    assert server.answered == 5
    assert server.streams == [2, 2, 2, 2, 1]


@on_uvloop
async def test_a_stream_that_failed_is_not_sent_again(tmp_path: Path) -> None:
    server = Server(lambda before: "fail" if before else "answer")
    async with calling(server, tmp_path) as (provider, here):
        await provider.complete(here, ASK, 20_000)
        with pytest.raises(ProviderDisconnected):
            await provider.complete(here, ASK, 20_000)
    assert server.streams == [2]


@on_uvloop
async def test_a_fresh_connection_that_breaks_is_an_error(tmp_path: Path) -> None:
    server = Server(lambda _: "close")
    async with calling(server, tmp_path) as (provider, here):
        with pytest.raises(ProviderDisconnected):
            await provider.complete(here, ASK, 20_000)
    assert server.streams == [1]
