"""State that replicas share: cache, health, quota, tenants, sessions, claims, snapshots, the lease.

Methods raise `StorageUnavailable` when the store is away; other errors are named per method.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Literal, Protocol

from annotated_types import Ge, Le

from router.domain.bounds import WHOLE, Count
from router.domain.conversations import Conversation
from router.domain.records import (
    CachedAnswer,
    CacheKey,
    SessionTurn,
)
from router.domain.tenancy import NO_FACTS, ApiKey, KeyFacts
from router.domain.tenants import (
    LEASE_S,
    Orphan,
    QuotaLeft,
    Reservation,
    Tenant,
    TenantLimits,
    TenantUsage,
)
from router.ports.upstream import Embedding


class AnswerCache(Protocol):
    async def get(self, key: CacheKey) -> CachedAnswer | None: ...

    async def claim(
        self, key: CacheKey, owner: str, ttl_s: int
    ) -> tuple[CachedAnswer | None, bool]:
        """The answer, or whether this owner is the one to find it for all that ask the same.

        It is for as long as it renews, until it releases.
        """
        ...

    async def claimed(self, key: CacheKey) -> bool:
        """True while some request that claimed the key is being answered."""
        ...

    async def renew(self, owners: Mapping[str, str], ttl_s: int) -> None:
        """Extend claims, owners by exact key; what another owns it leaves as it is."""
        ...

    async def release(self, key: CacheKey, owner: str) -> None:
        """Does nothing for another owner's claim."""
        ...

    async def similar(
        self, key: CacheKey, embedding: Embedding, threshold: float
    ) -> tuple[CachedAnswer, float] | None:
        """The nearest answer of the same partition with cosine similarity >= threshold."""
        ...

    async def put(
        self, key: CacheKey, embedding: Embedding | None, cached: CachedAnswer, ttl_s: int
    ) -> None: ...

    async def evict(self, exact: str, partition: str) -> None: ...


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """Conversations, which are recognised by their messages."""

    tool_loops: Literal["locked", "free"] = "locked"
    """Who answers a conversation that ends in tool results: `locked`: the deployment that asked for
    the tools, while it is well; `free`: whom the policy chooses."""
    remember_s: Count = 3_600
    """How long a conversation is known after an answer."""


class Conversations(Protocol):
    """Conversations by the hash of their messages up to an answer; kept by tenant."""

    async def find(
        self, keys: Sequence[str], deployments: Sequence[str]
    ) -> Sequence[Conversation | None]:
        """Returns them in the order asked; None for what is not known, or can't be read.

        deployments: those that there are; nothing is told of others.
        """
        ...

    async def keep(self, key: str, conversation: Conversation, ttl_s: int) -> None: ...


class Health(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class HealthPolicy:
    """The circuit breaker of each deployment."""

    failures: Count = 3
    """Failures in a row that open a deployment's circuit."""
    cooldown_ms: Count = 5_000
    """How long an open circuit waits before one request probes the deployment."""
    max_cooldown_ms: Count = 60_000
    """Longest cooldown: it doubles with each failed probe."""
    max_retry_after_ms: Annotated[int, WHOLE, Ge(0), Le(3_600_000)] = 3_600_000
    """Longest pause that a provider's Retry-After is granted; no request probes it meanwhile."""
    probe_ms: Count = 10_000
    """How long a probe may take before another request may probe."""


class HealthBoard(Protocol):
    """Shared circuit breaker per deployment: consecutive failures, cooldown, half-open probe."""

    async def states(self, deployments: Sequence[str]) -> Mapping[str, Health]:
        """OPEN while cooling down or while another caller's probe is under way."""
        ...

    async def admit(self, deployment: str) -> bool:
        """True when closed, or when half-open and this caller got the one probe."""
        ...

    async def succeeded(self, deployment: str) -> None: ...

    async def failed(self, deployment: str, retry_after_ms: int | None = None) -> None:
        """A Retry-After opens the circuit at once for at least that long (capped)."""
        ...

    async def give_back(self, deployment: str) -> None:
        """A probe ended without telling anything: the next caller may probe at once."""
        ...


class QuotaKeeper(Protocol):
    """Reservations are short leases by the store's clock, which their living owner renews."""

    async def reserve(
        self, tenant: Tenant, reservation: Reservation, *, admitted: bool = False
    ) -> QuotaLeft:
        """Take one request, tokens and cost, all or nothing. Raises QuotaExceeded.

        admitted: some router has let it in already, so its cost is taken whatever the limits are.

        Reserving the same id again takes only what it lacks: nothing, or the difference to a
        larger bound (an allowance that is topped up). After it was settled, or charged as an
        orphan, it takes nothing: quota that is leased anew needs a new id.
        """
        ...

    async def settle(self, reservation: Reservation, tokens: int, cost_usd: float) -> QuotaLeft:
        """Replace the reservation by what was really used; a second call changes nothing.

        One that was charged as an orphan is corrected. An id of which nothing is known changes
        nothing where it was `held`, and is charged once where it was not.
        """
        ...

    async def renew(
        self, reservations: Sequence[Reservation], ttl_s: float = LEASE_S
    ) -> Sequence[str]:
        """Extend the leases. Returns the ids that are not held (settled, or orphaned meanwhile)."""
        ...

    async def usage(self, tenant: Tenant) -> TenantUsage: ...

    async def settle_orphans(self, most: int, *, tenant: str = "") -> Sequence[Orphan]:
        """Charge reservations whose lease has lapsed at what was expected, `most` at once.

        Each is charged once, whoever calls at the same time. tenant: only of this one, also
        those whose lease lapsed a moment ago; "" for everybody's, a while after it lapsed.
        """
        ...


class TenantLookup(Protocol):
    """The part of the directory that a request needs."""

    async def find(self, key_hash: str) -> Tenant | None:
        """Raises KeyExpired."""
        ...

    async def show(self, name: str) -> Tenant:
        """Raises TenantNotFound."""
        ...


class TenantDirectory(TenantLookup, Protocol):
    async def create(self, tenant: Tenant, key_hash: str, facts: KeyFacts = NO_FACTS) -> None:
        """Raises TenantExists."""
        ...

    async def rotate(self, name: str, key_hash: str, facts: KeyFacts = NO_FACTS) -> None:
        """The new key works, the old ones stop at once. Raises TenantNotFound."""
        ...

    async def revoke(self, name: str) -> int:
        """All keys stop, and are counted; the tenant and its usage stay. Raises TenantNotFound."""
        ...

    async def add_key(self, name: str, key_hash: str, facts: KeyFacts = NO_FACTS) -> None:
        """The new key works beside the old ones. Raises TenantNotFound, TooManyKeys."""
        ...

    async def keys(self, name: str) -> Sequence[ApiKey]:
        """The oldest first, expired ones included. Raises TenantNotFound."""
        ...

    async def revoke_key(self, name: str, beginning: str) -> ApiKey:
        """Stop the one key whose hash begins so. Raises TenantNotFound, KeyNotFound."""
        ...

    async def delete(self, name: str) -> None:
        """Remove the tenant and its keys; nothing where there is none."""
        ...

    async def now_ms(self) -> int:
        """Return the time since the epoch by the store's clock, which keys expire by."""
        ...

    async def limit(self, name: str, limits: TenantLimits) -> None:
        """Raises TenantNotFound."""
        ...

    async def list(self) -> Sequence[Tenant]:
        """Every tenant, revoked ones included, by name."""
        ...


class Sessions(Protocol):
    async def swap(
        self, tenant: str, session_id: str, turn: SessionTurn, ttl_s: int
    ) -> SessionTurn | None:
        """Store the newest turn, return the one before it."""
        ...


class ClaimState(StrEnum):
    NEW = "new"
    RUNNING = "running"
    DONE = "done"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class Claim:
    state: ClaimState
    payload: bytes = b""


@dataclass(frozen=True, slots=True)
class ClaimKey:
    """A tenant's idempotency key. owner: id of the request that holds or wants it."""

    tenant: str
    key: str
    owner: str


class Idempotency(Protocol):
    """Only a claim's owner can finish or release it; for anybody else both do nothing."""

    async def claim(self, key: ClaimKey, fingerprint: str, ttl_s: int) -> Claim:
        """NEW for the first owner, who must finish or release; CONFLICT: other fingerprint.

        ttl_s: how long the claim of an owner that crashed blocks the others.
        """
        ...

    async def renew(self, keys: Sequence[ClaimKey], ttl_s: int = LEASE_S) -> None:
        """Extend claims that run; for those of another owner it does nothing."""
        ...

    async def finish(
        self, key: ClaimKey, payload: bytes, ttl_s: int, fingerprint: str = ""
    ) -> None:
        """Keep the payload. fingerprint: a claim that lapsed and is free is taken again with it."""
        ...

    async def release(self, key: ClaimKey) -> None: ...


@dataclass(frozen=True, slots=True)
class StoredSnapshot:
    """A published snapshot. position: the last event that `payload` has learned.

    mark: of the log up to there, see `EventLog.marks`; "" where it is not known.
    """

    version: int
    position: str
    payload: bytes
    mark: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class SnapshotName:
    """Versions may come again after the store has lost some: marks then differ."""

    version: int = 0
    mark: str = ""


class SnapshotStore(Protocol):
    async def latest(self) -> SnapshotName:
        """Version 0 when none was published."""
        ...

    async def latest_version(self) -> int:
        """0 when none was published."""
        ...

    async def load(self, version: int | None = None) -> StoredSnapshot | None:
        """The newest by default; None for one that is not kept."""
        ...

    async def positions(self) -> Mapping[int, str]:
        """Position by version, of the snapshots that are kept."""
        ...

    async def publish(self, snapshot: StoredSnapshot, fence: int) -> bool:
        """Atomic; False when the fence is stale (the lease was lost).

        False besides when the log is another one than the snapshot's mark says.
        """
        ...


class Lease(Protocol):
    """The right to learn, of one holder at most. The fence grows with every new holder."""

    async def acquire(self, owner: str, ttl_ms: int) -> int | None:
        """The fence, also when `owner` holds it already (renewed); None when another does."""
        ...

    async def release(self, owner: str) -> None: ...
