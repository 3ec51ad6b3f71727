"""The newest events of the log, added up: what was decided, and what was heard of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from router.domain.events import Audited, Decided, Event, EvidenceBought, FeedbackGiven, number_of
from router.domain.records import DecisionRecord
from router.ports.learning_log import EventLog

MOST_EVENTS: Final = 10_000
BATCH: Final = 500


@dataclass(slots=True)
class RecentEvents:
    """decided_ms, feedback_ms: when the newest decision and the newest judgement came, or 0.

    answers, judged: by arm, answers and those of them that somebody rated, an audit included.
    judged_plans: the latter by plan. waiting_ms: when the oldest event that is not learned was
    made, learned_ms: the newest that is. whole: the log holds no more. offered: decisions that
    might have been drawn for evidence; bought, bought_in_full: purchases, and those by which every
    arm asked is known.
    """

    learned: int
    whole: bool = True
    decided_ms: int = 0
    feedback_ms: int = 0
    waiting_ms: int = 0
    learned_ms: int = 0
    offered: int = 0
    bought: int = 0
    bought_in_full: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    judged: Counter[str] = field(default_factory=Counter)
    judged_plans: Counter[str] = field(default_factory=Counter)
    _known: dict[str, tuple[str, str]] = field(default_factory=dict)
    _rated: set[str] = field(default_factory=set)

    def add(self, position: str, event: Event) -> None:
        at_ms = 0
        if isinstance(event, Decided):
            at_ms = event.record.created_ms
            self._decided(event.record)
        elif isinstance(event, Audited) or (
            isinstance(event, FeedbackGiven) and not event.by_default
        ):
            at_ms = event.at_ms
            self._heard(event)
        elif isinstance(event, EvidenceBought):
            at_ms = event.at_ms
            self.bought += 1
            self.bought_in_full += event.is_full
        if number_of(position) <= self.learned:
            self.learned_ms = max(self.learned_ms, at_ms)
        elif not self.waiting_ms:
            self.waiting_ms = at_ms

    def _decided(self, record: DecisionRecord) -> None:
        self.decided_ms = max(self.decided_ms, record.created_ms)
        if record.id in self._known or record.choice is None:
            return  # a `Decide` is told of again when its outcome comes
        self.offered += record.evidence_share > 0
        if record.arm:
            self.answers[record.arm] += 1
        self._known[record.id] = record.arm, record.choice.plan

    def _heard(self, event: FeedbackGiven | Audited) -> None:
        self.feedback_ms = max(self.feedback_ms, event.at_ms)
        if event.decision_id in self._rated or event.decision_id not in self._known:
            return
        arm, plan = self._known[event.decision_id]
        self._rated.add(event.decision_id)
        self.judged[arm] += 1
        self.judged_plans[plan] += 1


async def read_recent(events: EventLog, learned_to: str) -> RecentEvents:
    """Read the newest events. learned_to: position of the newest snapshot."""
    found, end = RecentEvents(number_of(learned_to)), await events.end()
    if end is None:
        return found
    first = max(0, number_of(end) - MOST_EVENTS)
    position, found.whole = f"0-{first}", first == 0
    while number_of(position) < number_of(end):
        batch: Sequence[tuple[str, Event]] = await events.read(position, BATCH, 0)
        for at, event in batch:
            found.add(at, event)
        if not batch:
            break
        position = batch[-1][0]
    return found
