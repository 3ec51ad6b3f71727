"""What a Redis server tells of itself, and what of it is wrong for a store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from uuid import uuid4

from router.adapters.storage.client import Client, load
from router.adapters.storage.keys import Keys
from router.adapters.storage.settings import MIN_VERSION

NEARLY_FULL: Final = 0.8
"""Share of `maxmemory`."""
MIB: Final = 1 << 20
PROBE_S: Final = 10
SECTIONS: Final = ("server", "memory", "persistence", "replication", "cluster")
_INFO = load("server_info")
_MAY = load("server_may")


class Unfit(StrEnum):
    VERSION = "version"
    REPLICA = "replica"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"
    EVICTION = "eviction"
    NO_LIMIT = "no_limit"
    NEARLY_FULL = "nearly_full"
    NOT_DURABLE = "not_durable"
    WRITE_FAILED = "write_failed"
    NOT_PERMITTED = "not_permitted"


@dataclass(frozen=True, slots=True)
class StoreFinding:
    """grave: the store loses data or refuses requests because of it."""

    what: Unfit
    text: str
    grave: bool = False


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a server has answered.

    info: of INFO, by name; empty where it is not permitted. refused: commands that failed when they
    were tried, with the first word of why. is_cluster: it was found as a node of the cluster named.
    saves: when it takes snapshots, "" for never; None where it was not asked or does not tell.
    """

    info: Mapping[str, str] = field(default_factory=dict)
    refused: Sequence[tuple[str, str]] = ()
    is_cluster: bool = False
    saves: str | None = None

    @property
    def used_bytes(self) -> int:
        return _number(self.info.get("used_memory"))

    @property
    def limit_bytes(self) -> int:
        """0 for none, or where the server does not tell."""
        return _number(self.info.get("maxmemory"))


def findings(facts: ServerFacts) -> list[StoreFinding]:
    """Returns what is wrong with a server, nothing of what it does not tell.

    >>> [str(found.what) for found in findings(ServerFacts())]
    []
    >>> told = {"redis_version": "8.2.1", "maxmemory": "100", "maxmemory_policy": "allkeys-lru"}
    >>> [str(found.what) for found in findings(ServerFacts(told))]
    ['eviction']
    """
    return [*_of_kind(facts), *_of_memory(facts), *_of_disk(facts), *_of_user(facts)]


def _of_kind(facts: ServerFacts) -> Iterator[StoreFinding]:
    info = facts.info
    version = info.get("redis_version", "")
    if version and _number(version.partition(".")[0]) < MIN_VERSION:
        yield _grave(Unfit.VERSION, f"Redis is version {version}: {MIN_VERSION} or newer is needed")
    if info.get("redis_mode") == "sentinel":
        yield _grave(Unfit.SENTINEL, "this is a Sentinel: name the server that it watches")
    elif info.get("role") == "slave":
        yield _grave(Unfit.REPLICA, "this is a replica, which takes no writes: name its master")
    if info.get("cluster_enabled") == "1" and not facts.is_cluster:
        text = "this is a node of a cluster: name the cluster in redis.cluster.nodes"
        yield _grave(Unfit.CLUSTER, text)


def _of_memory(facts: ServerFacts) -> Iterator[StoreFinding]:
    policy, limit = facts.info.get("maxmemory_policy", "noeviction"), facts.limit_bytes
    if policy != "noeviction":
        text = f"maxmemory-policy is {policy}, which drops tenants and decisions: set noeviction"
        yield StoreFinding(Unfit.EVICTION, text, grave=limit > 0)
    if facts.info.get("maxmemory") == "0":
        text = "maxmemory is not set: a full machine ends the server; set it below what there is"
        yield StoreFinding(Unfit.NO_LIMIT, text)
    elif limit and facts.used_bytes >= NEARLY_FULL * limit:
        text = (
            f"{facts.used_bytes // MIB} of {limit // MIB} MiB are used: raise maxmemory or lower "
            "redis.keep_decisions_s"
        )
        yield StoreFinding(Unfit.NEARLY_FULL, text)


def _of_disk(facts: ServerFacts) -> Iterator[StoreFinding]:
    info = facts.info
    if info.get("aof_enabled") == "0" and facts.saves == "":
        text = "nothing is written to disk, a restart loses everything: set appendonly yes"
        yield _grave(Unfit.NOT_DURABLE, text)
    elif info.get("aof_enabled") == "0":
        text = "appendonly is off: what was written since the last save ends with the server"
        yield StoreFinding(Unfit.NOT_DURABLE, text)
    states = ("aof_last_write_status", "aof_last_bgrewrite_status", "rdb_last_bgsave_status")
    if bad := [name for name in states if info.get(name, "ok") != "ok"]:
        yield StoreFinding(
            Unfit.WRITE_FAILED, f"the server can't write to its disk ({', '.join(bad)})"
        )


def _of_user(facts: ServerFacts) -> Iterator[StoreFinding]:
    if facts.refused:
        told = ", ".join(f"{name} ({why})" for name, why in facts.refused)
        yield _grave(Unfit.NOT_PERMITTED, f"commands that the router needs fail: {told}")


def _grave(what: Unfit, text: str) -> StoreFinding:
    return StoreFinding(what, text, grave=True)


def _number(text: str | None) -> int:
    return int(text) if text and text.isdigit() else 0


async def read_facts(client: Client) -> ServerFacts:
    """Ask a server. Raises StorageUnavailable."""
    told: bytes = await client.script(_INFO, [], *SECTIONS)
    lines = (line.partition(":") for line in told.decode(errors="replace").splitlines())
    info = {name: value for name, colon, value in lines if colon}
    return ServerFacts(info, is_cluster=client.address.is_cluster)


async def saves_of(client: Client) -> str | None:
    """Returns the server's setting `save`; None where this user may not ask."""
    [told] = await client.ask(("CONFIG", "GET", "save"))
    return told[1].decode(errors="replace") if isinstance(told, list) and len(told) > 1 else None


async def refused_commands(client: Client, keys: Keys) -> list[tuple[str, str]]:
    """Try every command on keys that are deleted again. Raises StorageUnavailable."""
    places = [keys.trial(f"{uuid4().hex}:{kind}") for kind in "shzxl"]
    told = [word.decode(errors="replace") for word in await client.script(_MAY, places, PROBE_S)]
    return list(zip(told[::2], told[1::2], strict=True))
