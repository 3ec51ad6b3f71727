"""Processes that can be killed as by a power cut, and started again."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from router.adapters.storage import EmbeddedRedis

END_S = 20.0
_SHIM = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""
"""Makes the kernel end a process with its parent (Linux, prctl(2)). No `preexec_fn`: threads of
gRPC run beside, and code between fork and exec is not safe then."""


class Actor(Protocol):
    name: str

    async def start(self) -> None: ...

    def kill(self) -> bool:
        """SIGKILL; False when it was not running."""
        ...

    async def stop(self) -> bool:
        """Send SIGTERM, as an operator would: it may finish its work. False: it did not end."""
        ...


class Program:
    """A program with arguments, its output appended to FOLDER/NAME.log."""

    def __init__(self, name: str, folder: Path, argv: Sequence[str]) -> None:
        self.name = name
        self._log = folder / f"{name}.log"
        shim = [sys.executable, "-I", "-S", "-c", _SHIM, str(os.getpid())]
        self._argv = [*shim, *argv]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    async def start(self) -> None:
        self._process = self._spawned()

    def _spawned(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - our own modules, no shell
                self._argv,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches the parent only, which ends the rest
            )

    def kill(self) -> bool:
        return _kill(self._process)

    def send(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    async def stop(self) -> bool:
        process = self._process
        if process is None or process.poll() is not None:
            return True
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(process.wait, END_S)
        return not self.kill()


class Command(Program):
    """`python -m ARGV`."""

    def __init__(self, name: str, folder: Path, argv: Sequence[str]) -> None:
        super().__init__(name, folder, [sys.executable, "-m", *argv])


def _kill(process: subprocess.Popen[bytes] | None) -> bool:
    if process is None or process.poll() is not None:
        return False
    process.kill()
    process.wait()
    return True


class Redis:
    """A private redis-server: every write is on disk before its answer."""

    name = "redis"

    def __init__(self, folder: Path) -> None:
        self._server = EmbeddedRedis(folder / "redis", appendfsync="always")
        self.url = f"unix://{self._server.socket}"

    async def start(self) -> None:
        await self._server.start()

    def kill(self) -> bool:
        """The shim becomes the server itself, so its process id is the server's."""
        return _kill(self._server.process)

    async def stop(self) -> bool:
        await self._server.stop()
        return True
