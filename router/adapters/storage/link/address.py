"""The place of the store: a server, the master that Sentinels name, or a shard of a cluster."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    SSLConnection,
)
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as DriverConnectionError
from redis.exceptions import RedisClusterException, RedisError
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
        told = (kind for kind in kinds if kind not in _SILENT)
        raise Failure(next(told, FailureKind.AWAY))

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
        self._known: Node | None = None

    async def make(self) -> AbstractConnection:
        self._known = self._known or await self._find()
        return _to(self._known, self._nodes, self._options)

    async def _find(self) -> Node:
        cluster = RedisCluster(
            startup_nodes=[ClusterNode(host, port) for host, port in self._nodes.nodes],
            require_full_coverage=False,
            username=self._nodes.username or None,
            password=self._nodes.password or None,
            socket_connect_timeout=SENTINEL_S,
            socket_timeout=SENTINEL_S,
            retry=Retry(NoBackoff(), 0),  # the next node is asked
            **_tls(self._nodes, "ssl"),
        )
        try:
            await cluster.initialize()
            node = cluster.get_node_from_key(self._slot)
        except (RedisClusterException, RedisError) as error:
            raise Failure(_kind_of_cluster(error)) from error
        finally:
            await cluster.aclose()
        if node is None:
            raise Failure(FailureKind.CLUSTER_DOWN)
        return node.host, int(node.port)

    def forget(self) -> None:
        self._known = None

    async def close(self) -> None: ...


def _kind_of_cluster(error: Exception) -> FailureKind:
    kind = told_kind(error)
    if kind is None:
        return FailureKind.AWAY if is_cut_off(error) else FailureKind.CLUSTER_DOWN
    return FailureKind.AWAY if kind is FailureKind.TIMEOUT else kind


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
