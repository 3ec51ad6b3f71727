"""A bounded set of connections, kept open between calls.

The driver's own pools take a lock, publish events and record metrics on every call; this one only
checks that a connection is still good.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from redis.asyncio.connection import (
    AbstractConnection,
    ConnectionPool,
    UnixDomainSocketConnection,
)
from redis.exceptions import RedisError

from router.adapters.storage.link.address import Address, ByCluster, BySentinel, Connector
from router.adapters.storage.link.failures import Failure, FailureKind
from router.domain.errors import ConfigInvalid, ConfigProblem

__all__ = ["Address", "Pool", "check_address", "stands"]

CLOSE_S = 1.0


class Pool:
    """Every connection that is taken is given back. Errors are the driver's."""

    def __init__(self, address: Address, size: int, connect_timeout_s: float) -> None:
        self._connector = _connector(address, connect_timeout_s)
        self._free = asyncio.Semaphore(size)
        self._idle: list[AbstractConnection] = []
        self._used: set[AbstractConnection] = set()

    async def take(self) -> AbstractConnection:
        """Waits while all are in use; bounded by the caller's timeout."""
        await self._free.acquire()
        try:
            connection = await self._connected()
        except BaseException:
            self._free.release()
            raise
        self._used.add(connection)
        return connection

    async def give(self, connection: AbstractConnection) -> None:
        self._free.release()
        if connection not in self._used:  # it is of before a renewal
            await connection.disconnect(nowait=True)
            return
        self._used.discard(connection)
        if connection.is_connected:
            self._idle.append(connection)

    async def renew(self) -> None:
        """Close what is idle, and what is in use once it is given back: all lead to a wrong node.

        The next connection is made to where the address leads by then.
        """
        self._used.clear()
        self._connector.forget()
        idle, self._idle = self._idle, []
        for connection in idle:
            await connection.disconnect(nowait=True)

    async def close(self) -> None:
        """Closes what is idle: to be called when no call is under way."""
        idle, self._idle = self._idle, []
        if idle:
            closing = [asyncio.ensure_future(connection.disconnect()) for connection in idle]
            _, late = await asyncio.wait(closing, timeout=CLOSE_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*closing, return_exceptions=True)
        await self._connector.close()

    async def _connected(self) -> AbstractConnection:
        while self._idle:
            connection = self._idle.pop()
            if await _is_usable(connection):
                return connection
            await connection.disconnect(nowait=True)
        connection = await self._connector.make()
        try:
            await connection.connect()  # type: ignore[no-untyped-call]  # untyped in the driver
        except BaseException:
            self._connector.forget()
            await connection.disconnect(nowait=True)
            raise
        return connection


def stands(connection: AbstractConnection) -> bool:
    """Returns False for a connection that can't be written to.

    A reset closes the transport, to which uvloop then refuses to write.
    """
    writer = connection._writer  # noqa: SLF001 - the driver does not tell of a reset otherwise
    return writer is not None and not writer.transport.is_closing()


async def _is_usable(connection: AbstractConnection) -> bool:
    """Returns whether an idle connection still stands and the server is in step with it.

    Data or an end of file on an idle connection mean that the server has gone or is out of step.
    """
    return stands(connection) and not await connection.can_read()


def check_address(address: Address) -> None:
    """Raises ConfigInvalid, which never holds the URL, where no connection can be made of it."""
    try:
        if address.nodes is None:
            _Direct(address, {}).made()
    except Failure:
        fix = "the driver takes no such URL: write redis://HOST:PORT/DATABASE"
        raise ConfigInvalid(ConfigProblem("", 0, "redis.url", fix)) from None


def _connector(address: Address, connect_timeout_s: float) -> Connector:
    options: dict[str, Any] = {
        "socket_connect_timeout": connect_timeout_s,
        "socket_timeout": None,  # the client times the whole exchange
        "protocol": 2,
        "driver_info": None,  # would cost two round trips per connection
    }
    if address.nodes is None:
        return _Direct(address, options)
    if address.is_cluster:
        return ByCluster(address.nodes, address.slot, options)
    return BySentinel(address.nodes, options)


class _Direct:
    """A URL or a socket: a name is resolved for each connection."""

    def __init__(self, address: Address, options: dict[str, Any]) -> None:
        self._address = address
        self._options = options
        self._make: Callable[[], AbstractConnection] | None = None

    async def make(self) -> AbstractConnection:
        return self.made()

    def made(self) -> AbstractConnection:
        try:
            self._make = self._make or self._factory().make_connection
            return self._make()
        except (TypeError, ValueError, OSError, RedisError):
            # What the driver says may quote the URL.
            raise Failure(FailureKind.BAD_ADDRESS) from None

    def forget(self) -> None: ...

    async def close(self) -> None: ...

    def _factory(self) -> ConnectionPool:
        if self._address.socket:
            return ConnectionPool(
                connection_class=UnixDomainSocketConnection,
                path=self._address.socket,
                **self._options,
            )
        return ConnectionPool.from_url(self._address.url, **self._options)
