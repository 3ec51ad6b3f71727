"""Events as rows of a table and back; the columns are for people, `body` is the whole event."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import accumulate, groupby
from typing import Any, Final, TypeAlias

import msgspec

from router.domain import MS_PER_S
from router.domain.events import (
    Audited,
    Decided,
    Event,
    FeedbackGiven,
    PolicyChanged,
    PolicyCommand,
    Reasked,
    decision_of,
)
from router.domain.records import DecisionRecord
from router.tools.archive.errors import ArchiveBroken

Row: TypeAlias = dict[str, Any]
Entry: TypeAlias = tuple[str, Event]
"""Position in the stream, event."""

UNKNOWN_DAY: Final = "1970-01-01"
_KINDS: Final[dict[str, type[Event]]] = {
    "decided": Decided,
    "feedback": FeedbackGiven,
    "reasked": Reasked,
    "audited": Audited,
    "policy_command": PolicyCommand,
    "policy_changed": PolicyChanged,
}
_NAMES: Final = {kind: name for name, kind in _KINDS.items()}


def by_day(entries: Sequence[Entry], day: str) -> Iterator[tuple[str, list[Entry]]]:
    """(day in UTC, its entries) in the order of the stream; `day` is that of the entry before.

    Several writers' events are not quite in the order of their clocks: a day never comes back.
    """
    days = accumulate((_day(event) for _, event in entries), max, initial=day)
    next(days)
    for name, group in groupby(zip(days, entries, strict=True), key=lambda pair: pair[0]):
        yield name, [entry for _, entry in group]


def row_of(entry: Entry) -> Row:
    position, event = entry
    row: Row = {
        "position": position,
        "kind": _NAMES[type(event)],
        "at_ms": _at_ms(event),
        "decision_id": decision_of(event),
        "body": msgspec.json.encode(event).decode(),
    }
    if isinstance(event, Decided):
        return row | _facts(event.record)
    quality = event.quality if isinstance(event, FeedbackGiven | Audited) else None
    return row | {"quality": quality}


def entry_of(row: Row) -> Entry:
    """Raises ArchiveBroken."""
    try:
        return row["position"], msgspec.json.decode(row["body"], type=_KINDS[row["kind"]])
    except (KeyError, msgspec.MsgspecError):
        raise ArchiveBroken("a row does not hold an event that this version can read") from None


def _facts(record: DecisionRecord) -> Row:
    choice = record.choice
    return {
        "tenant": record.tenant,
        "plan": choice.plan if choice else None,
        "propensity": choice.propensity if choice else None,
        "policy_version": choice.policy_version if choice else None,
        "arm": record.arm,
        "cost_usd": record.cost_usd,
        "latency_ms": record.latency_ms,
    }


def _at_ms(event: Event) -> int:
    return event.record.created_ms if isinstance(event, Decided) else event.at_ms


def _day(event: Event) -> str:
    at_ms = _at_ms(event)
    return datetime.fromtimestamp(at_ms / MS_PER_S, UTC).date().isoformat()
