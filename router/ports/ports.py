"""The seams of the service: each port has one contract suite that every adapter passes.

Methods raise `StorageUnavailable` when the store is away; other errors are named per method.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from router.domain.catalog import Deployment
from router.domain.chat import Answer, ChatRequest, Delta, ToolCall
from router.domain.events import Audited, Event, PolicyChanged, PolicyCommand
from router.domain.records import (
    CachedAnswer,
    CacheKey,
    DecisionRecord,
    FeedbackReport,
    OutcomeReport,
    SessionTurn,
)
from router.domain.tenants import QuotaLeft, Reservation, Tenant, TenantLimits

Embedding: TypeAlias = NDArray[np.float32]
Clock: TypeAlias = Callable[[], float]
"""Seconds since the epoch."""
Ids: TypeAlias = Callable[[], str]


class Embedder(Protocol):
    async def embed(self, text: str) -> Embedding:
        """(384,), unit norm. Raises Overloaded when the queue is full."""
        ...

    def known(self, text: str) -> Embedding | None:
        """What `embed` would give, if it need not be computed."""
        ...

    def whole(self, text: str) -> bool:
        """Whether all of the text went into its embedding; False where that is not known."""
        ...


class Provider(Protocol):
    """One wire protocol; serves any deployment that names it. Raises ProviderError only.

    A cancellation whose cause is a ProviderError ended a call of which nothing had been sent.
    """

    async def complete(
        self, deployment: Deployment, request: ChatRequest, timeout_ms: float
    ) -> Answer: ...

    def stream(
        self, deployment: Deployment, request: ChatRequest, timeout_ms: float
    ) -> AsyncGenerator[Delta | Answer]:
        """Deltas as they come, then the whole Answer as the last item.

        Closing the iterator cancels the upstream call.
        """
        ...


@dataclass(frozen=True, slots=True)
class Case:
    """An answer to be scored. reference: what is right, where that is known. id: "" for none."""

    chat: ChatRequest
    arm: str
    answer: str
    tool_calls: tuple[ToolCall, ...] = ()
    reference: Any = None
    id: str = ""


class Verifier(Protocol):
    """Somebody else's program that can tell whether an answer is good."""

    async def verify(self, case: Case, timeout_ms: float) -> float | None:
        """Quality in [0, 1]; None where it abstains. Raises VerifierFailed."""
        ...


class AnswerCache(Protocol):
    async def get(self, key: CacheKey) -> CachedAnswer | None: ...

    async def similar(
        self, key: CacheKey, embedding: Embedding, threshold: float
    ) -> tuple[CachedAnswer, float] | None:
        """The nearest answer of the same partition with cosine similarity >= threshold."""
        ...

    async def put(
        self, key: CacheKey, embedding: Embedding | None, cached: CachedAnswer, ttl_s: int
    ) -> None: ...

    async def evict(self, exact: str, partition: str) -> None: ...


class Health(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class HealthPolicy:
    """failures in a row open the circuit for cooldown_ms, doubling up to max_cooldown_ms."""

    failures: int = 3
    cooldown_ms: int = 5_000
    max_cooldown_ms: int = 60_000
    probe_ms: int = 10_000


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


class QuotaKeeper(Protocol):
    async def reserve(self, tenant: Tenant, reservation: Reservation) -> QuotaLeft:
        """Take one request, tokens and cost, all or nothing. Raises QuotaExceeded.

        Reserving the same id twice takes once; after it was settled it takes nothing.
        """
        ...

    async def settle(self, reservation: Reservation, tokens: int, cost_usd: float) -> QuotaLeft:
        """Replace the reservation by what was really used; a second call changes nothing."""
        ...


class TenantDirectory(Protocol):
    async def find(self, key_hash: str) -> Tenant | None: ...

    async def create(self, tenant: Tenant, key_hash: str) -> None:
        """Raises TenantExists."""
        ...

    async def rotate(self, name: str, key_hash: str) -> None:
        """The new key works, the old ones stop at once. Raises TenantNotFound."""
        ...

    async def revoke(self, name: str) -> None:
        """All keys stop; the tenant and its usage stay. Raises TenantNotFound."""
        ...

    async def limit(self, name: str, limits: TenantLimits) -> None:
        """Raises TenantNotFound."""
        ...

    async def show(self, name: str) -> Tenant:
        """Raises TenantNotFound."""
        ...

    async def list(self) -> Sequence[Tenant]:
        """Every tenant, revoked ones included, by name."""
        ...


class DecisionLog(Protocol):
    """Decisions by id, and the event stream they feed; each call is one atomic step."""

    async def record(self, record: DecisionRecord) -> None:
        """Keep it and, where it has a choice, append `Decided`.

        Never refused: what it tells of is paid for. `has_room` is asked before that.
        """
        ...

    async def has_room(self) -> bool:
        """False when the stream is at its bound: nothing unlearned is ever trimmed."""
        ...

    async def get(self, tenant: str, decision_id: str) -> DecisionRecord:
        """Raises DecisionNotFound for unknown, expired and foreign ids alike."""
        ...

    async def settle(self, record: DecisionRecord, report: OutcomeReport) -> bool:
        """Store the settled record of a DECIDE decision and append `Decided`.

        False when the same report was recorded before. Raises OutcomeConflict for another one,
        Overloaded when the stream is at its bound.
        """
        ...

    async def feedback(self, tenant: str, decision_id: str, report: FeedbackReport) -> bool:
        """Append `FeedbackGiven` once. False when the same value was recorded before.

        A correction with another value is appended with the value it replaces.

        Raises DecisionNotFound, FeedbackConflict (another value that is no correction),
        FeedbackTooLate, and Overloaded when the stream is at its bound.
        """
        ...

    async def reasked(self, decision_id: str, similarity: float, likeness: float) -> None:
        """Append `Reasked`, at most once per decision and not after its feedback."""
        ...

    async def audited(self, audit: Audited) -> None:
        """Append it, at most once per decision."""
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
class OnceKey:
    """A tenant's idempotency key. owner: id of the request that holds or wants it."""

    tenant: str
    key: str
    owner: str


class Idempotency(Protocol):
    """Only a claim's owner can finish or release it; for anybody else both do nothing."""

    async def claim(self, key: OnceKey, fingerprint: str, ttl_s: int) -> Claim:
        """NEW for the first owner, who must finish or release; CONFLICT: other fingerprint.

        ttl_s: how long the claim of an owner that crashed blocks the others.
        """
        ...

    async def finish(self, key: OnceKey, payload: bytes, ttl_s: int) -> None: ...

    async def release(self, key: OnceKey) -> None: ...


class EventLog(Protocol):
    """The learner's side of the stream."""

    async def read(self, after: str, max_events: int, wait_ms: int) -> Sequence[tuple[str, Event]]:
        """(position, event) in order, after a position ("0" for the start)."""
        ...

    async def records(self, decision_ids: Sequence[str]) -> Sequence[DecisionRecord | None]: ...

    async def position_of(self, decision_id: str) -> str | None:
        """Of the newest event that tells of a decision; None when there is or was none."""
        ...

    async def end(self) -> str | None:
        """Position of the newest event; None while the log holds none."""
        ...

    async def trim(self, position: str) -> None:
        """Tell that a published snapshot has consumed everything up to and including a position.

        Of what is consumed the newest events stay, as many as the storage keeps, and whatever came
        after the oldest snapshot that is kept.
        """
        ...

    async def backlog(self, after: str) -> int:
        """How many events wait after a position."""
        ...


class Defaults(Protocol):
    async def tell(self, most: int) -> int:
        """Append `FeedbackGiven(by_default=True)` once for decisions without feedback in time.

        At most so many; returns how many. From then on feedback on them is too late, by whatever
        clock. Does nothing where no default is declared.
        """
        ...


class PolicyLog(Protocol):
    """Who shall serve, who serves since when and why: events of the same stream."""

    async def command(self, command: PolicyCommand) -> str:
        """Append it; its position. Raises Overloaded when the stream is at its bound."""
        ...

    async def changed(self, change: PolicyChanged, fence: int) -> bool:
        """Append it, once per cause, and keep it among the newest.

        False when it was there before or the fence is stale.
        """
        ...

    async def changes(self) -> Sequence[PolicyChanged]:
        """The newest that are kept, newest first."""
        ...


@dataclass(frozen=True, slots=True)
class StoredSnapshot:
    """position: the last event that `payload` has learned."""

    version: int
    position: str
    payload: bytes


class SnapshotStore(Protocol):
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
        """Atomic; False when the fence is stale (the lease was lost)."""
        ...


class Lease(Protocol):
    """At most one learner. The fence grows with every new holder."""

    async def acquire(self, owner: str, ttl_ms: int) -> int | None:
        """The fence, also when `owner` holds it already (renewed); None when another does."""
        ...

    async def release(self, owner: str) -> None: ...
