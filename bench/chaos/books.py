"""The promises that callers were given, held against the event log."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from bench.chaos.stage import commanded
from router.adapters.storage import Storage
from router.domain.events import Decided, Event, FeedbackGiven

BATCH = 1_000


@dataclass(slots=True)
class Promises:
    """answered: decision ids. told: decision id -> acknowledged quality. refused: lost for good."""

    answered: list[str] = field(default_factory=list)
    told: dict[str, float] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)


class Books:
    """The events of a log by decision id; told: how often feedback was recorded."""

    def __init__(self, events: list[Event]) -> None:
        self.events = events
        done = [e.record for e in events if isinstance(e, Decided) and e.record.settled]
        feedback = [e for e in events if isinstance(e, FeedbackGiven)]
        self.decided = Counter(record.id for record in done)
        self.costs_usd = {record.id: record.cost_usd for record in done}
        self.told = Counter(e.decision_id for e in feedback)
        self.values = {e.decision_id: e.quality for e in feedback}


async def read_books(storage: Storage) -> Books:
    found: list[Event] = []
    position = "0"
    while batch := await storage.events.read(position, BATCH, 0):
        found += [event for _, event in batch]
        position = batch[-1][0]
    return Books(found)


@dataclass(frozen=True, slots=True)
class Differences:
    """Decision ids by what is wrong with them; all empty when every promise was kept."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    feedback_lost: list[str] = field(default_factory=list)
    feedback_doubled: list[str] = field(default_factory=list)

    @property
    def none(self) -> bool:
        return not (self.lost or self.doubled or self.feedback_lost or self.feedback_doubled)

    def __str__(self) -> str:
        return (
            f"decisions lost {len(self.lost)}, doubled {len(self.doubled)}\n"
            f"feedback lost {len(self.feedback_lost)}, doubled {len(self.feedback_doubled)}"
        )


def differences(promises: Promises, books: Books) -> Differences:
    return Differences(
        [i for i in promises.answered if i not in books.decided] + promises.refused,
        [i for i, times in books.decided.items() if times > 1],
        [i for i, quality in promises.told.items() if books.values.get(i) != quality],
        [i for i, times in books.told.items() if times > 1],
    )


async def verified(config: Path) -> tuple[bool, str]:
    """Learn the log again. Returns whether the newest snapshot is the same, and what was said."""
    code, told = await commanded("learner", "replay", "--verify", "--config", str(config))
    return code == 0, told
