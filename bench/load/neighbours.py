"""A quiet tenant's latency alone and beside a tenant that takes all it can get."""

from __future__ import annotations

import asyncio
import itertools
import json
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from adaptive_router.v1 import chat_pb2, router_pb2, router_pb2_grpc
from rich.console import Console
from rich.table import Table

from bench.chaos.stage import INSTANT, arms_of, write_config
from demo.setup import serving
from demo.stack import Stack, free_port, listens

SLOW_CALLS = 270
LARGE_CALLS = 120
IMAGE_CHARACTERS = 1_990_000
SCHEMA_PROPERTIES = 1_700
SCHEMA_PACE_S = 1 / 6
SETTLED_S = 3.0
COLUMNS = ("beside", "p50 ms", "p99 ms", "times", "refused", "router MiB")

NEIGHBOURS = {
    "slow": f"{SLOW_CALLS} slow calls, a provider that hangs",
    "unsent": f"{SLOW_CALLS} calls without a request",
    "large": f"{LARGE_CALLS} requests of 4 MB",
    "schemas": "six new schemas of 64 KB a second",
}

Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Loud:
    """The tenant that takes all it can get."""

    stub: Any
    channel: grpc.aio.Channel
    metadata: Metadata

    async def slow(self) -> None:
        await self._together(self._hang(_chat("Wait.")) for _ in range(SLOW_CALLS))

    async def unsent(self) -> None:
        path = "/adaptive_router.v1.RouterService/Complete"

        async def never() -> AsyncIterator[bytes]:
            await asyncio.Event().wait()
            yield b""

        unary = self.channel.stream_unary(path, None, None)

        async def one() -> None:
            while True:
                await _ended(unary(never(), metadata=self.metadata))

        await self._together(one() for _ in range(SLOW_CALLS))

    async def large(self) -> None:
        url = chat_pb2.ImageUrl(url="data:image/png;base64," + "A" * IMAGE_CHARACTERS)
        parts = [chat_pb2.Part(image_url=url)] * 2
        message = chat_pb2.Message(role=chat_pb2.ROLE_USER, parts=parts)
        chat = chat_pb2.ChatRequest(messages=[message])
        await self._together(self._hang(chat) for _ in range(LARGE_CALLS))

    async def schemas(self, pace_s: float = SCHEMA_PACE_S) -> None:
        calls: set[asyncio.Task[None]] = set()
        for number in itertools.count():
            tool = chat_pb2.Tool(name="t", parameters=_schema(number))
            calls.add(asyncio.ensure_future(self._hang(_chat("Call.", tools=[tool]))))
            await asyncio.sleep(pace_s)

    async def _hang(self, chat: chat_pb2.ChatRequest) -> None:
        request = _request(chat, "hangs")
        await _ended(self.stub.Complete(request, metadata=self.metadata))

    async def _together(self, calls: Any) -> None:
        await asyncio.gather(*calls)


async def _ended(call: Any) -> None:
    try:
        await call
    except grpc.aio.AioRpcError:
        await asyncio.sleep(random.uniform(1, 5))  # noqa: S311 - spread, so that they come apart


def _chat(text: str, **more: Any) -> chat_pb2.ChatRequest:
    message = chat_pb2.Message(role=chat_pb2.ROLE_USER, text=text)
    return chat_pb2.ChatRequest(messages=[message], **more)


def _request(chat: chat_pb2.ChatRequest, arm: str) -> router_pb2.CompleteRequest:
    return router_pb2.CompleteRequest(chat=chat, routing=router_pb2.RoutingOptions(arm=arm))


def _schema(number: int) -> str:
    properties = {f"p{number}_{i}": {"type": "string"} for i in range(SCHEMA_PROPERTIES)}
    return json.dumps({"type": "object", "properties": properties})


async def run(requests: int) -> None:
    with tempfile.TemporaryDirectory() as name, Stack(Path(name)) as stack:
        upstream, port = free_port(), free_port()
        stack.start("upstream", [*INSTANT, str(upstream)])
        async with _hanging() as hangs:
            config = _write_config(Path(name), port, upstream, hangs)
            pid = stack.start("router", ["router", "serve", "--config", str(config)])
            await asyncio.to_thread(stack.wait, lambda: listens(upstream) and serving(port))
            keys = [await asyncio.to_thread(_key, config, name) for name in ("quiet", "loud")]
            await _measure(port, pid, keys, requests)


@asynccontextmanager
async def _hanging() -> AsyncIterator[int]:
    """A provider that accepts and never answers."""

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1 << 20):
            pass
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def _write_config(folder: Path, port: int, upstream: int, hangs: int) -> Path:
    document = {
        "server": {"port": port, "metrics_port": 0},
        "cache": {"enabled": False},
        "redis": {"embedded": {"data_dir": f"{folder}/redis"}},
        "learning": {"embedded": False},
        "health": {"failures": 1_000},
        "arms": {**arms_of({"answers": 0.1}, upstream), **arms_of({"hangs": 0.1}, hangs)},
    }
    for deployment in document["arms"]["hangs"]["deployments"]:  # type: ignore[index]  # of the line above
        deployment["images"] = True
    return write_config(folder / "router.yaml", document)


def _key(config: Path, tenant: str) -> str:
    words = ["tenant", "create", tenant, "--config", str(config)]
    made = subprocess.run(  # noqa: S603 - our own command, no shell
        [sys.executable, "-m", "router", *words], check=True, capture_output=True, text=True
    )
    return made.stdout.strip()


async def _measure(port: int, pid: int, keys: list[str], requests: int) -> None:
    quiet = (("authorization", f"Bearer {keys[0]}"),)
    table = Table(title="A quiet tenant's calls, one after the other")
    for column in COLUMNS:
        table.add_column(column, justify="right")
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = router_pb2_grpc.RouterServiceStub(channel)  # type: ignore[no-untyped-call]  # generated
        await _times(stub, quiet, requests)
        alone = await _times(stub, quiet, requests)
        table.add_row("nobody", *_cells(alone, alone, pid))
        for name, what in NEIGHBOURS.items():
            with _beside(name, port, keys[1]):
                await asyncio.sleep(SETTLED_S)
                table.add_row(what, *_cells(await _times(stub, quiet, requests), alone, pid))
            await asyncio.sleep(SETTLED_S)
    Console(width=110).print(table)


@contextmanager
def _beside(name: str, port: int, key: str) -> Iterator[None]:
    """Run the loud tenant in a process of its own, so that it takes no time of the quiet one's."""
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_take, args=(name, port, key), daemon=True)
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


def _take(name: str, port: int, key: str) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())  # what its refused calls say
    asyncio.run(_taken(name, port, key))


async def _taken(name: str, port: int, key: str) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = router_pb2_grpc.RouterServiceStub(channel)  # type: ignore[no-untyped-call]  # generated
        loud = Loud(stub, channel, (("authorization", f"Bearer {key}"),))
        await getattr(loud, name)()


async def _times(stub: Any, metadata: Metadata, requests: int) -> list[float]:
    """Milliseconds of each call that was answered."""
    took: list[float] = []
    for number in range(requests):
        began_s = time.perf_counter()
        request = _request(_chat(f"Name {number % 50} rivers."), "answers")
        try:
            await stub.Complete(request, metadata=metadata)
        except grpc.aio.AioRpcError:
            continue
        took.append((time.perf_counter() - began_s) * 1_000)
    return [*took, *[float("nan")] * (requests - len(took))]


def _cells(took: list[float], alone: list[float], pid: int) -> list[str]:
    p50, p99 = (float(np.nanpercentile(took, p)) for p in (50, 99))
    times = p99 / float(np.nanpercentile(alone, 99))
    refused = int(np.isnan(took).sum())
    return [f"{p50:.2f}", f"{p99:.2f}", f"{times:.1f}", f"{refused}", f"{_rss_mib(pid)}"]


def _rss_mib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) // 1_024
