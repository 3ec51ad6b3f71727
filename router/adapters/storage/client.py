"""The one way to the server: bounded, timed, and with the driver's errors mapped once.

Commands issued in the same turn of the event loop, or the next, travel as one pipeline over one
connection, so calls that the service gathers share a round trip and, on the server, a write to
disk.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, TypeAlias

from hiredis import pack_command
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import NoScriptError, RedisError, ResponseError

from router.adapters.storage.pool import Address, Pool
from router.domain.errors import ServerMissing, StorageUnavailable


@dataclass(frozen=True, slots=True)
class Script:
    source: bytes
    sha: str


def load(*names: str) -> Script:
    """The files of `lua/` in this order as one script: what is shared first."""
    folder = files(__package__).joinpath("lua")
    source = b"\n".join(folder.joinpath(f"{name}.lua").read_bytes() for name in names)
    # The server names a script by its SHA-1; nothing is protected by it.
    return Script(source, hashlib.sha1(source, usedforsecurity=False).hexdigest())


MIN_VERSION = 8
MAX_PIPELINE = 128

Word: TypeAlias = str | bytes | int | float
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Waiting:
    packed: bytes
    reply: asyncio.Future[Any]


class Client:
    """Raises StorageUnavailable only, but for `check_version`. Replies are as RESP2 gives them."""

    def __init__(self, address: Address, *, pool_size: int, timeout_ms: float) -> None:
        self._timeout_s = timeout_ms / 1_000
        self._pool = Pool(address, pool_size, self._timeout_s)
        self._waiting: list[_Waiting] = []
        self._sending: set[asyncio.Task[None]] = set()

    async def call(self, *command: Word) -> Any:
        try:
            return await self._enqueue(command)
        except RedisError as error:
            raise _unavailable(error) from None

    async def call_many(self, commands: Iterable[tuple[Word, ...]]) -> list[Any]:
        """Replies in order, in one round trip."""
        return await asyncio.gather(*(self.call(*command) for command in commands))

    async def script(self, script: Script, keys: Sequence[str], *args: Word) -> Any:
        """A server that has restarted has forgotten its scripts; it is told again."""
        rest = (len(keys), *keys, *args)
        try:
            return await self._enqueue(("EVALSHA", script.sha, *rest))
        except NoScriptError:
            return await self.call("EVAL", script.source, *rest)
        except RedisError as error:
            raise _unavailable(error) from None

    async def wait(self, command: tuple[Word, ...], wait_ms: int) -> Any:
        """A command that the server answers up to wait_ms late, on a connection of its own."""
        reply = asyncio.get_running_loop().create_future()
        await self._send([_Waiting(_packed(command), reply)], self._timeout_s + wait_ms / 1_000)
        try:
            return reply.result()
        except RedisError as error:
            raise _unavailable(error) from None

    async def check_version(self) -> None:
        """Raises ServerMissing when the server is older than 8: it has no vector sets."""
        info: bytes = await self.call("INFO", "server")
        lines = (line.partition(b":") for line in info.splitlines())
        version = {name: value for name, _, value in lines}.get(b"redis_version", b"0").decode()
        if int(version.partition(".")[0]) < MIN_VERSION:
            raise ServerMissing(
                f"the Redis server is version {version}: {MIN_VERSION} or newer is needed"
            )

    async def close(self) -> None:
        while self._sending:
            await asyncio.wait(self._sending)
        await self._pool.close()

    def _enqueue(self, command: tuple[Word, ...]) -> asyncio.Future[Any]:
        packed = _packed(command)
        loop = asyncio.get_running_loop()
        if not self._waiting:
            # A turn later: what the tasks started in this turn send then still comes along.
            loop.call_soon(loop.call_soon, self._flush)
        reply = loop.create_future()
        self._waiting.append(_Waiting(packed, reply))
        return reply

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        for start in range(0, len(waiting), MAX_PIPELINE):
            work = self._send(waiting[start : start + MAX_PIPELINE], self._timeout_s)
            task = asyncio.ensure_future(work)
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _send(self, batch: Sequence[_Waiting], timeout_s: float) -> None:
        """Every reply of the batch is set, to a value or to a RedisError, whatever happens."""
        try:
            async with asyncio.timeout(timeout_s):
                connection = await self._pool.take()
                try:
                    await self._exchange(connection, batch)
                finally:
                    self._pool.give(connection)
        except Exception as error:  # noqa: BLE001 - callers wait for what nobody else would set
            _fail(batch, error)
        except asyncio.CancelledError:
            for waiting in batch:
                waiting.reply.cancel()
            raise

    async def _exchange(self, connection: AbstractConnection, batch: Sequence[_Waiting]) -> None:
        try:
            packed = b"".join(waiting.packed for waiting in batch)
            await connection.send_packed_command(packed, check_health=False)
            for waiting in batch:
                _settle(waiting.reply, await _read(connection))
        except BaseException:
            # Replies may still be on their way; the next user must not read them as its own.
            await connection.disconnect(nowait=True)
            raise


def _packed(command: tuple[Word, ...]) -> bytes:
    packed: bytes = pack_command(command)  # type: ignore[arg-type]  # its stub knows one word only
    return packed


async def _read(connection: AbstractConnection) -> Any:
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error


def _settle(reply: asyncio.Future[Any], value: Any) -> None:
    if reply.done():
        return  # its caller has been cancelled
    if isinstance(value, Exception):
        reply.set_exception(value)
    else:
        reply.set_result(value)


def _fail(batch: Sequence[_Waiting], error: Exception) -> None:
    known = error if isinstance(error, RedisError) else RedisError(type(error).__name__)
    for waiting in batch:
        _settle(waiting.reply, known)


def _unavailable(error: RedisError) -> StorageUnavailable:
    """Only the kind of an error is told on: its text may quote what was sent."""
    if isinstance(error, ResponseError):
        _log.error("storage refused a command: %s", type(error).__name__)
    return StorageUnavailable("the storage does not answer: try again")
