"""The log of decisions and events that the learner reads.

Methods raise `StorageUnavailable` when the store is away; other errors are named per method.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from router.domain.events import Audited, Event, EvidenceBought, PolicyChanged, PolicyCommand
from router.domain.records import (
    DecisionRecord,
    FeedbackReceipt,
    FeedbackReport,
    OutcomeReport,
)


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

    async def feedback(
        self, tenant: str, decision_id: str, report: FeedbackReport, at_ms: int | None = None
    ) -> bool:
        """Append `FeedbackGiven` once. False when the same value was recorded before.

        at_ms: when it was accepted, since the epoch, where that was earlier.
        A correction with another value is appended with the value it replaces.

        Raises DecisionNotFound, FeedbackConflict (another value that is no correction),
        FeedbackTooLate, and Overloaded when the stream is at its bound.
        """
        ...

    async def session_feedback(
        self, tenant: str, session_id: str, report: FeedbackReport, at_ms: int | None = None
    ) -> FeedbackReceipt:
        """Append `FeedbackGiven` with its share for each decision of a session, all or none.

        Credited are the newest ones of those with a choice and an answer, in time, that have no
        feedback of their own; each with the same share. They stay the ones that are credited: a
        correction is appended for them alone, and later decisions have no part in it.

        session_id: its `session_digest`. at_ms: as in `feedback`; later decisions are left out.
        Raises like `feedback`; DecisionNotFound for a session without decisions.
        """
        ...

    async def reasked(self, decision_id: str, similarity: float, likeness: float) -> None:
        """Append `Reasked`, at most once per decision and not after its feedback."""
        ...

    async def audited(self, audit: Audited) -> None:
        """Append it, at most once per decision."""
        ...

    async def evidence(self, bought: EvidenceBought) -> None:
        """Append it, at most once per decision; never refused: what it tells of is paid for."""
        ...


class KeptDecisions(Protocol):
    """The decisions on record, for what looks at all of them."""

    def each(self, most: int) -> AsyncIterator[DecisionRecord]:
        """Yields at most so many, in no order; with the feedback they have."""
        ...


class EventLog(Protocol):
    """The learner's side of the stream."""

    async def read(self, after: str, max_events: int, wait_ms: int) -> Sequence[tuple[str, Event]]:
        """(position, event) in order, after a position ("0" for the start)."""
        ...

    async def records(self, decision_ids: Sequence[str]) -> Sequence[DecisionRecord | None]: ...

    async def position_of(self, decision_id: str) -> str | None:
        """Position of the newest event that tells of a decision; None when there is none."""
        ...

    async def marks(self, positions: Sequence[str]) -> Sequence[str]:
        """Return a mark of the log for each position, "" for one beyond its end.

        A mark is `EPOCH:DIGEST`, with the digest of the event there, which is empty where the event
        is not kept. It differs from one taken before when the store has lost events since.
        """
        ...

    async def renew(self, position: str, fence: int) -> bool:
        """Give a log that lost events another epoch; it counts as learned up to a position.

        False when the fence is stale.
        """
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
        """Count the events that wait after a position."""
        ...


class Defaults(Protocol):
    async def tell(self, most: int) -> int:
        """Append `FeedbackGiven(by_default=True)` once for decisions without feedback in time.

        At most so many; returns how many. From then on feedback on them is too late, by whatever
        clock. Does nothing where no default is declared.
        """
        ...


class PolicyLog(Protocol):
    """Commands about policies and the changes that came of them: events of the same stream."""

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
