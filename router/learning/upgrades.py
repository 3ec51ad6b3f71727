"""Decisions and snapshots brought from earlier context maps and names to those in use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from bandit.context.remap import Remap
from bandit.errors import BanditError
from bandit.snapshots.codec import rename_actions
from router.domain.events import Decided, Event, EvidenceBought
from router.domain.logged_context import log_context, read_context
from router.domain.records import Choice, DecisionRecord
from router.domain.tenants import renamed_promise
from router.learning.learner_state import SnapshotParts
from router.ports.learning_log import EventLog

Names: TypeAlias = Mapping[str, str]
"""Earlier name -> name in use, of arms and plans."""


@dataclass(frozen=True, slots=True)
class Upgrade:
    """Brings decisions to the map and the names in use; those it can't read stay as they are."""

    remap: Remap
    names: Names

    def event(self, event: Event) -> Event:
        if isinstance(event, Decided):
            return Decided(self.record(event.record))
        return _renamed_arms(event, self.names) if isinstance(event, EvidenceBought) else event

    def record(self, record: DecisionRecord) -> DecisionRecord:
        return _renamed(moved_record(record, self.remap) or record, self.names)


@dataclass(frozen=True, slots=True)
class UpgradedEvents:
    """Implements `router.ports.learning_log.EventLog`: reads another log through an upgrade.

    Feedback on answers given before a new map was put in place still teaches.
    """

    events: EventLog
    upgrade: Upgrade

    async def read(self, after: str, max_events: int, wait_ms: int) -> Sequence[tuple[str, Event]]:
        found = await self.events.read(after, max_events, wait_ms)
        return [(position, self.upgrade.event(event)) for position, event in found]

    async def records(self, decision_ids: Sequence[str]) -> Sequence[DecisionRecord | None]:
        found = await self.events.records(decision_ids)
        return [record and self.upgrade.record(record) for record in found]

    async def position_of(self, decision_id: str) -> str | None:
        return await self.events.position_of(decision_id)

    async def marks(self, positions: Sequence[str]) -> Sequence[str]:
        return await self.events.marks(positions)

    async def renew(self, position: str, fence: int) -> bool:
        return await self.events.renew(position, fence)

    async def end(self) -> str | None:
        return await self.events.end()

    async def trim(self, position: str) -> None:
        await self.events.trim(position)

    async def backlog(self, after: str) -> int:
        return await self.events.backlog(after)


def moved_record(record: DecisionRecord, remap: Remap) -> DecisionRecord | None:
    """Returns the record under the map in use; None without a choice or a readable context."""
    if record.choice is None:
        return None
    if record.choice.context.version == remap.target.version:
        return record
    try:
        context = remap.context(read_context(record.choice.context))
    except BanditError:
        return None
    return replace(record, choice=replace(record.choice, context=log_context(context)))


def renamed_parts(parts: SnapshotParts, names: Names) -> SnapshotParts:
    """Returns the parts under the names in use. Raises CorruptSnapshot, VersionMismatch."""
    if not names:
        return parts
    return parts._replace(
        policy=rename_actions(parts.policy, names),
        members={name: rename_actions(held, names) for name, held in parts.members.items()},
        owned={tenant: rename_actions(held, names) for tenant, held in parts.owned.items()},
        gates={names.get(plan, plan): gate for plan, gate in parts.gates.items()},
        promises={renamed_promise(name, names): kept for name, kept in parts.promises.items()},
    )


def _renamed(record: DecisionRecord, names: Names) -> DecisionRecord:
    if not names:
        return record
    return replace(
        record,
        choice=record.choice and _renamed_choice(record.choice, names),
        attempts=tuple(replace(a, arm=names.get(a.arm, a.arm)) for a in record.attempts),
        arm=names.get(record.arm, record.arm),
    )


def _renamed_arms(event: EvidenceBought, names: Names) -> EvidenceBought:
    arms = tuple(replace(answer, arm=names.get(answer.arm, answer.arm)) for answer in event.arms)
    return replace(event, arms=arms)


def _renamed_choice(choice: Choice, names: Names) -> Choice:
    seen = choice.observed
    return replace(
        choice,
        plan=names.get(choice.plan, choice.plan),
        probabilities=_renamed_shares(choice.probabilities, names),
        expected=tuple((names.get(e[0], e[0]), *e[1:]) for e in choice.expected),
        prices=tuple((names.get(p[0], p[0]), *p[1:]) for p in choice.prices),
        observed=seen
        and replace(
            seen,
            plan=names.get(seen.plan, seen.plan),
            probabilities=_renamed_shares(seen.probabilities, names),
        ),
    )


def _renamed_shares(
    shares: tuple[tuple[str, float], ...], names: Names
) -> tuple[tuple[str, float], ...]:
    return tuple((names.get(plan, plan), share) for plan, share in shares)
