"""The processes of a run: each can be killed like by a power cut, and started again."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from demo.stack import die_with_parent
from router.adapters.storage import EmbeddedRedis

END_S = 20.0


class Actor(Protocol):
    name: str

    async def start(self) -> None: ...

    def kill(self) -> bool:
        """SIGKILL; False when it was not running."""
        ...

    async def stop(self) -> None:
        """As an operator would: it may finish what it does."""
        ...


class Command:
    """`python -m ARGV`, its output appended to FOLDER/NAME.log."""

    def __init__(self, name: str, folder: Path, argv: Sequence[str]) -> None:
        self.name = name
        self._log = folder / f"{name}.log"
        self._argv = [sys.executable, "-m", *argv]
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        self._process = self._spawned()

    def _spawned(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - our own modules, no shell
                self._argv,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches the parent only, which ends the rest
                preexec_fn=die_with_parent,  # noqa: PLW1509 - it only tells the kernel one thing
            )

    def kill(self) -> bool:
        process = self._process
        if process is None or process.poll() is not None:
            return False
        process.kill()
        process.wait()
        return True

    async def stop(self) -> None:
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(process.wait, END_S)
        self.kill()


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
        process = self._server.process
        if process is None or process.poll() is not None:
            return False
        process.kill()
        process.wait()
        return True

    async def stop(self) -> None:
        await self._server.stop()
