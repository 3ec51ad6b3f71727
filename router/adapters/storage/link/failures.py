"""The kinds of failure of a store: a driver's error is classified here, once."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Iterator
from enum import StrEnum
from typing import Final

from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ConnectionError,  # noqa: A004 - the driver's
    InvalidResponse,
    NoPermissionError,
    RedisError,
    ResponseError,
)
from redis.exceptions import TimeoutError as DriverTimeout


class FailureKind(StrEnum):
    AWAY = "away"
    TIMEOUT = "timeout"
    NAME_UNKNOWN = "name_unknown"
    BAD_ADDRESS = "bad_address"
    NO_MASTER = "no_master"
    PASSWORD_REFUSED = "password_refused"  # noqa: S105 - no password
    NOT_PERMITTED = "not_permitted"
    SCRIPTING_DENIED = "scripting_denied"
    TLS_NOT_TRUSTED = "tls_not_trusted"
    TLS_EXPECTED = "tls_expected"
    TLS_NOT_SPOKEN = "tls_not_spoken"
    PROTECTED_MODE = "protected_mode"
    TOO_MANY_CLIENTS = "too_many_clients"
    VERSION_TOO_OLD = "version_too_old"
    MEMORY_FULL = "memory_full"
    NOT_PERSISTING = "not_persisting"
    READ_ONLY = "read_only"
    TOO_FEW_REPLICAS = "too_few_replicas"
    LOADING = "loading"
    MASTER_DOWN = "master_down"
    UNBLOCKED = "unblocked"
    WRONG_NODE = "wrong_node"
    CLUSTER_DOWN = "cluster_down"
    NOT_CLUSTER = "not_cluster"
    SENTINEL_PORT = "sentinel_port"
    NOT_SENTINEL = "not_sentinel"
    WRONG_DATABASE = "wrong_database"
    BUSY_SCRIPT = "busy_script"
    NOT_REDIS = "not_redis"
    REFUSED = "refused"
    """Anything else that the server answered."""


ADVICE: Final = {
    FailureKind.AWAY: "nothing answers at its address, or the connection breaks",
    FailureKind.TIMEOUT: "it takes longer than redis.timeout_ms",
    FailureKind.NAME_UNKNOWN: "the name of its host leads nowhere",
    FailureKind.BAD_ADDRESS: "no connection can be made of its URL: look for a mistyped option",
    FailureKind.NO_MASTER: "no Sentinel names a master of redis.sentinel.service",
    FailureKind.PASSWORD_REFUSED: "it wants another user name or password: correct them",
    FailureKind.NOT_PERMITTED: "its ACL denies this user a command or our keys (ar:*)",
    FailureKind.SCRIPTING_DENIED: "this user needs EVAL and EVALSHA (ACL +@scripting)",
    FailureKind.TLS_NOT_TRUSTED: "its certificate is not trusted: name its authority",
    FailureKind.TLS_EXPECTED: "it expects TLS: write rediss:// (or tls: true)",
    FailureKind.TLS_NOT_SPOKEN: "it speaks no TLS: write redis:// (or tls: false)",
    FailureKind.PROTECTED_MODE: "it is in protected mode: give it a password",
    FailureKind.TOO_MANY_CLIENTS: "it takes no more connections: raise its maxclients",
    FailureKind.VERSION_TOO_OLD: "Redis 8 or newer is needed",
    FailureKind.MEMORY_FULL: "its memory is full: raise maxmemory, or keep less",
    FailureKind.NOT_PERSISTING: "it can't write to its disk and takes no writes: free its disk",
    FailureKind.READ_ONLY: "it is a replica: its address must lead to the master",
    FailureKind.TOO_FEW_REPLICAS: "it lacks the replicas that min-replicas-to-write asks for",
    FailureKind.LOADING: "it loads its data",
    FailureKind.MASTER_DOWN: "it is a replica that has lost its master",
    FailureKind.UNBLOCKED: "it changes its role",
    FailureKind.WRONG_NODE: "it is a node of a cluster: name the cluster in redis.cluster.nodes",
    FailureKind.CLUSTER_DOWN: "its cluster is down",
    FailureKind.NOT_CLUSTER: "it is no node of a cluster: name it in redis.url",
    FailureKind.SENTINEL_PORT: "it is a Sentinel: name it in redis.sentinel.nodes",
    FailureKind.NOT_SENTINEL: "it is no Sentinel: name it in redis.url, or Sentinels in its place",
    FailureKind.WRONG_DATABASE: "it has no database of this number: name another, 0 in a cluster",
    FailureKind.BUSY_SCRIPT: "a script holds it up",
    FailureKind.NOT_REDIS: "what answers there does not speak Redis's protocol",
    FailureKind.REFUSED: "it refuses a command",
}

ELSEWHERE: Final = frozenset(
    {
        FailureKind.READ_ONLY,
        FailureKind.TOO_FEW_REPLICAS,
        FailureKind.LOADING,
        FailureKind.MASTER_DOWN,
        FailureKind.UNBLOCKED,
        FailureKind.WRONG_NODE,
        FailureKind.CLUSTER_DOWN,
        FailureKind.PROTECTED_MODE,
        FailureKind.TOO_MANY_CLIENTS,
    }
)
"""Replies that say: not executed, and not by this node. Another connection may lead elsewhere."""

LASTING: Final = frozenset(
    {
        FailureKind.BAD_ADDRESS,
        FailureKind.PASSWORD_REFUSED,
        FailureKind.NOT_PERMITTED,
        FailureKind.SCRIPTING_DENIED,
        FailureKind.TLS_NOT_TRUSTED,
        FailureKind.TLS_EXPECTED,
        FailureKind.TLS_NOT_SPOKEN,
        FailureKind.NOT_CLUSTER,
        FailureKind.SENTINEL_PORT,
        FailureKind.NOT_SENTINEL,
        FailureKind.WRONG_DATABASE,
        FailureKind.NOT_REDIS,
        FailureKind.REFUSED,
    }
)
"""Trying again within a call's time does not help."""

_BY_WORD: Final = {
    "OOM": FailureKind.MEMORY_FULL,
    "MISCONF": FailureKind.NOT_PERSISTING,
    "READONLY": FailureKind.READ_ONLY,
    "NOREPLICAS": FailureKind.TOO_FEW_REPLICAS,
    "LOADING": FailureKind.LOADING,
    "MASTERDOWN": FailureKind.MASTER_DOWN,
    "UNBLOCKED": FailureKind.UNBLOCKED,
    "MOVED": FailureKind.WRONG_NODE,
    "ASK": FailureKind.WRONG_NODE,
    "TRYAGAIN": FailureKind.WRONG_NODE,
    "CROSSSLOT": FailureKind.WRONG_NODE,
    "CLUSTERDOWN": FailureKind.CLUSTER_DOWN,
    "BUSY": FailureKind.BUSY_SCRIPT,
    "DENIED": FailureKind.PROTECTED_MODE,
    "WRONGPASS": FailureKind.PASSWORD_REFUSED,
    "NOAUTH": FailureKind.PASSWORD_REFUSED,
    "NOPERM": FailureKind.NOT_PERMITTED,
}
_SCRIPTING: Final = re.compile(r"'(eval|evalsha|script)(\||')", re.IGNORECASE)
_UNKNOWN: Final = re.compile(r"unknown command '?`?(evalsha|eval|cluster|sentinel)", re.IGNORECASE)
_BY_UNKNOWN: Final = {
    "cluster": FailureKind.NOT_CLUSTER,
    "sentinel": FailureKind.NOT_SENTINEL,
}
_CHAIN: Final = 8


def kind_of(error: BaseException) -> FailureKind:
    """Returns the kind that the error, or the one it came from, tells of."""
    found = told_kind(error)
    if found is not None:
        return found
    return FailureKind.REFUSED if isinstance(error, ResponseError) else FailureKind.AWAY


def told_kind(error: BaseException) -> FailureKind | None:
    """Returns the same; None where neither tells of any."""
    kinds = (_kind(each) for each in _chain(error))
    return next((kind for kind in kinds if kind is not None), None)


def is_cut_off(error: BaseException) -> bool:
    """Returns whether it came of a connection that could not be made, or broke."""
    return any(isinstance(each, (OSError, ConnectionError)) for each in _chain(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    each: BaseException | None = error
    for _ in range(_CHAIN):
        if each is None:
            return
        yield each
        each = each.__cause__ or each.__context__


def _kind(error: BaseException) -> FailureKind | None:
    if isinstance(error, Failure):
        return error.kind
    if isinstance(error, (ssl.SSLError, InvalidResponse, socket.gaierror)):
        return _of_wire(error)
    if isinstance(error, (TimeoutError, asyncio.TimeoutError, DriverTimeout)):
        return FailureKind.TIMEOUT
    return _of_reply(error) if isinstance(error, RedisError) else None


def _of_wire(error: BaseException) -> FailureKind:
    if isinstance(error, socket.gaierror):
        return FailureKind.NAME_UNKNOWN
    if isinstance(error, ssl.SSLCertVerificationError):
        return FailureKind.TLS_NOT_TRUSTED
    if isinstance(error, ssl.SSLError):
        told = error.reason or ""
        plain = {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "UNKNOWN_PROTOCOL"}
        return FailureKind.TLS_NOT_SPOKEN if told in plain else FailureKind.TLS_NOT_TRUSTED
    # A TLS alert begins with this byte.
    return FailureKind.TLS_EXPECTED if "x15" in str(error) else FailureKind.NOT_REDIS


def _of_reply(error: RedisError) -> FailureKind | None:
    text = str(error)
    if isinstance(error, NoPermissionError):
        return (
            FailureKind.SCRIPTING_DENIED if _SCRIPTING.search(text) else FailureKind.NOT_PERMITTED
        )
    if isinstance(error, AuthenticationError):
        return FailureKind.PASSWORD_REFUSED
    if isinstance(error, BusyLoadingError):
        return FailureKind.LOADING
    word = getattr(error, "status_code", None) or text.partition(" ")[0]
    return _BY_WORD.get(str(word)) or _of_words(text)


def _of_words(text: str) -> FailureKind | None:
    if "max number of clients" in text:
        return FailureKind.TOO_MANY_CLIENTS
    if "ACL failure" in text:  # of a command that a script calls
        return FailureKind.NOT_PERMITTED
    if "acl_check_cmd" in text:  # it knows no HSETEX
        return FailureKind.VERSION_TOO_OLD
    if "DB index" in text or "SELECT is not allowed" in text or text == "Invalid Database":
        return FailureKind.WRONG_DATABASE
    if "cluster support disabled" in text:
        return FailureKind.NOT_CLUSTER
    unknown = _UNKNOWN.search(text)
    return _BY_UNKNOWN.get(unknown[1].lower(), FailureKind.SCRIPTING_DENIED) if unknown else None


class Failure(RedisError):
    """A failure whose kind was found out otherwise than from a driver's error."""

    def __init__(self, kind: FailureKind, message: str = "") -> None:
        super().__init__(message or kind.value)
        self.kind = kind
