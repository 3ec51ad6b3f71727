"""The event stream, with decisions of earlier context maps and names brought under today's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType

from bandit.errors import BanditError
from bandit.remap import Remap
from router.core.deciding import log_context, read_context
from router.core.events import Decided, Event
from router.core.ports import EventLog
from router.core.records import DecisionRecord
from router.core.renaming import Names, renamed_record


class RemappedEvents:
    """Implements `router.core.ports.EventLog`. A decision that nothing leads from stays as it is.

    Feedback on answers given before a new map was put in place still teaches.
    """

    def __init__(self, events: EventLog, remap: Remap, names: Names = MappingProxyType({})) -> None:
        self._events = events
        self._remap = remap
        self._names = names

    async def read(self, after: str, max_events: int, wait_ms: int) -> Sequence[tuple[str, Event]]:
        found = await self._events.read(after, max_events, wait_ms)
        return [(position, self._moved(event)) for position, event in found]

    async def records(self, decision_ids: Sequence[str]) -> Sequence[DecisionRecord | None]:
        found = await self._events.records(decision_ids)
        return [record and self._record(record) for record in found]

    async def position_of(self, decision_id: str) -> str | None:
        return await self._events.position_of(decision_id)

    async def trim(self, position: str) -> None:
        await self._events.trim(position)

    async def backlog(self, after: str) -> int:
        return await self._events.backlog(after)

    def _moved(self, event: Event) -> Event:
        return Decided(self._record(event.record)) if isinstance(event, Decided) else event

    def _record(self, record: DecisionRecord) -> DecisionRecord:
        return renamed_record(moved_record(record, self._remap) or record, self._names)


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
