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

from bench.chaos.stage import INSTANT, PRICES, arms_of, write_config
from demo.setup import serving
from demo.stack import Stack, free_port, listens

IN_FLIGHT = (1, 32)
WARM_UP = 100
KNOWN_PROMPTS = 50
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")

COLUMNS = (
    *("", "in flight", "p50 ms", "p99 ms"),
    *("overhead p50", "overhead p99", "req/s", "req/s per router core"),
)

Send = Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Latencies:
    """each_ms: (requests,). total_s: of all of them together."""

    each_ms: NDArray[np.float64]
    total_s: float

    def at(self, percentile: float) -> float:
        return float(np.percentile(self.each_ms, percentile))


@dataclass(frozen=True, slots=True)
class LoadRow:
    """direct: the same load on the upstream alone. cpu_s: of the router process."""

    name: str
    in_flight: int
    took: Latencies
    direct: Latencies
    cpu_s: float

    def cells(self) -> list[str]:
        over = [self.took.at(p) - self.direct.at(p) for p in (50, 99)]
        count = len(self.took.each_ms)
        each = [*(self.took.at(p) for p in (50, 99)), *over]
        rates = [count / self.took.total_s, count / (self.cpu_s or 1)]
        cells = [*(f"{ms:.2f}" for ms in each), *(f"{rate:.0f}" for rate in rates)]
        shown = cells if self.cpu_s else [*cells[:2], "", "", cells[4], ""]
        return [self.name, str(self.in_flight), *shown]


async def run(requests: int) -> None:
    with tempfile.TemporaryDirectory() as name, Stack(Path(name)) as stack:
        upstream, port, metrics_port = free_port(), free_port(), free_port()
        stack.start("upstream", [*INSTANT, str(upstream)])
        config = _write_config(Path(name), upstream, port, metrics_port)
        began_s = time.perf_counter()
        pid = stack.start("router", ["router", "serve", "--config", str(config)])
        stack.wait(lambda: listens(upstream) and serving(port))
        started_s = time.perf_counter() - began_s
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            rows = [row async for row in _measure(channel, upstream, pid, requests)]
        Console(width=110).print(_table(rows, started_s))
        async with httpx.AsyncClient() as client:
            metrics = await client.get(f"http://127.0.0.1:{metrics_port}/metrics")
        Console().print(_stage_table(metrics.text))


def _write_config(folder: Path, upstream: int, port: int, metrics_port: int) -> Path:
    document = {
        "server": {"port": port, "metrics_port": metrics_port},
        "auth": {"required": False},
        "cache": {"enabled": False},
        "redis": {"embedded": {"data_dir": f"{folder}/redis"}},
        "arms": arms_of(PRICES, upstream),
    }
    return write_config(folder / "router.yaml", document)


async def _measure(
    channel: grpc.aio.Channel, upstream: int, pid: int, requests: int
) -> AsyncIterator[LoadRow]:
    stub = router_pb2_grpc.RouterServiceStub(channel)  # type: ignore[no-untyped-call]  # generated
    known = [f"What is the capital of country number {i}?" for i in range(KNOWN_PROMPTS)]
    known *= requests // KNOWN_PROMPTS
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{upstream}/v1") as client:
        for in_flight in IN_FLIGHT:
            fresh = [f"Explain step {i} of {in_flight} plans." for i in range(requests)]
            await _times(lambda p: _routed(stub, p), known[:WARM_UP], in_flight)
            direct = await _times(lambda p: _direct(client, p), known, in_flight)
            yield LoadRow("upstream alone", in_flight, direct, direct, 0.0)
            for name, prompts in (("embedding cached", known), ("not cached", fresh)):
                cpu_s = _cpu_s(pid)
                took = await _times(lambda p: _routed(stub, p), prompts, in_flight)
                yield LoadRow(name, in_flight, took, direct, _cpu_s(pid) - cpu_s)


async def _times(send: Send, prompts: Sequence[str], in_flight: int) -> Latencies:
    room = asyncio.Semaphore(in_flight)

    async def one(prompt: str) -> float:
        async with room:
            began_s = time.perf_counter()
            await send(prompt)
            return (time.perf_counter() - began_s) * 1_000

    began_s = time.perf_counter()
    each_ms = await asyncio.gather(*(one(prompt) for prompt in prompts))
    return Latencies(np.asarray(each_ms), time.perf_counter() - began_s)


async def _routed(stub: router_pb2_grpc.RouterServiceStub, prompt: str) -> None:
    message = chat_pb2.Message(role=chat_pb2.ROLE_USER, text=prompt)
    await stub.Complete(router_pb2.CompleteRequest(chat=chat_pb2.ChatRequest(messages=[message])))


async def _direct(client: httpx.AsyncClient, prompt: str) -> None:
    body = {"model": "instant", "messages": [{"role": "user", "content": prompt}]}
    answer = await client.post("/chat/completions", json=body)
    answer.raise_for_status()


def _cpu_s(pid: int) -> float:
    """Returns user and system seconds of one process (proc(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


def _table(rows: Sequence[LoadRow], started_s: float) -> Table:
    table = Table(title=f"Router overhead; from process start to SERVING {started_s:.2f} s")
    for column in COLUMNS:
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(*row.cells())
    return table


def _stage_table(metrics: str) -> Table:
    """Returns the mean time per stage, of all requests of the run."""
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
