"""A batch of events, joined with their decisions and learned: the same live and in a replay."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from router.core.arms import Plan
from router.core.judging.learned import Learned
from router.core.observer import Observer
from router.core.records import Decided, DecisionRecord, Event, decision_of
from router.core.reward import RewardSettings
from router.core.teaching import joined, lessons, teach, teach_gates

Find: TypeAlias = Callable[[Sequence[str]], Awaitable[Sequence[DecisionRecord | None]]]


@dataclass(frozen=True, slots=True)
class Lecture:
    """find: decisions by id, in the order asked; None for one that is gone.

    How the events are cut into batches makes no difference to what is learned.
    """

    find: Find
    plans: Mapping[str, Plan]
    rewards: RewardSettings
    observer: Observer

    async def give(self, learned: Learned, events: Sequence[Event]) -> None:
        joined_to = (decision_of(e) for e in events if not isinstance(e, Decided))
        wanted = [name for name in joined_to if name is not None]
        found = await self.find(wanted) if wanted else []
        records = dict(zip(wanted, found, strict=True))
        await asyncio.to_thread(self._teach, learned, events, records)

    def _teach(
        self,
        learned: Learned,
        events: Sequence[Event],
        records: Mapping[str, DecisionRecord | None],
    ) -> None:
        outcomes = joined(events, records, self.plans, self.rewards)
        teach(learned.policy, outcomes, self.observer)
        taught = lessons(events, records, self.plans, self.rewards)
        teach_gates(learned.gates, taught, self.observer)
