"""Redis servers started by hand, with whatever options a test needs."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from redis.asyncio import Connection, Redis
from redis.exceptions import RedisError

from demo.stack import free_port
from router.adapters.storage.embedded import find_server

START_S = 60.0


@dataclass(slots=True)
class Server:
    """A redis-server on 127.0.0.1."""

    port: int
    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    async def ask(self, *words: str | int, **signed: str) -> object:
        """The driver's client leaves its connection open when it is cancelled while it closes."""
        connection = Connection(port=self.port, socket_timeout=5, **signed)
        try:
            await connection.connect()  # type: ignore[no-untyped-call]  # untyped in the driver
            await connection.send_command(*words)
            return await Redis().parse_response(connection, str(words[0]))
        finally:
            await connection.disconnect()

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


def spawn(folder: Path, *options: str, port: int | None = None, mode: str = "") -> Server:
    """Start a server without waiting for it. mode: `--sentinel`, after a config file."""
    folder.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    plain = ("--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder))
    plain += ("--repl-diskless-sync-delay", "0")
    words = [str(find_server()), *(options if mode else (*plain, "--save", "", *options))]
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen([*words, *([mode] if mode else [])], stdout=log, stderr=log)  # noqa: S603 - the server of the wheel
    return Server(port, folder, process)


async def ready(server: Server, **signed: str) -> Server:
    until_s = time.monotonic() + START_S
    while True:
        try:
            await server.ask("PING", **signed)
        except (OSError, RedisError):
            if time.monotonic() > until_s or server.process.poll() is not None:
                log = (server.folder / "server.log").read_text(errors="replace")
                raise RuntimeError(log[-2_000:]) from None
            await asyncio.sleep(0.02)
        else:
            return server


@asynccontextmanager
async def stored(folder: Path, *options: str, port: int | None = None) -> AsyncIterator[Server]:
    """A server that answers, ended at the end."""
    server = spawn(folder, *options, port=port)
    try:
        yield await ready(server)
    finally:
        server.end()
