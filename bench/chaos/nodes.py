"""Redis servers on ports of their own, a primary and its replica."""

from __future__ import annotations

import asyncio
from pathlib import Path

import redis.asyncio as driver

from bench.chaos.actors import Program
from demo.stack import free_port
from router.adapters.storage.embedded import find_server

HOST = "127.0.0.1"
READY_S = 30.0
LOOK_S = 0.02


class Node(Program):
    """A redis-server; every write is on disk before its answer."""

    def __init__(self, name: str, folder: Path) -> None:
        self.port = free_port()
        home = folder / name
        home.mkdir()
        super().__init__(name, folder, [str(find_server()), *_options(self.port, home)])
        self._client = driver.Redis(host=HOST, port=self.port, socket_timeout=READY_S)

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}"

    async def start(self) -> None:
        """Return when its data is loaded. Raises TimeoutError."""
        await super().start()
        async with asyncio.timeout(READY_S):
            while not await self._answers():  # noqa: ASYNC110 - another process
                await asyncio.sleep(LOOK_S)

    async def call(self, *words: object) -> object:
        return await self._client.execute_command(*words)  # type: ignore[no-untyped-call]  # the driver's

    async def stop(self) -> bool:
        await self._client.aclose()
        return await super().stop()

    async def follow(self, port: int) -> None:
        """Be the replica of a node and have its data. Raises TimeoutError."""
        await self.call("REPLICAOF", HOST, port)
        async with asyncio.timeout(READY_S):
            while (await self._replication()).get("master_link_status") != "up":  # noqa: ASYNC110 - another process
                await asyncio.sleep(LOOK_S)

    async def demote(self) -> None:
        """Refuse writes, and keep the data: nothing listens where its primary should be."""
        await self.call("REPLICAOF", HOST, free_port())

    async def promote(self) -> None:
        await self.call("REPLICAOF", "NO", "ONE")

    async def _replication(self) -> dict[str, object]:
        return dict(await self._client.info("replication"))

    async def _answers(self) -> bool:
        try:
            return bool(await self._client.ping())
        except (driver.ConnectionError, driver.ResponseError):
            return False


def _options(port: int, home: Path) -> list[str]:
    options = {
        "port": str(port),
        "bind": HOST,
        "dir": str(home),
        "appendonly": "yes",
        "appendfsync": "always",
        "save": "",
        "maxmemory-policy": "noeviction",
        "repl-diskless-sync-delay": "0",
    }
    return [word for name, value in options.items() for word in (f"--{name}", value)]
