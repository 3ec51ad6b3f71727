"""A bounded set of connections, kept open between calls.

The driver's own pools take a lock, publish events and record metrics on every call; this one only
checks that a connection is still good.
"""

from __future__ import annotations

import asyncio

from redis.asyncio.connection import AbstractConnection

from router.adapters.storage.address import Address, connector

CLOSE_S = 1.0


class Pool:
    """Every connection that is taken is given back. Errors are the driver's.

    Raises ConfigInvalid for an address that can't be one.
    """

    def __init__(self, address: Address, size: int, connect_timeout_s: float) -> None:
        self._connector = connector(address, connect_timeout_s)
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
        return await self._connector.connect()


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
