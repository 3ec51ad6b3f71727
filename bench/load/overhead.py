"""The router's overhead: its latency minus that of the same upstream called directly."""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
import httpx
import numpy as np
from adaptive_router.v1 import chat_pb2, router_pb2, router_pb2_grpc
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from demo.stack import Stack, free_port, listens

IN_FLIGHT = (1, 32)
WARM_UP = 100
KNOWN_PROMPTS = 50
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")

CONFIG = """
server: {{port: {port}, metrics_port: {metrics_port}}}
auth: {{required: false}}
cache: {{enabled: false}}
redis: {{embedded: {{data_dir: {folder}/redis}}}}
arms:
  cheap: {{deployments: [{deployment_cheap}]}}
  reasoning: {{deployments: [{deployment_reasoning}]}}
"""
DEPLOYMENT = (
    "{{name: {name}, provider: openai, base_url: 'http://127.0.0.1:{port}/v1', model: instant,"
    " price: {{input_usd_per_mtok: {usd}, output_usd_per_mtok: {usd}}}}}"
)

COLUMNS = (
    *("", "in flight", "p50 ms", "p99 ms"),
    *("overhead p50", "overhead p99", "req/s", "req/s per router core"),
)

Send = Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Times:
    """each_ms: (requests,) latencies. total_s: for all of them together."""

    each_ms: NDArray[np.float64]
    total_s: float

    def at(self, percentile: float) -> float:
        return float(np.percentile(self.each_ms, percentile))


@dataclass(frozen=True, slots=True)
class Row:
    """direct: the same load on the upstream alone. cpu_s: what the router process used."""

    name: str
    in_flight: int
    took: Times
    direct: Times
    cpu_s: float

    def cells(self) -> list[str]:
        over = [self.took.at(p) - self.direct.at(p) for p in (50, 99)]
        count = len(self.took.each_ms)
        return [
            self.name,
            str(self.in_flight),
            f"{self.took.at(50):.2f}",
            f"{self.took.at(99):.2f}",
            *(f"{ms:.2f}" if self.cpu_s else "" for ms in over),
            f"{count / self.took.total_s:.0f}",
            f"{count / self.cpu_s:.0f}" if self.cpu_s else "",
        ]


async def run(requests: int) -> None:
    with tempfile.TemporaryDirectory() as name, Stack(Path(name)) as stack:
        upstream, port, metrics_port = free_port(), free_port(), free_port()
        stack.start("upstream", _upstream(upstream))
        config = _write_config(Path(name), upstream, port, metrics_port)
        began_s = time.perf_counter()
        pid = stack.start("router", ["router", "serve", "--config", str(config)])
        stack.wait(lambda: listens(port) and listens(upstream))
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            await _serving(channel)
            started_s = time.perf_counter() - began_s
            rows = [row async for row in _measure(channel, upstream, pid, requests)]
        Console(width=110).print(_table(rows, started_s))
        async with httpx.AsyncClient() as client:
            metrics = await client.get(f"http://127.0.0.1:{metrics_port}/metrics")
        Console().print(_stage_table(metrics.text))


def _upstream(port: int) -> list[str]:
    return ["demo.upstream", "--profile", "instant", "--port", str(port)]


def _write_config(folder: Path, upstream: int, port: int, metrics_port: int) -> Path:
    cheap = DEPLOYMENT.format(name="small", port=upstream, usd=0.1)
    reasoning = DEPLOYMENT.format(name="large", port=upstream, usd=2.0)
    text = CONFIG.format(
        port=port,
        metrics_port=metrics_port,
        folder=folder,
        deployment_cheap=cheap,
        deployment_reasoning=reasoning,
    )
    path = folder / "router.yaml"
    path.write_text(text)
    return path


async def _serving(channel: grpc.aio.Channel) -> None:
    from grpc_health.v1 import health_pb2, health_pb2_grpc  # noqa: PLC0415 - counted in start-up

    stub = health_pb2_grpc.HealthStub(channel)
    while True:
        answer = await stub.Check(health_pb2.HealthCheckRequest(), wait_for_ready=True)
        if answer.status == health_pb2.HealthCheckResponse.SERVING:
            return
        await asyncio.sleep(0.01)


async def _measure(
    channel: grpc.aio.Channel, upstream: int, pid: int, requests: int
) -> AsyncIterator[Row]:
    stub = router_pb2_grpc.RouterServiceStub(channel)  # type: ignore[no-untyped-call]  # generated
    known = [f"What is the capital of country number {i}?" for i in range(KNOWN_PROMPTS)]
    known *= requests // KNOWN_PROMPTS
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{upstream}/v1") as client:
        for in_flight in IN_FLIGHT:
            fresh = [f"Explain step {i} of {in_flight} plans." for i in range(requests)]
            await _times(lambda p: _routed(stub, p), known[:WARM_UP], in_flight)
            direct = await _times(lambda p: _direct(client, p), known, in_flight)
            yield Row("upstream alone", in_flight, direct, direct, 0.0)
            for name, prompts in (("embedding cached", known), ("not cached", fresh)):
                cpu_s = _cpu_s(pid)
                took = await _times(lambda p: _routed(stub, p), prompts, in_flight)
                yield Row(name, in_flight, took, direct, _cpu_s(pid) - cpu_s)


async def _times(send: Send, prompts: Sequence[str], in_flight: int) -> Times:
    room = asyncio.Semaphore(in_flight)

    async def one(prompt: str) -> float:
        async with room:
            began_s = time.perf_counter()
            await send(prompt)
            return (time.perf_counter() - began_s) * 1_000

    began_s = time.perf_counter()
    each_ms = await asyncio.gather(*(one(prompt) for prompt in prompts))
    return Times(np.asarray(each_ms), time.perf_counter() - began_s)


async def _routed(stub: router_pb2_grpc.RouterServiceStub, prompt: str) -> None:
    message = chat_pb2.Message(role=chat_pb2.ROLE_USER, text=prompt)
    await stub.Complete(router_pb2.CompleteRequest(chat=chat_pb2.ChatRequest(messages=[message])))


async def _direct(client: httpx.AsyncClient, prompt: str) -> None:
    body = {"model": "instant", "messages": [{"role": "user", "content": prompt}]}
    answer = await client.post("/chat/completions", json=body)
    answer.raise_for_status()


def _cpu_s(pid: int) -> float:
    """User and system seconds of one process so far (proc(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


def _table(rows: Sequence[Row], started_s: float) -> Table:
    table = Table(title=f"Router overhead; from process start to SERVING {started_s:.2f} s")
    for column in COLUMNS:
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(*row.cells())
    return table


def _stage_table(metrics: str) -> Table:
    """Mean time per stage, of all requests of the run."""
    table = Table(title="Where the time goes inside the router")
    for column in ("stage", "mean ms", "requests"):
        table.add_column(column, justify="right")
    sums, counts = _series(metrics, "sum"), _series(metrics, "count")
    for stage, total_s in sums.items():
        count = counts[stage]
        table.add_row(stage, f"{total_s / count * 1_000:.3f}", f"{count:.0f}")
    return table


def _series(metrics: str, kind: str) -> dict[str, float]:
    found = re.findall(rf'_stage_seconds_{kind}{{stage="(\w+)"}} (\S+)', metrics)
    return {stage: float(value) for stage, value in found}
