"""Events whose decisions are brought from earlier context maps and names under today's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bandit.context.remap import Remap
from bandit.errors import BanditError
from router.domain.events import Decided, Event
from router.domain.logged_context import log_context, read_context
from router.domain.records import DecisionRecord
from router.learning.renaming import Names, renamed_record
from router.ports.learning_log import EventLog


@dataclass(frozen=True, slots=True)
class Today:
    """The map and the names in use. A decision that nothing leads from stays as it is."""

    remap: Remap
    names: Names

    def event(self, event: Event) -> Event:
        return Decided(self.record(event.record)) if isinstance(event, Decided) else event

    def record(self, record: DecisionRecord) -> DecisionRecord:
        return renamed_record(moved_record(record, self.remap) or record, self.names)


class UpgradedEvents:
    """Implements `router.ports.learning_log.EventLog`.

    Feedback on answers given before a new map was put in place still teaches.
    """

    def __init__(self, events: EventLog, today: Today) -> None:
        self._events = events
        self._today = today

    async def read(self, after: str, max_events: int, wait_ms: int) -> Sequence[tuple[str, Event]]:
        found = await self._events.read(after, max_events, wait_ms)
        return [(position, self._today.event(event)) for position, event in found]

    async def records(self, decision_ids: Sequence[str]) -> Sequence[DecisionRecord | None]:
        found = await self._events.records(decision_ids)
        return [record and self._today.record(record) for record in found]

    async def position_of(self, decision_id: str) -> str | None:
        return await self._events.position_of(decision_id)

    async def end(self) -> str | None:
        return await self._events.end()

    async def trim(self, position: str) -> None:
        await self._events.trim(position)

    async def backlog(self, after: str) -> int:
        return await self._events.backlog(after)


def moved_record(record: DecisionRecord, remap: Remap) -> DecisionRecord | None:
    """Under the map in use; None for one without a choice, or whose context can't be read."""
    if record.choice is None:
        return None
    if record.choice.context.version == remap.target.version:
        return record
    try:
        context = remap.context(read_context(record.choice.context))
    except BanditError:
        return None
    return replace(record, choice=replace(record.choice, context=log_context(context)))
