"""An upstream over raw sockets that writes exact bytes, and a router in front of some of them."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any

import grpc
import uvloop
from adaptive_router.v1 import router_pb2

from router.app.learner import running_learner
from router.app.server import running_router
from router.config import parse_config
from router.domain.tenants import Tenant, hash_key
from tests.e2e.conftest import KEY, Router, chat
from tests.e2e.ledger import upstream

Json = dict[str, Any]
PREFIXES = {"openai": "/v1", "anthropic": "", "gemini": "", "responses": "/v1"}
SSE = "text/event-stream"
JSON_TYPE = "application/json"


def on_uvloop(test: Callable[..., Coroutine[None, None, None]]) -> Callable[..., None]:
    """Run a test on the event loop that production uses."""

    @wraps(test)
    def run(**given: object) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(test(**given))

    return run


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP response. pieces: bytes as they go out, and pauses in seconds between them.

    length: sent with content-length, else the end of the connection ends the body. aborts: the
    connection is reset after the last piece. keeps: the connection stays open for another request.
    silent: nothing is written, not even a status line; the connection is closed, or reset.
    """

    pieces: tuple[bytes | float, ...] = ()
    status: int = 200
    kind: str = JSON_TYPE
    headers: tuple[tuple[str, str], ...] = ()
    length: bool = True
    aborts: bool = False
    keeps: bool = True
    silent: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came. connection: counts the connections from 0."""

    path: str
    headers: Mapping[str, str]
    body: Json
    connection: int

    @property
    def streams(self) -> bool:
        return bool(self.body.get("stream")) or "stream" in self.path


def whole(body: Json | bytes | str, status: int = 200, **more: Any) -> Reply:
    """Returns a JSON body (bytes and text go out as they are)."""
    return Reply((_bytes(body),), status, **more)


def events(*data: Json | bytes | str, done: bool = False, **more: Any) -> Reply:
    """Returns a stream of an event for each of `data`; done: `[DONE]` at its end."""
    ends = (b"data: [DONE]\n\n",) if done else ()
    pieces = tuple(b"data: " + _bytes(each) + b"\n\n" for each in data)
    return Reply((*pieces, *ends), **{"kind": SSE, "length": False, "keeps": False} | more)


def raw(*pieces: bytes | float, **more: Any) -> Reply:
    """Returns a stream whose bytes are written as they stand."""
    return Reply(pieces, **{"kind": SSE, "length": False, "keeps": False} | more)


def _bytes(body: Json | bytes | str) -> bytes:
    if isinstance(body, bytes):
        return body
    return (body if isinstance(body, str) else json.dumps(body)).encode("utf-8", "surrogatepass")


Answers = Callable[[Asked], Reply]


@dataclass
class Wire:
    """answers: says how each request is answered. asked: the ledger, every request as it came.

    options: further options of its deployment, each with a comma before it.
    price: of its deployment. idle_s: how long a connection is kept for its next request.
    """

    answers: Answers
    provider: str = "openai"
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    options: str = ""
    model: str = "m"
    idle_s: float | None = None
    price: str = "input_usd_per_mtok: 1.0, output_usd_per_mtok: 10.0"

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}{PREFIXES[self.provider]}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number, self.connections = self.connections, self.connections + 1
        try:
            while await self._answer(number, reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError):
            pass  # left, or idle for too long
        finally:
            writer.close()

    async def _answer(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        async with asyncio.timeout(self.idle_s):
            head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode().strip().split("\r\n")
        told = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(told.get("content-length", "0")))
        asked = Asked(first.split(" ")[1], told, json.loads(body or b"{}"), number)
        self.asked.append(asked)
        reply = self.answers(asked)
        if not reply.silent:
            writer.write(_head(reply))
        await self._write(asked, reply, reader, writer)
        if reply.aborts:
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
        return reply.keeps and not (reply.aborts or reply.silent)

    async def _write(
        self, _: Asked, reply: Reply, __: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        for piece in reply.pieces:
            if isinstance(piece, bytes):
                writer.write(piece)
                await writer.drain()
            else:
                await asyncio.sleep(piece)


def _head(reply: Reply) -> bytes:
    headers = [("content-type", reply.kind), *reply.headers]
    if reply.length:
        size = sum(len(piece) for piece in reply.pieces if isinstance(piece, bytes))
        headers.append(("content-length", str(size)))
    if not reply.keeps:
        headers.append(("connection", "close"))
    lines = [f"HTTP/1.1 {reply.status} Any", *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@asynccontextmanager
async def routed(
    folder: Path,
    arms: Mapping[str, Sequence[Wire]],
    *,
    more: str = "",
    sections: str = "cache: {enabled: false}",
    environment: Mapping[str, str] | None = None,
    learns: bool = False,
    server: str = "",
) -> AsyncIterator[Router]:
    """Yields a router. arms: arm -> its deployments `<arm>0`, `<arm>1` ...

    more: further options of every deployment, each with a comma before it. sections: further
    sections of the config. learns: beside a learner. server: further options of that section,
    each with a comma before it.
    """
    async with AsyncExitStack() as stack:
        text = ""
        for arm, wires in arms.items():
            made = []
            for number, each in enumerate(wires):
                await stack.enter_async_context(upstream(each))
                made.append(
                    f"{{name: {arm}{number}, provider: {each.provider}, model: {each.model},"
                    f" base_url: '{each.base_url}',"
                    f" price: {{{each.price}}}"
                    f"{more}{each.options}}}"
                )
            text += f"  {arm}: {{deployments: [{', '.join(made)}]}}\n"
        config = f"""
server: {{port: 0, metrics_port: 0{server}}}
redis: {{embedded: {{data_dir: {folder}/redis, appendfsync: everysec}}, timeout_ms: 5000}}
embedding: {{workers: 1}}
learning: {{embedded: false}}
arms:
{text}{sections}
"""
        parsed = parse_config(config, "test.yaml", environment or {})
        running = await stack.enter_async_context(running_router(parsed, environment or {}))
        learner = None
        if learns:
            learner = await stack.enter_async_context(running_learner(parsed, environment or {}))
        target = f"127.0.0.1:{running.port}"
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(target))
        await running.storage.tenants.create(Tenant("test"), hash_key(KEY))
        yield Router(
            running.port,
            channel,
            {},
            running.storage,
            metrics_port=running.metrics_port,
            http_port=running.http_port,
            learner_metrics_port=learner.metrics_port if learner else 0,
        )


async def asked_whole(router: Router, text: str = "Say it.", **more: Any) -> Any:
    """Returns a CompleteResponse. more: fields of the chat. Raises grpc.aio.AioRpcError."""
    request = router_pb2.CompleteRequest(chat=chat(text, **more))
    return await router.stub.Complete(request, metadata=router.metadata)


async def asked_live(router: Router, text: str = "Say it.", **more: Any) -> list[Any]:
    """Returns all messages of StreamComplete. Raises grpc.aio.AioRpcError."""
    request = router_pb2.StreamCompleteRequest(chat=chat(text, **more))
    call = router.stub.StreamComplete(request, metadata=router.metadata)
    return [item async for item in call]
