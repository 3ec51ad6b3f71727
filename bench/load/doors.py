"""CPU of a request at each door, and at LiteLLM's proxy where there is one, of one upstream."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median

import grpc
from adaptive_router.v1 import chat_pb2, router_pb2, router_pb2_grpc
from rich.console import Console
from rich.table import Table

from bench.chaos.stage import INSTANT, PRICES, arms_of, made_tenant, write_config
from demo.setup import serving
from demo.stack import Stack, free_port, listens

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
CALLERS = 8
ROUNDS = 5
WARM_UP = 200
START_S = 180.0
PROMPT = "Tell me of the rivers of the north."
COLUMNS = ("", "CPU ms a request", "with its children", "req/s", "req/s per core")
PROXY = "litellm.proxy.proxy_cli"
QUIET = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOG": "ERROR",
    "LITELLM_MODE": "PRODUCTION",
}

Caller = Callable[[int], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class MeasuredDoor:
    """One door. pid: of its process. load: makes so many requests, CALLERS at once."""

    name: str
    pid: int
    load: Caller
    laps: list[Lap] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Lap:
    """cpu_s: of the process. tree_s: of it and its children: the private Redis of a router."""

    requests: int
    cpu_s: float
    tree_s: float
    took_s: float


async def run(requests: int, litellm: Path | None) -> None:
    """litellm: a Python that has `litellm[proxy]`; None to leave it."""
    with tempfile.TemporaryDirectory() as name, Stack(Path(name)) as stack:
        folder, upstream = Path(name), free_port()
        stack.start("upstream", [*INSTANT, str(upstream)])
        stack.wait(lambda: listens(upstream))
        doors = await _router(stack, folder, upstream)
        if litellm is not None:
            doors.append(_litellm(stack, folder, upstream, litellm))
        for door in doors:
            await door.load(WARM_UP)
        for _ in range(ROUNDS):
            for door in doors:
                door.laps.append(await _measured(door, requests))
    Console(width=110).print(_table(doors))


async def _router(stack: Stack, folder: Path, upstream: int) -> list[MeasuredDoor]:
    """Each request is one call of the upstream, as at a proxy: no plan has a gate."""
    port, http_port = free_port(), free_port()
    document = {
        "server": {"port": port, "http_port": http_port, "metrics_port": free_port()},
        "cache": {"enabled": False},
        "redis": {"embedded": {"data_dir": f"{folder}/redis"}},
        "learning": {"embedded": False},
        "arms": arms_of(PRICES, upstream),
        "plans": {arm: [arm] for arm in PRICES},
    }
    config = write_config(folder / "router.yaml", document)
    key = await made_tenant(config, "bench")
    pid = stack.start("router", ["router", "serve", "--config", str(config)])
    stack.wait(lambda: listens(http_port) and serving(port))
    return [
        MeasuredDoor("gRPC", pid, partial(_over_grpc, port, key)),
        MeasuredDoor("HTTP", pid, partial(_over_http, http_port, key)),
    ]


def _litellm(stack: Stack, folder: Path, upstream: int, python: Path) -> MeasuredDoor:
    """One worker, with a key as at the router; it keeps and counts nothing."""
    port = free_port()
    there = {"model": "openai/m", "api_base": f"http://127.0.0.1:{upstream}/v1", "api_key": "x"}
    key = f"sk-{secrets.token_hex(32)}"
    document = {
        "model_list": [{"model_name": "auto", "litellm_params": there}],
        "general_settings": {"master_key": key},
    }
    config = write_config(folder / "litellm.yaml", document)
    given = ["--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    argv = [PROXY, *given, "--num_workers", "1"]
    pid = stack.start("litellm", argv, env=env | QUIET, python=str(python))
    stack.wait(lambda: listens(port), within_s=START_S)
    return MeasuredDoor("LiteLLM's proxy", pid, partial(_over_http, port, key))


async def _over_grpc(port: int, key: str, requests: int) -> None:
    message = chat_pb2.Message(role=chat_pb2.ROLE_USER, text=PROMPT)
    asked = router_pb2.CompleteRequest(chat=chat_pb2.ChatRequest(messages=[message]))
    metadata = (("authorization", f"Bearer {key}"),)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = router_pb2_grpc.RouterServiceStub(channel)  # type: ignore[no-untyped-call]  # generated

        async def caller() -> None:
            for _ in range(requests // CALLERS):
                await stub.Complete(asked, metadata=metadata)

        await asyncio.gather(*(caller() for _ in range(CALLERS)))


async def _over_http(port: int, key: str, requests: int) -> None:
    body = json.dumps({"model": "auto", "messages": [{"role": "user", "content": PROMPT}]}).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {key}\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode()

    async def caller() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(requests // CALLERS):
            writer.write(head + body)
            await _answer(reader)
        writer.close()

    await asyncio.gather(*(caller() for _ in range(CALLERS)))


async def _answer(reader: asyncio.StreamReader) -> None:
    """Read one response. Raises RuntimeError where it is an error."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    lines = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
    body = await reader.readexactly(int(lines["content-length"]))
    if " 200 " not in head.partition("\r\n")[0]:
        raise RuntimeError(f"{head}{body.decode()}")


async def _measured(door: MeasuredDoor, requests: int) -> Lap:
    before_s, tree_s, began_s = _cpu_s(door.pid), _tree_s(door.pid), time.perf_counter()
    await door.load(requests)
    took_s = time.perf_counter() - began_s
    made = requests // CALLERS * CALLERS
    return Lap(made, _cpu_s(door.pid) - before_s, _tree_s(door.pid) - tree_s, took_s)


def _cpu_s(pid: int) -> float:
    """Returns user and system seconds of one process (proc(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


def _tree_s(pid: int) -> float:
    children = {
        child
        for tasks in Path(f"/proc/{pid}/task").glob("*/children")
        for child in tasks.read_text().split()
    }
    return _cpu_s(pid) + sum(_tree_s(int(child)) for child in children)


def _table(doors: list[MeasuredDoor]) -> Table:
    of_grpc = _ms(doors[0], "cpu_s")
    table = Table(title=f"{CALLERS} callers, one upstream, medians of {ROUNDS} rounds in turn")
    for column in (*COLUMNS, "CPU against gRPC"):
        table.add_column(column, justify="right")
    for door in doors:
        cpu_ms = _ms(door, "cpu_s")
        rate = median(each.requests / each.took_s for each in door.laps)
        cells = (cpu_ms, _ms(door, "tree_s"), rate, 1_000 / cpu_ms, cpu_ms / of_grpc)
        forms = ("{:.2f}", "{:.2f}", "{:.0f}", "{:.0f}", "{:.2f}")
        shown = (form.format(value) for form, value in zip(forms, cells, strict=True))
        table.add_row(door.name, *shown)
    return table


def _ms(door: MeasuredDoor, what: str) -> float:
    each_ms = [float(getattr(each, what)) / each.requests * 1_000 for each in door.laps]
    return median(each_ms)
