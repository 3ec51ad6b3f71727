"""The one way to the server: bounded, timed, and with the driver's errors mapped once.

Commands issued in the same turn of the event loop, or the next, travel as one pipeline over one
connection, so calls that the service gathers share a round trip and, on the server, a write to
disk.

What was never sent, or was answered by a node that does not serve, is sent again over a fresh
connection within the call's time. What may have been executed is sent again only where that is
known to change nothing (`scripts.py`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from hiredis import pack_command
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import BusyLoadingError, NoScriptError, RedisError, ResponseError

from router.adapters.storage.link.address import Address
from router.adapters.storage.link.circuit import Circuit
from router.adapters.storage.link.failures import (
    ADVICE,
    ELSEWHERE,
    LASTING,
    Failure,
    FailureKind,
    kind_of,
)
from router.adapters.storage.pool import Pool, stands
from router.adapters.storage.scripts import REPEATABLE_COMMANDS, Script, load
from router.domain.errors import StorageUnavailable

__all__ = ["MAX_PIPELINE", "Client", "Script", "Word", "load"]

MAX_PIPELINE = 128
PAUSES_S: Final = (0.0, 0.02, 0.05, 0.1, 0.2)
"""Before a command is sent again; the last one from then on."""
CLOSE_S: Final = 2.0

Word: TypeAlias = str | bytes | int | float
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Waiting:
    """error: why it has to be sent again."""

    packed: bytes
    reply: asyncio.Future[Any]
    is_repeatable: bool
    error: Exception | None = None


class Client:
    """Raises StorageUnavailable only; ConfigInvalid when it is made of a URL that can't be one.

    Replies are as RESP2 gives them.
    """

    def __init__(self, address: Address, *, pool_size: int, timeout_ms: float) -> None:
        self.address = address
        self._timeout_s = timeout_ms / 1_000
        self._pool = Pool(address, pool_size, self._timeout_s)
        self._waiting: list[_Waiting] = []
        self._sending: set[asyncio.Task[None]] = set()
        self.circuit = Circuit(self._timeout_s)

    @property
    def is_away(self) -> bool:
        """True while calls are refused at once: the store was found not to serve."""
        return self.circuit.kind is not None

    async def call(self, *command: Word) -> Any:
        try:
            return await self._enqueue(command, is_repeatable=command[0] in REPEATABLE_COMMANDS)
        except RedisError as error:
            raise unavailable(error) from None

    async def call_many(self, commands: Iterable[tuple[Word, ...]]) -> list[Any]:
        """Replies in order, in one round trip."""
        made = [_made(one, is_repeatable=one[0] in REPEATABLE_COMMANDS) for one in commands]
        if not made:
            return []
        self._announce()
        self._waiting += made
        try:
            return await asyncio.gather(*(waiting.reply for waiting in made))
        except RedisError as error:
            raise unavailable(error) from None

    async def script(self, script: Script, keys: Sequence[str], *args: Word) -> Any:
        """A server that has restarted has forgotten its scripts; it is told again."""
        rest, again = (len(keys), *keys, *args), script.is_repeatable
        try:
            try:
                return await self._enqueue(("EVALSHA", script.sha, *rest), is_repeatable=again)
            except NoScriptError:
                return await self._enqueue(("EVAL", script.source, *rest), is_repeatable=again)
        except RedisError as error:
            raise unavailable(error) from None

    async def wait(self, command: tuple[Word, ...], wait_ms: int) -> Any:
        """A command that the server answers up to wait_ms late, on a connection of its own."""
        is_trial = self._admit()
        waiting = _made(command, is_repeatable=command[0] in REPEATABLE_COMMANDS)
        await self._send([waiting], self._timeout_s + wait_ms / 1_000, is_trial=is_trial)
        try:
            return waiting.reply.result()
        except RedisError as error:
            raise unavailable(error) from None

    async def ask(self, *commands: tuple[Word, ...]) -> list[Any]:
        """Send commands whatever is known of the store, once. Returns replies, or RedisErrors."""
        self.circuit.probed()
        batch = [_made(command, is_repeatable=False) for command in commands]
        try:
            async with asyncio.timeout(self._timeout_s):
                for waiting in await self._try(batch):
                    _settle(waiting.reply, waiting.error)
        except TimeoutError as error:
            await self._pool.renew()
            _fail(batch, error)
        self.circuit.probed()
        return [waiting.reply.exception() or waiting.reply.result() for waiting in batch]

    async def close(self) -> None:
        """Wait for what is under way, not for longer than calls and connections may take."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + min(self._timeout_s, CLOSE_S)
        while self._sending and (left_s := until_s - loop.time()) > 0:
            await asyncio.wait(self._sending, timeout=left_s)
        for task in self._sending:
            task.cancel()
        await self._pool.close()

    def _admit(self) -> bool:
        """Returns whether the call is to find out if the store is back.

        Raises StorageUnavailable while the store is known not to serve.
        """
        kind = self.circuit.kind
        if kind is not None and not self.circuit.admits():
            raise refused(kind)
        return kind is not None

    def _enqueue(self, command: tuple[Word, ...], *, is_repeatable: bool) -> asyncio.Future[Any]:
        self._announce()
        waiting = _made(command, is_repeatable=is_repeatable)
        self._waiting.append(waiting)
        return waiting.reply

    def _announce(self) -> None:
        """See that what is added in this turn is sent. Raises StorageUnavailable."""
        is_trial = self.circuit.kind is not None and self._admit()
        if not self._waiting:
            loop = asyncio.get_running_loop()
            # A turn later: what the tasks started in this turn send then still comes along.
            loop.call_soon(loop.call_soon, self._flush, is_trial)

    def _flush(self, is_trial: bool) -> None:  # noqa: FBT001 - an argument of call_soon
        waiting, self._waiting = self._waiting, []
        for start in range(0, len(waiting), MAX_PIPELINE):
            batch = waiting[start : start + MAX_PIPELINE]
            send = self._send(batch, self._timeout_s, is_trial=is_trial)
            task = asyncio.get_running_loop().create_task(send)
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _send(self, batch: list[_Waiting], timeout_s: float, *, is_trial: bool) -> None:
        """Every reply of the batch is set, to a value or to a RedisError, whatever happens."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._deliver(batch, is_trial=is_trial)
        except Exception as error:  # noqa: BLE001 - callers wait for what nobody else would set
            if isinstance(error, TimeoutError):
                known = next((waiting.error for waiting in batch if waiting.error), error)
                self._note(known, is_trial=is_trial, took_s=timeout_s)
                await self._pool.renew()
            _fail(batch, error)
        except asyncio.CancelledError:
            for waiting in batch:
                waiting.reply.cancel()
            raise

    async def _deliver(self, batch: list[_Waiting], *, is_trial: bool) -> None:
        tries = 0
        while left := await self._try(batch):
            error = left[0].error or Failure(FailureKind.AWAY)
            kind = self._note(error, is_trial=is_trial)
            if kind in LASTING or self.circuit.kind is not None:
                _fail(left, error)
                return
            await asyncio.sleep(PAUSES_S[min(tries, len(PAUSES_S) - 1)])
            tries, batch = tries + 1, left
        if is_trial or (self.circuit.failures and not self.is_away):
            self.circuit.close()

    def _note(self, error: Exception, *, is_trial: bool, took_s: float = 0.0) -> FailureKind:
        kind = kind_of(error)
        if is_trial:
            self.circuit.open(kind)
        elif self.circuit.kind is None:
            self.circuit.failed(kind, took_s)
        return kind

    async def _try(self, batch: list[_Waiting]) -> list[_Waiting]:
        """Returns what has to be sent again, with the error; the rest has its replies."""
        try:
            connection = await self._pool.take()
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing was sent
            for waiting in batch:
                waiting.error = error
            return batch
        try:
            left = await self._exchange(connection, batch)
        except BaseException:
            # Replies may still be on their way; the next user must not read them as its own.
            await connection.disconnect(nowait=True)
            raise
        finally:
            await self._pool.give(connection)
        if left:
            await self._pool.renew()
        return left

    async def _exchange(
        self, connection: AbstractConnection, batch: list[_Waiting]
    ) -> list[_Waiting]:
        left: list[_Waiting] = []
        answered, sent = 0, False
        try:
            sent = stands(connection)
            packed = b"".join(waiting.packed for waiting in batch)
            await connection.send_packed_command(packed, check_health=False)
            for waiting in batch:
                value = await _read(connection)
                answered += 1
                if isinstance(value, RedisError) and kind_of(value) in ELSEWHERE:
                    waiting.error = value
                    left.append(waiting)
                else:
                    _settle(waiting.reply, value)
        except Exception as error:  # noqa: BLE001 - uvloop raises RuntimeError at a reset
            await connection.disconnect(nowait=True)
            sent = sent and kind_of(error) not in ELSEWHERE
            left += _unanswered(batch[answered:], error, sent=sent)
        else:
            if left:
                await connection.disconnect(nowait=True)
        return left


def _unanswered(batch: list[_Waiting], error: Exception, *, sent: bool) -> list[_Waiting]:
    """Returns what may be sent again; of the rest nobody knows whether it was executed."""
    for waiting in batch:
        waiting.error = error
        if sent and not waiting.is_repeatable:
            _fail([waiting], error)
    return [waiting for waiting in batch if not waiting.reply.done()]


def _made(command: tuple[Word, ...], *, is_repeatable: bool) -> _Waiting:
    packed: bytes = pack_command(command)  # type: ignore[arg-type]  # its stub knows one word only
    return _Waiting(packed, asyncio.get_running_loop().create_future(), is_repeatable)


async def _read(connection: AbstractConnection) -> Any:
    try:
        return await connection.read_response(disconnect_on_error=False)
    except (ResponseError, BusyLoadingError) as error:
        return error


def _settle(reply: asyncio.Future[Any], value: Any) -> None:
    if reply.done():
        return  # its caller has been cancelled
    if isinstance(value, Exception):
        reply.set_exception(value)
    else:
        reply.set_result(value)


def _fail(batch: Sequence[_Waiting], error: Exception) -> None:
    for waiting in batch:
        told = waiting.error or error
        _settle(waiting.reply, told if isinstance(told, RedisError) else Failure(kind_of(told)))


def unavailable(error: RedisError) -> StorageUnavailable:
    """Only the kind of an error is told on: its text may quote what was sent."""
    kind = kind_of(error)
    if kind is FailureKind.REFUSED:
        _log.error("storage refused a command: %s", type(error).__name__)
    return refused(kind)


def refused(kind: FailureKind) -> StorageUnavailable:
    again = "" if kind in LASTING else ": try again"
    return StorageUnavailable(
        f"the storage does not answer ({ADVICE[kind]}){again}", metadata={"kind": kind.value}
    )
