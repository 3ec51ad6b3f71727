"""The place of the store: a server, the master that Sentinels name, or a shard of a cluster."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    SSLConnection,
)
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import ConnectionError as DriverConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as DriverTimeout

from router.adapters.storage.link.failures import (
    Failure,
    FailureKind,
    is_cut_off,
    kind_of,
    told_kind,
)

SENTINEL_S: Final = 0.3
"""Time for one Sentinel to answer; then the next one is asked."""

_HASTY: Final = {"socket_connect_timeout": SENTINEL_S, "socket_timeout": SENTINEL_S}
_SILENT: Final = (FailureKind.AWAY, FailureKind.TIMEOUT)

Node = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Nodes:
    """Nodes to ask for the way, and how to sign in at the servers they name.

    service: the master's name at Sentinels; "" for a cluster. ca_file: "" for public authorities.
    """

    nodes: tuple[Node, ...]
    service: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    sentinel_username: str = ""
    sentinel_password: str = field(default="", repr=False)
    database: int = 0
    tls: bool = False
    ca_file: str = ""


@dataclass(frozen=True, slots=True)
class Address:
    """One of the three is set. slot: a name in the slot that a cluster is to be asked for."""

    url: str = field(default="", repr=False)
    socket: str = ""
    nodes: Nodes | None = None
    slot: str = ""

    @property
    def is_cluster(self) -> bool:
        return self.nodes is not None and not self.nodes.service


class Connector(Protocol):
    async def make(self) -> AbstractConnection:
        """Returns a connection that is not opened yet."""

    def forget(self) -> None:
        """Ask for the way again before the next connection."""

    async def close(self) -> None: ...


class BySentinel:
    def __init__(self, nodes: Nodes, options: dict[str, Any]) -> None:
        self._nodes = nodes
        self._options = options
        patience_s = min(SENTINEL_S, options["socket_connect_timeout"])
        self._sentinel = Sentinel(  # type: ignore[no-untyped-call]  # untyped in the driver
            list(nodes.nodes),
            sentinel_kwargs={
                "socket_connect_timeout": patience_s,
                "socket_timeout": patience_s,
                "retry": Retry(NoBackoff(), 0),  # the next Sentinel is asked
                "username": nodes.sentinel_username or None,
                "password": nodes.sentinel_password or None,
                **_tls(nodes, "ssl"),
            },
        )

    async def make(self) -> AbstractConnection:
        return _to(await self._find(), self._nodes, self._options)

    async def _find(self) -> Node:
        """Ask one Sentinel after the other; the one that knew is asked first the next time.

        The driver's `discover_master` does not tell Sentinels that know no master from silent ones.
        """
        sentinels, kinds = self._sentinel.sentinels, list[FailureKind]()
        for each in tuple(sentinels):
            try:
                masters: Any = await each.sentinel_masters()
            except (DriverConnectionError, DriverTimeout) as error:
                kinds.append(kind_of(error))
                continue
            state = masters.get(self._nodes.service)
            if state and self._sentinel.check_master_state(state, self._nodes.service):
                sentinels.remove(each)
                sentinels.insert(0, each)
                return state["ip"], int(state["port"])
        if len(kinds) < len(sentinels):
            raise Failure(FailureKind.NO_MASTER)
        raise _worst(kinds)

    def forget(self) -> None:
        """Sentinels are asked for each connection."""

    async def close(self) -> None:
        await self._sentinel.aclose()


class ByCluster:
    """All keys of the store are in one slot: the node that holds it is the only one called."""

    def __init__(self, nodes: Nodes, slot: str, options: dict[str, Any]) -> None:
        self._nodes = nodes
        self._slot = slot
        self._options = options
        self._order = deque(nodes.nodes)
        self._known: Node | None = None

    async def make(self) -> AbstractConnection:
        self._known = self._known or await self._find()
        return _to(self._known, self._nodes, self._options)

    async def _find(self) -> Node:
        """Ask one node after the other for the master of the slot."""
        kinds = list[FailureKind]()
        for node in tuple(self._order):
            try:
                found = await self._asked(node)
            except (RedisError, OSError) as error:
                kinds.append(_kind_of_cluster(error))
                continue
            if found is not None:
                return found
            kinds.append(FailureKind.CLUSTER_DOWN)
        raise _worst(kinds)

    async def _asked(self, node: Node) -> Node | None:
        """Returns None where the node knows no master of the slot.

        The driver's cluster client leaves connections open when it is cancelled.
        """
        connection = _to(node, self._nodes, self._options | _HASTY)
        try:
            async with asyncio.timeout(2 * SENTINEL_S):
                await connection.connect()  # type: ignore[no-untyped-call]  # untyped in the driver
                await connection.send_command("CLUSTER", "SLOTS")
                ranges = await connection.read_response()
        finally:
            await connection.disconnect(nowait=True)
        return _master_of(key_slot(self._slot.encode()), ranges, node)

    def forget(self) -> None:
        """Another node is asked first: the one that was may be cut off from the others."""
        self._known = None
        self._order.rotate(-1)

    async def close(self) -> None: ...


def _worst(kinds: list[FailureKind]) -> Failure:
    """Returns what a node told: it says more than the silence of another."""
    told = (kind for kind in kinds if kind not in _SILENT)
    return Failure(next(told, FailureKind.AWAY))


def _master_of(slot: int, ranges: Any, asked: Node) -> Node | None:
    """Returns the node; ranges: of CLUSTER SLOTS, where an empty host is that of the asked one."""
    for first, last, master, *_ in ranges:
        if first <= slot <= last:
            return (master[0] or b"").decode() or asked[0], int(master[1])
    return None


def _kind_of_cluster(error: Exception) -> FailureKind:
    """A node that is no cluster's refuses the question with an error that has no kind."""
    kind = told_kind(error)
    if kind is None:
        return FailureKind.AWAY if is_cut_off(error) else FailureKind.CLUSTER_DOWN
    return kind


def _to(named: Node, nodes: Nodes, options: dict[str, Any]) -> AbstractConnection:
    kind = SSLConnection if nodes.tls else Connection
    return kind(
        host=named[0],
        port=named[1],
        db=nodes.database,
        username=nodes.username or None,
        password=nodes.password or None,
        **_tls(nodes, None),
        **options,
    )


def _tls(nodes: Nodes, switch: str | None) -> dict[str, Any]:
    if not nodes.tls:
        return {}
    options: dict[str, Any] = {switch: True} if switch else {}
    return options | ({"ssl_ca_certs": nodes.ca_file} if nodes.ca_file else {})
