"""The log of decisions, remembered by its process, and on disk while the store is away."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from router.degraded.continuity import Bounded, Continuity, away
from router.degraded.entries import (
    DECISIONS,
    SpooledAudit,
    SpooledDecision,
    SpooledEvidence,
    SpooledFeedback,
    SpooledOutcome,
    SpooledReask,
    SpooledSessionFeedback,
)
from router.domain.errors import (
    DecisionNotFound,
    DecisionPending,
    OutcomeConflict,
    StorageUnavailable,
    conflicting_feedback,
    late_feedback,
    no_decision,
)
from router.domain.events import Audited, EvidenceBought
from router.domain.records import (
    MOST_OF_SESSION,
    DecisionRecord,
    FeedbackReceipt,
    FeedbackReport,
    OutcomeReport,
    made_ms,
)
from router.domain.tenants import Tenant
from router.ports.learning_log import DecisionLog

WHOLE: Final = 2_000
"""Records that are remembered whole, to be read back; of the others only what feedback needs."""
MOST_SESSIONS: Final = 10_000
"""Sessions that are remembered, by their newest first decision."""
PENDING_MS: Final = 300_000
"""How long a decision that the store does not know may still be on the disk of another router."""
SKEW_MS: Final = 10_000
"""Difference between the clocks of two routers."""

T = TypeVar("T")


@dataclass(slots=True)
class _Known:
    tenant: str
    created_ms: int
    settled: bool
    feedback: float | None = None
    outcome: OutcomeReport | None = None


@dataclass(slots=True)
class _KnownSession:
    """ids: of its decisions that feedback credits, the newest. feedback: on the session."""

    tenant: str
    ids: deque[str] = field(default_factory=lambda: deque(maxlen=MOST_OF_SESSION))
    feedback: float | None = None


class RecentDecisions:
    """Judges feedback and outcomes by the rules of the store. window_ms: the join window."""

    def __init__(self, most: int, window_ms: int) -> None:
        self._known: Bounded[str, _Known] = Bounded(most)
        self._records: Bounded[str, DecisionRecord] = Bounded(WHOLE)
        self._sessions: Bounded[str, _KnownSession] = Bounded(MOST_SESSIONS)
        self._window_ms = window_ms

    def remember(self, record: DecisionRecord) -> None:
        known = self._known.get(record.id)
        if known is None:
            made = _Known(record.tenant, record.created_ms, record.settled, record.feedback)
            self._known.put(record.id, made)
            self._join_session(record)
        else:
            known.settled = record.settled
        self._records.put(record.id, record)

    def _join_session(self, record: DecisionRecord) -> None:
        if not record.session_id:
            return
        known = self._sessions.get(record.session_id) or _KnownSession(record.tenant)
        if record.is_credited and known.feedback is None:
            known.ids.append(record.id)
        self._sessions.put(record.session_id, known)

    def note_outcome(self, record: DecisionRecord, report: OutcomeReport) -> None:
        known = self._known.get(record.id)
        if known is not None:
            known.outcome = report
            self.remember(record)

    def note_feedback(self, decision_id: str, value: float) -> None:
        if decision_id in self._known:
            self._known[decision_id].feedback = value

    def note_session_feedback(self, session_id: str, value: float) -> None:
        known = self._sessions.get(session_id)
        if known is not None and self._credited(known):
            known.feedback = value

    def of_session(self, session_id: str) -> Sequence[str]:
        """Returns the decisions that are remembered of it."""
        known = self._sessions.get(session_id)
        return tuple(known.ids) if known else ()

    def get(self, tenant: str, decision_id: str) -> DecisionRecord:
        """Raises StorageUnavailable for one that is not remembered, DecisionNotFound."""
        known = self._of(tenant, decision_id)
        record = self._records.get(decision_id)
        if record is None:
            raise away()
        if known.feedback is None:
            return self._with_credit(record)
        return replace(record, feedback=known.feedback, session_share=None)

    def _with_credit(self, record: DecisionRecord) -> DecisionRecord:
        """Returns it with its share of what was told of its session."""
        session = self._sessions.get(record.session_id)
        if session is None or session.feedback is None or record.id not in session.ids:
            return record
        share = 1 / len(self._credited(session))
        return replace(record, feedback=session.feedback, session_share=share)

    def check_outcome(self, record: DecisionRecord, report: OutcomeReport) -> bool:
        """False when the same report was recorded before. Raises OutcomeConflict."""
        known = self._of(record.tenant, record.id)
        if known.settled and known.outcome != report:
            raise OutcomeConflict("another outcome is recorded for this decision")
        return not known.settled

    def check_feedback(
        self, tenant: str, decision_id: str, report: FeedbackReport, now_ms: int
    ) -> bool:
        """False when the same value was recorded before.

        Raises DecisionNotFound, FeedbackConflict, FeedbackTooLate.
        """
        known = self._of(tenant, decision_id)
        if known.feedback == report.value:
            return False
        if known.feedback is not None and not report.correction:
            raise conflicting_feedback("decision")
        if now_ms - known.created_ms > self._window_ms:
            raise late_feedback("decision")
        return True

    def check_session_feedback(
        self, tenant: str, session_id: str, report: FeedbackReport, now_ms: int
    ) -> FeedbackReceipt:
        """Judge by what is remembered of the session, of which the store may know more.

        Raises StorageUnavailable for one that is not remembered, DecisionNotFound,
        FeedbackConflict, FeedbackTooLate.
        """
        known = self._sessions.get(session_id)
        if known is None:
            raise away()
        if known.tenant != tenant:
            raise no_decision("session")
        credited = self._credited(known)
        if known.feedback == report.value:
            return FeedbackReceipt(already_recorded=True, decisions=len(credited))
        if known.feedback is not None and not report.correction:
            raise conflicting_feedback("session")
        newest_ms = max((one.created_ms for one in credited), default=now_ms)
        if now_ms - newest_ms > self._window_ms:
            raise late_feedback("session")
        return FeedbackReceipt(already_recorded=False, decisions=len(credited))

    def _credited(self, known: _KnownSession) -> list[_Known]:
        """Returns its decisions without feedback of their own."""
        found = (self._known.get(decision_id) for decision_id in known.ids)
        return [one for one in found if one is not None and one.feedback is None]

    def _of(self, tenant: str, decision_id: str) -> _Known:
        known = self._known.get(decision_id)
        if known is None:
            raise away()
        if known.tenant != tenant:
            raise no_decision("decision")
        return known


class DegradingDecisions:
    """Records what happens on disk while the store is away, in the order in which it happened."""

    def __init__(self, inner: DecisionLog, recent: RecentDecisions, continuity: Continuity) -> None:
        self._inner = inner
        self._recent = recent
        self._continuity = continuity

    async def admit(self, tenant: Tenant, request_id: str) -> bool:
        """Returns whether what comes of a request can be learned, before anything is paid.

        Raises StorageUnavailable, or Overloaded where the disk has no room for it.
        """
        try:
            return await self._continuity.ask(self._inner.has_room)
        except StorageUnavailable:
            self._continuity.admit(tenant, request_id)
            return True

    async def has_room(self) -> bool:
        return self._continuity.is_away or await self._inner.has_room()

    async def record(self, record: DecisionRecord) -> None:
        self._recent.remember(record)
        if not await self._stored(record.id, lambda: self._inner.record(record)):
            await self.keep(record)

    async def keep(self, record: DecisionRecord) -> None:
        """Record it on disk."""
        flagged, now_ms = replace(record, degraded=True), self._continuity.now_ms
        self._recent.remember(flagged)
        await self._continuity.write(
            SpooledDecision(at_ms=now_ms, tenant=record.tenant, record=flagged)
        )

    async def get(self, tenant: str, decision_id: str) -> DecisionRecord:
        if not self._continuity.waits(DECISIONS, decision_id):
            try:
                return await self._asked(decision_id, lambda: self._inner.get(tenant, decision_id))
            except StorageUnavailable:
                pass
        return self._recent.get(tenant, decision_id)

    async def settle(self, record: DecisionRecord, report: OutcomeReport) -> bool:
        continuity = self._continuity
        if not continuity.waits(DECISIONS, record.id):
            try:
                fresh = await self._asked(record.id, lambda: self._inner.settle(record, report))
            except StorageUnavailable:
                pass
            else:
                self._recent.note_outcome(record, report)
                return fresh
        if not self._recent.check_outcome(record, report):
            return False
        await continuity.write(
            SpooledOutcome(
                at_ms=continuity.now_ms, tenant=record.tenant, record=record, report=report
            )
        )
        self._recent.note_outcome(record, report)
        return True

    async def feedback(
        self, tenant: str, decision_id: str, report: FeedbackReport, at_ms: int | None = None
    ) -> bool:
        continuity = self._continuity
        if not continuity.waits(DECISIONS, decision_id):
            try:
                fresh = await self._asked(
                    decision_id, lambda: self._inner.feedback(tenant, decision_id, report, at_ms)
                )
            except StorageUnavailable:
                pass
            else:
                self._recent.note_feedback(decision_id, report.value)
                return fresh
        now_ms = continuity.now_ms if at_ms is None else at_ms
        if not self._recent.check_feedback(tenant, decision_id, report, now_ms):
            return False
        await continuity.write(
            SpooledFeedback(at_ms=now_ms, tenant=tenant, decision_id=decision_id, report=report)
        )
        self._recent.note_feedback(decision_id, report.value)
        return True

    async def session_feedback(
        self, tenant: str, session_id: str, report: FeedbackReport, at_ms: int | None = None
    ) -> FeedbackReceipt:
        continuity, recent = self._continuity, self._recent
        waits = session_id, *recent.of_session(session_id)
        if not any(continuity.waits(DECISIONS, each) for each in waits):
            try:
                done = await continuity.ask(
                    lambda: self._inner.session_feedback(tenant, session_id, report, at_ms)
                )
            except StorageUnavailable:
                pass
            else:
                recent.note_session_feedback(session_id, report.value)
                return done
        now_ms = continuity.now_ms if at_ms is None else at_ms
        done = recent.check_session_feedback(tenant, session_id, report, now_ms)
        if done.already_recorded:
            return done
        await continuity.write(
            SpooledSessionFeedback(
                at_ms=now_ms, tenant=tenant, session_id=session_id, report=report
            )
        )
        recent.note_session_feedback(session_id, report.value)
        return done

    async def reasked(self, decision_id: str, similarity: float, likeness: float) -> None:
        if await self._stored(
            decision_id, lambda: self._inner.reasked(decision_id, similarity, likeness)
        ):
            return
        await self._continuity.write(
            SpooledReask(
                at_ms=self._continuity.now_ms,
                tenant="",
                decision_id=decision_id,
                similarity=similarity,
                likeness=likeness,
            )
        )

    async def audited(self, audit: Audited) -> None:
        now_ms = self._continuity.now_ms
        if not await self._stored(audit.decision_id, lambda: self._inner.audited(audit)):
            noted = replace(audit, at_ms=now_ms)
            await self._continuity.write(SpooledAudit(at_ms=now_ms, tenant="", audit=noted))

    async def evidence(self, bought: EvidenceBought) -> None:
        if not await self._stored(bought.decision_id, lambda: self._inner.evidence(bought)):
            await self.keep_evidence(bought)

    async def keep_evidence(self, bought: EvidenceBought) -> None:
        """Keep it on disk."""
        now_ms = self._continuity.now_ms
        noted = replace(bought, at_ms=now_ms)
        await self._continuity.write(SpooledEvidence(at_ms=now_ms, tenant="", bought=noted))

    async def _asked(self, decision_id: str, call: Callable[[], Awaitable[T]]) -> T:
        """Ask the store about a decision, which the router that made it may not have delivered yet.

        Raises DecisionPending.
        """
        try:
            return await self._continuity.ask(call)
        except DecisionNotFound as error:
            born_ms = made_ms(decision_id)
            if error.is_foreign or born_ms is None:
                raise
            if not 0 <= self._continuity.now_ms - born_ms + SKEW_MS < PENDING_MS:
                raise
        raise DecisionPending("this decision is not recorded yet: try again")

    async def _stored(self, decision_id: str, write: Callable[[], Awaitable[None]]) -> bool:
        """Write to the store, unless it is away or an earlier write of the decision waits."""
        if self._continuity.waits(DECISIONS, decision_id):
            return False
        try:
            await self._continuity.ask(write)
        except StorageUnavailable:
            return False
        return True
