"""The learner's lease, and snapshots published behind its fence."""

from __future__ import annotations

from collections.abc import Mapping

from router.adapters.storage.client import Client, load
from router.adapters.storage.events import NewEpoch
from router.adapters.storage.keys import Keys
from router.ports.state import SnapshotName, StoredSnapshot

_ACQUIRE = load("lease_acquire")
_RELEASE = load("lease_release")
_LOAD = load("snapshot_load")
_LATEST = load("snapshot_latest")
_PUBLISH = load("marks_common", "snapshot_publish")


class RedisLease:
    """Implements `router.ports.state.Lease`."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    async def acquire(self, owner: str, ttl_ms: int) -> int | None:
        fence: int | None = await self._client.script(
            _ACQUIRE, [self._keys.lease, self._keys.fence], owner, ttl_ms
        )
        return fence

    async def held_since_ms(self) -> int | None:
        """Return since when its holder has it, by the server's clock; None without a holder."""
        held, fence = await self._client.call_many(
            [("EXISTS", self._keys.lease), ("GET", self._keys.fence)]
        )
        return int(fence or 0) // 1_000 if held else None

    async def release(self, owner: str) -> None:
        await self._client.script(_RELEASE, [self._keys.lease], owner)


class RedisSnapshotStore:
    """Implements `router.ports.state.SnapshotStore`. keep: how many snapshots stay."""

    def __init__(self, client: Client, keys: Keys, keep: int, epochs: NewEpoch) -> None:
        self._client = client
        self._keys = keys
        self._keep = keep
        self._epochs = epochs

    async def latest(self) -> SnapshotName:
        keys = [self._keys.latest, self._keys.snapshots]
        version, mark = await self._client.script(_LATEST, keys)
        return SnapshotName(int(version), mark.decode())

    async def latest_version(self) -> int:
        return int(await self._client.call("GET", self._keys.latest) or 0)

    async def load(self, version: int | None = None) -> StoredSnapshot | None:
        keys = [self._keys.latest, self._keys.snapshots]
        found = await self._client.script(_LOAD, keys, "" if version is None else version)
        if not found:
            return None
        number, position, payload, mark = found
        return StoredSnapshot(int(number), position.decode(), payload, mark.decode())

    async def positions(self) -> Mapping[int, str]:
        fields = await self._client.call("HKEYS", self._keys.snapshots)
        named = [field for field in fields if field.endswith(b":position")]
        if not named:
            return {}
        found = await self._client.call("HMGET", self._keys.snapshots, *named)
        pairs = zip(named, found, strict=True)
        return {int(n.split(b":")[0]): p.decode() for n, p in sorted(pairs) if p is not None}

    async def publish(self, snapshot: StoredSnapshot, fence: int) -> bool:
        """False besides for a version that is not newer than the newest."""
        keys = self._keys
        places = [keys.latest, keys.snapshots, keys.fence, keys.events, keys.epoch]
        content = (snapshot.version, snapshot.position, snapshot.payload)
        rest = (fence, self._keep, snapshot.mark, self._epochs())
        return bool(await self._client.script(_PUBLISH, places, *content, *rest))
