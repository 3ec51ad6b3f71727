"""What a probe of the store asks: the version once, then each time what a request needs."""

from __future__ import annotations

import logging
import re
from typing import Any, Final

from redis.exceptions import NoPermissionError, NoScriptError, RedisError

from router.adapters.storage.client import Client, load, refused
from router.adapters.storage.keys import Keys
from router.adapters.storage.link.failures import ADVICE, Failure, FailureKind, kind_of
from router.adapters.storage.link.tls_check import tls_mismatch
from router.adapters.storage.settings import MIN_VERSION
from router.domain.errors import ServerMissing

KEEP_MS: Final = 5_000
UNTOLD: Final = frozenset({FailureKind.NOT_PERMITTED, FailureKind.REFUSED})
SILENT: Final = frozenset({FailureKind.AWAY, FailureKind.TIMEOUT})
_PROBE = load("probe")
_DENIED: Final = re.compile(r"run the '([a-z|]{1,32})'", re.IGNORECASE)
_log = logging.getLogger(__name__)


class Probe:
    """Opens the client's circuit when the store can't do what a request needs, and closes it."""

    def __init__(self, client: Client, keys: Keys, *, is_cluster: bool = False) -> None:
        self._client = client
        self._key = keys.probe
        self._is_cluster = is_cluster
        self._known = False
        self._warned = False

    async def check(self) -> None:
        """Raises StorageUnavailable, or ServerMissing for a server older than 8."""
        error = await self._fault()
        if error is None:
            self._known = True
            self._client.circuit.close()
            return
        self._known = False
        kind = await self._kind(error)
        self._client.circuit.open(kind, _command_of(error))
        if kind is FailureKind.VERSION_TOO_OLD:
            raise ServerMissing(str(error) if isinstance(error, Failure) else ADVICE[kind])
        raise refused(kind)

    async def _kind(self, error: RedisError) -> FailureKind:
        kind, told = kind_of(error), self._client.circuit.kind
        if kind not in SILENT or kind is told:
            return kind
        if told in {FailureKind.TLS_EXPECTED, FailureKind.TLS_NOT_SPOKEN}:
            return told
        return await tls_mismatch(self._client.address) or kind

    async def _fault(self) -> RedisError | None:
        if not self._known and (error := await self._wrong_server()):
            return error
        written = await self._written("EVALSHA", _PROBE.sha)
        if isinstance(written, NoScriptError):
            written = await self._written("EVAL", _PROBE.source)
        if isinstance(written, RedisError):
            return written
        denied = f"run the '{written.decode().lower()}'"
        return NoPermissionError(denied) if written else None

    async def _written(self, command: str, script: str | bytes) -> Any:
        [reply] = await self._client.ask((command, script, 1, self._key, "1", KEEP_MS))
        return reply

    async def _wrong_server(self) -> RedisError | None:
        """Returns what is wrong with the kind of server; one that does not tell is taken."""
        told = await self._told()
        if isinstance(told, RedisError):
            return told
        mode, version = told.get("redis_mode", ""), told.get("redis_version", "")
        if mode == "sentinel":
            return Failure(FailureKind.SENTINEL_PORT)
        if mode == "cluster" and not self._is_cluster:
            return Failure(FailureKind.WRONG_NODE)
        if version and _major(version) < MIN_VERSION:
            fix = f"the Redis server is version {version}: {MIN_VERSION} or newer is needed"
            return Failure(FailureKind.VERSION_TOO_OLD, fix)
        return None

    async def _told(self) -> dict[str, str] | RedisError:
        [info] = await self._client.ask(("INFO", "server"))
        if isinstance(info, bytes):
            lines = (line.partition(":") for line in info.decode(errors="replace").splitlines())
            return {name: value for name, _, value in lines}
        if isinstance(info, RedisError) and kind_of(info) not in UNTOLD:
            return info
        [hello] = await self._client.ask(("HELLO",))
        if isinstance(hello, RedisError):
            if not self._warned:
                _log.warning("the storage's version is not told: INFO and HELLO are denied")
            self._warned = True
            return {}
        words = [word.decode() if isinstance(word, bytes) else "" for word in hello]
        named = dict(zip(words[::2], words[1::2], strict=False))
        return {"redis_mode": named.get("mode", ""), "redis_version": named.get("version", "")}


def _major(version: str) -> int:
    found = re.match(r"\d+", version)
    return int(found[0]) if found else MIN_VERSION


def _command_of(error: RedisError) -> str:
    """Returns the command that an ACL denies; "" where it does not say."""
    found = _DENIED.search(str(error))
    return found[1].upper() if found else ""
