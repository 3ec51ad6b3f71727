"""A bounded set of connections, kept open between calls.

The driver's own pools take a lock, publish events and record metrics on every call; this one only
checks that a connection is still good.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from redis.asyncio.connection import AbstractConnection, ConnectionPool, UnixDomainSocketConnection


@dataclass(frozen=True, slots=True)
class Address:
    """One of the two is set."""

    url: str = ""
    socket: str = ""


class Pool:
    """Every connection that is taken is given back. Errors are the driver's."""

    def __init__(self, address: Address, size: int, connect_timeout_s: float) -> None:
        factory = _factory(address, connect_timeout_s)
        self._make: Callable[[], AbstractConnection] = factory.make_connection
        self._free = asyncio.Semaphore(size)
        self._idle: list[AbstractConnection] = []

    async def take(self) -> AbstractConnection:
        """Waits while all are in use; bounded by the caller's timeout."""
        await self._free.acquire()
        try:
            return await self._connected()
        except BaseException:
            self._free.release()
            raise

    def give(self, connection: AbstractConnection) -> None:
        if connection.is_connected:
            self._idle.append(connection)
        self._free.release()

    async def close(self) -> None:
        """Closes what is idle: to be called when no call is under way."""
        while self._idle:
            await self._idle.pop().disconnect()

    async def _connected(self) -> AbstractConnection:
        while self._idle:
            connection = self._idle.pop()
            if await _is_usable(connection):
                return connection
            await connection.disconnect(nowait=True)
        connection = self._make()
        await connection.connect()  # type: ignore[no-untyped-call]  # untyped in the driver
        return connection


async def _is_usable(connection: AbstractConnection) -> bool:
    """Returns whether an idle connection still stands and the server is in step with it.

    A reset closes the transport, to which uvloop then refuses to write; data or an end of file on
    an idle connection mean that the server has gone or is out of step.
    """
    writer = connection._writer  # noqa: SLF001 - the driver does not tell of a reset otherwise
    if writer is None or writer.transport.is_closing():
        return False
    return not await connection.can_read()


def _factory(address: Address, connect_timeout_s: float) -> ConnectionPool:
    options: dict[str, Any] = {
        "socket_connect_timeout": connect_timeout_s,
        "socket_timeout": None,  # the client times the whole exchange
        "protocol": 2,
        "driver_info": None,  # would cost two round trips per connection
    }
    if address.socket:
        return ConnectionPool(
            connection_class=UnixDomainSocketConnection, path=address.socket, **options
        )
    return ConnectionPool.from_url(address.url, **options)
