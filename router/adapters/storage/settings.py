"""Settings of the storage."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from router.adapters.storage.link.address import Nodes
from router.ports.state import HealthPolicy

AppendFsync: TypeAlias = Literal["always", "everysec"]

MIN_VERSION = 8
"""The first Redis that sets fields which expire, by HSETEX."""
DAY_S = 86_400
GRACE_S = 3_600
"""A decision outlives its join window by this, so that what silence stands for finds it."""


@dataclass(frozen=True, slots=True)
class CacheBounds:
    """max_entries_per_partition: wordings kept per partition, 16 at most; the oldest leave first.

    max_entry_bytes: a longer answer is not cached.
    """

    max_entries_per_partition: int = 1_000
    max_entry_bytes: int = 262_144


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageSettings:
    """url: "" starts a private redis-server; else `redis://`, `rediss://` or `unix://`.

    nodes: Sentinels or nodes of a cluster, in place of a URL. prefix: with a hash tag in a cluster.
    data_dir: of the private server; None for the user's data directory.
    appendfsync: "always" acknowledges a write when it is on disk, "everysec" may lose a second.
    pool_size: connections at most. timeout_ms: for one call, waiting for a connection included.
    start_timeout_ms: for the private server to load its data.
    join_window_s: how long after a decision feedback is taken.
    default_quality: of decisions that had no feedback when the window closed; None for nothing.
    retention_s: how long a decision can be read and reported on; never less than the join window.
    max_events: unlearned events at which new requests are refused; those under way may add theirs.
    keep_events: learned events that stay besides, to be exported, evaluated and explained; more
    where as many came after the oldest snapshot that is kept.
    """

    url: str = field(default="", repr=False)
    nodes: Nodes | None = None
    data_dir: Path | None = None
    prefix: str = "ar:"
    appendfsync: AppendFsync = "always"
    pool_size: int = 8
    timeout_ms: float = 1_000
    start_timeout_ms: float = 30_000
    join_window_s: float = DAY_S
    default_quality: float | None = None
    retention_s: float = 7 * DAY_S
    max_events: int = 1_000_000
    keep_events: int = 100_000
    keep_snapshots: int = 5
    cache: CacheBounds = field(default_factory=CacheBounds)
    health: HealthPolicy = field(default_factory=HealthPolicy)

    @property
    def keep_decisions_s(self) -> int:
        return int(max(self.retention_s, self.join_window_s + GRACE_S))
