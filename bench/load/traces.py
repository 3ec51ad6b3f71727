"""CPU that tracing takes: two routers, one with a collector, asked the same in turns."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
from adaptive_router.v1 import chat_pb2, router_pb2, router_pb2_grpc
from rich.console import Console

from bench.chaos.stage import INSTANT, PRICES, arms_of, until, write_config
from demo.setup import serving
from demo.stack import Stack, free_port, listens

PROMPTS = 50


async def run(requests: int, share: float) -> None:
    """Print milliseconds of CPU a request. share: of the requests that are sampled."""
    with tempfile.TemporaryDirectory() as name, Stack(Path(name)) as stack, _collector() as url:
        upstream, ports = free_port(), (free_port(), free_port())
        stack.start("upstream", [*INSTANT, str(upstream)])
        traced = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": url,
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": str(share),
        }
        pids = []
        for port, more in zip(ports, ({}, traced), strict=True):
            config = _config(Path(name), port, upstream)
            argv = ["router", "serve", "--config", str(config)]
            pids.append(stack.start(f"router-{port}", argv, env={**_untraced(), **more}))
        await until(lambda: listens(upstream) and all(map(serving, ports)))
        off_ms, on_ms = await _measured(ports, pids, requests)
    Console(width=110).print(
        f"off {off_ms:.2f} ms, on {on_ms:.2f} ms of CPU a request: {on_ms / off_ms - 1:+.1%}"
    )


def _untraced() -> dict[str, str]:
    return {name: text for name, text in os.environ.items() if not name.startswith("OTEL_")}


def _config(folder: Path, port: int, upstream: int) -> Path:
    document = {
        "server": {"port": port, "metrics_port": 0},
        "auth": {"required": False},
        "cache": {"enabled": False},
        "learning": {"embedded": False},
        "redis": {"embedded": {"data_dir": f"{folder}/redis-{port}"}},
        "arms": arms_of(PRICES, upstream),
    }
    return write_config(folder / f"{port}.yaml", document)


async def _measured(ports: tuple[int, ...], pids: list[int], requests: int) -> list[float]:
    """Returns milliseconds of CPU a request of each router, after a round to warm up."""
    async with AsyncExitStack() as stack:
        stubs = []
        for port in ports:
            channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
            await stack.enter_async_context(channel)
            stubs.append(router_pb2_grpc.RouterServiceStub(channel))  # type: ignore[no-untyped-call]  # generated
        await _ask(stubs, PROMPTS)
        before = [_cpu_s(pid) for pid in pids]
        await _ask(stubs, requests)
        return [(_cpu_s(p) - b) * 1_000 / requests for p, b in zip(pids, before, strict=True)]


async def _ask(stubs: list[Any], requests: int) -> None:
    for number in range(requests):
        text = f"Name {number % PROMPTS} rivers."
        message = chat_pb2.Message(role=chat_pb2.ROLE_USER, text=text)
        request = router_pb2.CompleteRequest(chat=chat_pb2.ChatRequest(messages=[message]))
        for stub in stubs if number % 2 else reversed(stubs):
            await stub.Complete(request)


def _cpu_s(pid: int) -> float:
    """Returns the time of all threads, in user and in kernel."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def _collector() -> Iterator[str]:
    """Takes every batch of spans and keeps none."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Batches are no news."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
