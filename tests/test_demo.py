"""The demo as a newcomer starts it, in small; and that nothing of it is left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

WAIT_S = 90.0


@pytest.fixture
def folder() -> Iterator[Path]:
    """With a short path: there are Unix sockets in it."""
    with tempfile.TemporaryDirectory(prefix="demo-") as made:
        yield Path(made)


@pytest.fixture
def environment(model_dir: Path, folder: Path) -> dict[str, str]:
    return os.environ | {"ADAPTIVE_ROUTER_MODEL_DIR": str(model_dir), "TMPDIR": str(folder)}


def start(environment: dict[str, str], *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-m", "demo", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )


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


def test_the_demo_prints_its_tables(environment: dict[str, str], folder: Path) -> None:
    with start(environment, "--prompts", "60") as process:
        out, _ = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0, out
    assert "Simulated here" in out
    assert re.search(r"60/60", out)
    assert re.search(r"all +\d+%", out)
    for name in ("adaptive-router", "always cheap", "always reasoning", "random mix"):
        assert name in out
    assert gone(folder)


def test_the_demo_calibrates(environment: dict[str, str], folder: Path) -> None:
    with start(environment, "--calibrate", "--prompts", "40") as process:
        out, _ = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0, out
    assert "120/120" in out
    assert "published as snapshot 1" in out
    for title in ("The frontier", "What a cost weight buys", "The map", "Recommended config"):
        assert title in out
    assert gone(folder)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
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
