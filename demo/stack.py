"""Child processes on 127.0.0.1 that end together, however the parent ends."""

from __future__ import annotations

import contextlib
import ctypes
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

PR_SET_PDEATHSIG = 1
READY_S = 20.0
GRACE_S = 8.0
FIRST_PORT, PORTS = 10_000, 20_000


class StackError(RuntimeError):
    """A process ended early or did not get ready; the message names its log."""


def free_port() -> int:
    """Returns a port that no socket has, and that no other process of this machine is given.

    It is below the ports that outgoing connections take, and ours until this process ends.
    """
    for _ in range(PORTS):
        port = FIRST_PORT + secrets.randbelow(PORTS)
        if _is_free(port) and _is_claimed(port):
            return port
    raise StackError("no port is free")


def _is_free(port: int) -> bool:
    with socket.socket() as probe, contextlib.suppress(OSError):
        probe.bind(("127.0.0.1", port))
        return True
    return False


def _is_claimed(port: int) -> bool:
    """Bind a name that the system takes back when this process ends; elsewhere luck must do."""
    if not sys.platform.startswith("linux"):
        return True
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0adaptive-router-port-{port}")
    except OSError:
        claim.close()
        return False
    claim.detach()
    return True


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.2):
        return True
    return False


class Stack:
    """Use as a context manager; leaving it ends every process, the last started first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._processes: list[tuple[str, subprocess.Popen[bytes]]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for _, process in reversed(self._processes):
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_S)
            if process.poll() is None:
                process.kill()
                process.wait()

    def start(
        self,
        name: str,
        argv: Sequence[str],
        *,
        env: dict[str, str] | None = None,
        python: str = sys.executable,
    ) -> int:
        """Run `python -m ARGV`, its output in FOLDER/NAME.log; its process id."""
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 - our own modules, no shell
                [python, "-m", *argv],
                stdout=log,
                stderr=log,
                env=env,
                start_new_session=True,  # Ctrl-C reaches the parent only, which ends the rest
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - set before any thread is started
            )
        self._processes.append((name, process))
        return process.pid

    def wait(self, ready: Callable[[], bool], within_s: float = READY_S) -> None:
        """Until `ready`. Raises StackError when a process ended or time is up."""
        until_s = time.monotonic() + within_s
        while not ready():
            self._check()
            if time.monotonic() > until_s:
                raise StackError(f"not ready after {within_s:.0f} s: see {self.folder}")
            time.sleep(0.02)

    def _check(self) -> None:
        for name, process in self._processes:
            if process.poll() is not None:
                tail = (self.folder / f"{name}.log").read_text(errors="replace")[-2_000:]
                raise StackError(f"{name} ended with {process.returncode}:\n{tail}")


def _die_with_parent() -> None:
    """Have the kernel end this process when its parent is killed (Linux, prctl(2))."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
