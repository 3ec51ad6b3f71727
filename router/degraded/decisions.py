"""The decisions a process remembers, and what was said of them while the store is away."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from router.degraded.continuity import Bounded, raise_away
from router.domain.errors import (
    DecisionNotFound,
    FeedbackConflict,
    FeedbackTooLate,
    OutcomeConflict,
)
from router.domain.records import DecisionRecord, FeedbackReport, OutcomeReport

WHOLE: Final = 2_000
"""Records that are remembered whole, to be read back; of the others only what feedback needs."""


@dataclass(slots=True)
class _Known:
    tenant: str
    created_ms: int
    settled: bool
    feedback: float | None = None
    outcome: OutcomeReport | None = None


class RecentDecisions:
    """Judges feedback and outcomes by the rules of the store. window_ms: the join window."""

    def __init__(self, most: int, window_ms: int) -> None:
        self._known: Bounded[str, _Known] = Bounded(most)
        self._records: Bounded[str, DecisionRecord] = Bounded(WHOLE)
        self._window_ms = window_ms

    def remember(self, record: DecisionRecord) -> None:
        known = self._known.get(record.id)
        if known is None:
            made = _Known(record.tenant, record.created_ms, record.settled, record.feedback)
            self._known.put(record.id, made)
        else:
            known.settled = record.settled
        self._records.put(record.id, record)

    def note_feedback(self, decision_id: str, value: float) -> None:
        if decision_id in self._known:
            self._known[decision_id].feedback = value

    def knows(self, decision_id: str) -> bool:
        return decision_id in self._known

    def get(self, tenant: str, decision_id: str) -> DecisionRecord:
        """Raises StorageUnavailable for one that is not remembered, DecisionNotFound."""
        known = self._of(tenant, decision_id)
        record = self._records.get(decision_id)
        return raise_away() if record is None else replace(record, feedback=known.feedback)

    def settle(self, record: DecisionRecord, report: OutcomeReport) -> bool:
        """False when the same report was recorded before. Raises OutcomeConflict."""
        known = self._of(record.tenant, record.id)
        if known.settled:
            if known.outcome != report:
                raise OutcomeConflict("another outcome is recorded for this decision")
            return False
        known.outcome = report
        self.remember(record)
        return True

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
            raise FeedbackConflict(
                "feedback with another value is recorded for this decision: set `correction` to "
                "replace it"
            )
        if now_ms - known.created_ms > self._window_ms:
            raise FeedbackTooLate("this decision no longer takes feedback: report sooner")
        return True

    def _of(self, tenant: str, decision_id: str) -> _Known:
        known = self._known.get(decision_id)
        if known is None:
            return raise_away()
        if known.tenant != tenant:
            raise DecisionNotFound("no decision of yours has this id: it is wrong or has expired")
        return known
