"""SIGTERM while a router starts: real processes, one of them as process 1 of its namespace."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from demo.stack import free_port, listens

PATIENCE_S = 60.0
BOX = ("unshare", "-Urpf", "--mount-proc", "--kill-child")
ENDED = (0, 128 + signal.SIGTERM)
"""Exit statuses of a start that was ended, once it could tidy up and before."""
TERM_BIT = 1 << (signal.SIGTERM - 1)


def _can_box() -> bool:
    if shutil.which("unshare") is None:
        return False
    tried = subprocess.run([*BOX, "true"], capture_output=True, check=False)  # noqa: S603 - ours
    return tried.returncode == 0


AS_INIT = pytest.param(
    BOX, id="process 1", marks=pytest.mark.skipif(not _can_box(), reason="no namespaces here")
)
AS_ANY = pytest.param((), id="a process")


def config(folder: Path, port: int, command: str) -> Path:
    path = folder / f"{command}.yaml"
    path.write_text(
        f"server: {{port: {port}, metrics_port: 0}}\n"
        "auth: {required: false}\n"
        f"redis: {{embedded: {{data_dir: {folder}/redis, appendfsync: everysec}}}}\n"
        "embedding: {workers: 1}\n"
        "learning: {embedded: false}\n"
        "arms:\n  a:\n    deployments:\n"
        "      - {name: d, provider: openai, model: m, base_url: 'http://127.0.0.1:9/v1',"
        " price: {input_usd_per_mtok: 1, output_usd_per_mtok: 1}}\n",
        encoding="utf-8",
    )
    return path


@contextmanager
def process(
    path: Path, box: tuple[str, ...], *command: str
) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """Yields the pid of the router's process and what waits for it."""
    argv = [*box, sys.executable, "-m", "router", *command, "--config", str(path)]
    with (path.parent / "log").open("wb") as log:
        started = subprocess.Popen(argv, stdout=log, stderr=log)  # noqa: S603 - our own command
    try:
        yield (_child(started.pid) if box else started.pid), started
    finally:
        started.kill()
        started.wait()


def until(holds: Callable[[], object]) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end_s
        time.sleep(0.002)


def _child(pid: int) -> int:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    until(children.read_text)
    return int(children.read_text().split()[0])


def catches_term(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) & TERM_BIT)


def has_loaded(pid: int, library: str) -> bool:
    return library in Path(f"/proc/{pid}/maps").read_text()


@pytest.mark.parametrize("box", [AS_ANY, AS_INIT])
@pytest.mark.parametrize("command", ["serve", "learner"])
@pytest.mark.usefixtures("model_dir")
def test_the_first_moment_of_a_start(tmp_path: Path, box: tuple[str, ...], command: str) -> None:
    path = config(tmp_path, free_port(), "early")
    with process(path, box, command) as (pid, started):
        until(lambda: catches_term(pid))
        assert not has_loaded(pid, "onnxruntime")
        os.kill(pid, signal.SIGTERM)
        assert started.wait(PATIENCE_S) in ENDED
    assert "Traceback" not in (tmp_path / "log").read_text()


@pytest.mark.parametrize("box", [AS_ANY, AS_INIT])
@pytest.mark.usefixtures("model_dir")
def test_while_the_model_is_loaded(tmp_path: Path, box: tuple[str, ...]) -> None:
    path = config(tmp_path, port := free_port(), "late")
    with process(path, box, "serve") as (pid, started):
        until(lambda: has_loaded(pid, "onnxruntime"))
        assert not listens(port)
        os.kill(pid, signal.SIGTERM)
        assert started.wait(PATIENCE_S) in ENDED
    log = (tmp_path / "log").read_text()
    assert "Traceback" not in log
    assert '"started"' not in log


@pytest.mark.parametrize("box", [AS_ANY, AS_INIT])
@pytest.mark.usefixtures("model_dir")
def test_once_it_serves(tmp_path: Path, box: tuple[str, ...]) -> None:
    path = config(tmp_path, port := free_port(), "serving")
    with process(path, box, "serve") as (pid, started):
        until(lambda: listens(port))
        os.kill(pid, signal.SIGTERM)
        assert started.wait(PATIENCE_S) == 0
    assert "Traceback" not in (tmp_path / "log").read_text()


HANGS = """
import asyncio
from contextlib import asynccontextmanager
from router.app import process

@asynccontextmanager
async def running():
    try:
        print("starting", flush=True)
        await asyncio.sleep(3600)
    finally:
        await asyncio.sleep(3600)
    yield

process.END_S = 1.0
process.run(running())
"""


def test_what_hangs_as_a_start_is_ended_is_cut_off() -> None:
    argv = [sys.executable, "-c", HANGS]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as started:  # noqa: S603 - ours
        try:
            assert started.stdout is not None
            started.stdout.readline()
            started.send_signal(signal.SIGTERM)
            assert started.wait(PATIENCE_S) == 1
        finally:
            started.kill()
