"""The demo as a newcomer starts it, in small; and that nothing of it is left behind."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import Any

import grpc
import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from adaptive_router.v1 import router_pb2
from google.protobuf import json_format

from demo.recorded import FILE, MODELS
from demo.report import COLD, TAUGHT
from demo.talks import TalkWorld

WAIT_S = 90.0
WHOLE_S = 400.0
"""Both runs, on a machine that other work shares."""
RUNS = (COLD, TAUGHT)
LINES = 4
CACHED, LOCKED, FAILED = 4, 6, 8
"""Columns of conversations."""


@pytest.fixture
def folder() -> Iterator[Path]:
    """The folder's path is short, because Unix sockets are made in it."""
    with tempfile.TemporaryDirectory(prefix="demo-") as made:
        yield Path(made)


@pytest.fixture
def environment(model_dir: Path, folder: Path) -> dict[str, str]:
    return os.environ | {"ADAPTIVE_ROUTER_MODEL_DIR": str(model_dir), "TMPDIR": str(folder)}


@contextmanager
def start(environment: dict[str, str], *options: str) -> Iterator[subprocess.Popen[str]]:
    """Ended at the latest with the test."""
    process = subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-m", "demo", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def alive(folder: Path) -> list[str]:
    """Command lines of processes that work in the demo's folder."""
    lines = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(entry.read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return [line for line in lines if str(folder) in line]


def gone(folder: Path) -> bool:
    until_s = time.monotonic() + WAIT_S
    while alive(folder) and time.monotonic() < until_s:
        time.sleep(0.05)
    return not alive(folder)


@pytest.mark.slow
def test_the_demo_prints_its_tables(environment: dict[str, str], folder: Path) -> None:
    with start(environment, "--prompts", "210", "--seed", "3") as process:
        out, _ = process.communicate(timeout=WHOLE_S)
    assert process.returncode == 0, out
    assert "Simulated here" in out
    assert "420/420" in out
    for pattern in (r"1-100 +\d+%.*cheap down", r"101-200 +\d+%.*cheap back", r"all +\d+%"):
        assert len(re.findall(pattern, out)) == len(RUNS)
    for name in (*(f"adaptive-router, {run}" for run in RUNS), "always cheap", "random mix"):
        assert name in out
    assert gone(folder)


@pytest.mark.slow
def test_the_story_is_the_same_from_run_to_run(environment: dict[str, str], folder: Path) -> None:
    """The tables differ: routers draw by chance, and answers arrive in another order."""
    told = []
    for _ in range(2):
        with start(environment, "--prompts", "300") as process:
            out, _ = process.communicate(timeout=WHOLE_S)
        assert process.returncode == 0, out
        told.append(out.partition("What it comes to:")[2])
    assert told[0] == told[1]
    assert f"{TAUGHT} the router earns more than {COLD}, and is not behind" in told[0]
    assert told[0].count("\n- ") == LINES
    assert gone(folder)


@pytest.mark.slow
def test_recorded_answers_are_replayed(environment: dict[str, str], folder: Path) -> None:
    pq.write_table(pa.table(recorded(60)), folder / FILE)
    environment |= {"ROUTER_DATA_DIR": str(folder)}
    with start(environment, "--recorded", "--prompts", "30") as process:
        out, _ = process.communicate(timeout=WHOLE_S)
    assert process.returncode == 0, out
    assert "60/60" in out
    assert "Replayed here" in out
    assert gone(folder)


def recorded(rows: int) -> dict[str, list[Any]]:
    """The form is that of gsm_answers.parquet; every model is right about every second question."""
    found: dict[str, list[Any]] = {
        "prompt": [f"What is {n} plus {n}?" for n in range(rows)],
        "in_tok": [12] * rows,
    }
    for place, model in enumerate(MODELS.values()):
        right = [float((n + place) % 2) for n in range(rows)]
        found[f"q_{model}"] = right
        found[f"ans_{model}"] = [str(n + n + 1 - int(q)) for n, q in enumerate(right)]
        found[f"text_{model}"] = [f"So it is {a}." for a in found[f"ans_{model}"]]
        found[f"out_tok_{model}"] = [20] * rows
    return found


@pytest.mark.slow
def test_the_demo_calibrates(environment: dict[str, str], folder: Path) -> None:
    with start(environment, "--calibrate", "--prompts", "40") as process:
        out, _ = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0, out
    assert "120/120" in out
    assert "published as snapshot 1" in out
    for title in ("The frontier", "What a cost weight buys", "The map", "Recommended config"):
        assert title in out
    assert gone(folder)


@pytest.mark.slow
def test_conversations_are_billed_as_their_models_say(
    environment: dict[str, str], folder: Path
) -> None:
    with start(environment, "--conversations", "--prompts", "30", "--seed", "3") as process:
        out, _ = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0, out
    rows = {name: cells for name, *cells in (re.split(r"  +", x.strip()) for x in out.splitlines())}
    fixed = [rows[f"always {arm}"] for arm in ("cheap", "fallback", "reasoning")]
    assert [row[LOCKED] for row in fixed] == ["0"] * 3
    world = TalkWorld(30, 3)
    loops = sum(world.reply("cheap", a.index).lookups for t in world.talks for a in t.asks)
    assert 0.7 * loops <= int(rows["adaptive-router"][LOCKED]) <= loops
    for row in (*fixed, rows["adaptive-router"]):
        assert row[FAILED] == "0", out
        assert 20 < int(row[CACHED].rstrip("%")) < 100
    receipts_usd, ledgers_usd = (float(n) for n in re.findall(r"([\d.]+) USD", out))
    assert ledgers_usd > 0.01
    assert receipts_usd == pytest.approx(ledgers_usd, rel=0.001)
    assert gone(folder)


def test_what_serve_prints_works_until_ctrl_c(environment: dict[str, str], folder: Path) -> None:
    with start(environment, "--serve") as process:
        assert process.stdout is not None
        told = "".join(takewhile(lambda line: not line.startswith("Map:"), process.stdout))
        snippet = told.partition("or, with .venv/bin/python:")[2].partition("Metrics:")[0]
        ran = subprocess.run(  # noqa: S603 - what a reader would run
            [sys.executable, "-c", snippet], capture_output=True, text=True, check=True
        )
        assert re.search(r"(cheap|reasoning|fallback) \d", ran.stdout)
        words = shlex.split(next(line for line in told.splitlines() if "grpcurl" in line))
        assert asked(words).answer.text
        assert asked_over_http(told).startswith("HTTP/1.1 200")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=WAIT_S)
    assert gone(folder)


def asked_over_http(told: str) -> str:
    """Returns the status line of an answer by the address and the key that were printed."""
    found = re.search(r"HTTP: (\S+)", told), re.search(r"Bearer ([\w-]+)", told)
    assert all(found)
    url, key = (match.group(1) for match in found if match)
    body = {"model": "auto", "messages": [{"role": "user", "content": "What is 17 * 23?"}]}
    answer = httpx.post(
        f"{url}/chat/completions", json=body, headers={"x-api-key": key}, timeout=WAIT_S
    )
    return f"{answer.http_version} {answer.status_code}"


def asked(words: list[str]) -> router_pb2.CompleteResponse:
    """Call the service as grpcurl would with these words."""
    *_, target, method = words
    name, _, value = words[words.index("-H") + 1].partition(": ")
    message = json_format.Parse(words[words.index("-d") + 1], router_pb2.CompleteRequest())
    with grpc.insecure_channel(target) as channel:
        call = channel.unary_unary(
            f"/{method}",
            request_serializer=router_pb2.CompleteRequest.SerializeToString,
            response_deserializer=router_pb2.CompleteResponse.FromString,
        )
        return call(message, metadata=[(name, value)])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.slow
def test_no_process_is_left_behind(
    environment: dict[str, str], folder: Path, number: signal.Signals
) -> None:
    with start(environment, "--serve") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "Metrics:" in line:
                break
        assert alive(folder)
        process.send_signal(number)
        process.communicate(timeout=WAIT_S)
    assert gone(folder)
