"""A batch of events, joined with their decisions and learned: the same live and in a replay."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from router.domain.catalog import Plan
from router.domain.events import Decided, Event, FeedbackGiven, PolicyChanged, decision_of
from router.domain.records import AttemptOutcome, DecisionRecord, Mode
from router.learning.learner_state import LearnerState
from router.learning.outliers import FeedbackOutliers
from router.learning.rewards import RewardSettings
from router.learning.tenant_weights import TenantWeightCap
from router.learning.training import (
    EventWeight,
    joined,
    keep_promises,
    labels,
    lessons,
    record_of,
    teach,
    teach_gates,
    weighed,
)
from router.ports.observer import Observer

_log = logging.getLogger(__name__)

Find: TypeAlias = Callable[[Sequence[str]], Awaitable[Sequence[DecisionRecord | None]]]


@dataclass(frozen=True, slots=True)
class BatchTrainer:
    """find: decisions by id, in the order asked; None for one that is gone.

    ignored: other names that are known, of which nothing is learned. How the events are cut into
    batches makes no difference to what is learned.
    """

    find: Find
    plans: Mapping[str, Plan]
    rewards: RewardSettings
    observer: Observer
    ignored: Container[str] = ()
    deviations: FeedbackOutliers = field(default_factory=FeedbackOutliers)

    def known(
        self, batch: Sequence[tuple[str, Event]], since_ms: float
    ) -> Sequence[tuple[str, Event]]:
        """What comes before the first decision since then on a plan not heard of yet.

        A router that read the config earlier may choose plans this learner has still to hear of.
        """
        for index, (_, event) in enumerate(batch):
            if isinstance(event, Decided) and event.record.created_ms > since_ms:
                choice = event.record.choice
                if choice and choice.plan not in self.plans and choice.plan not in self.ignored:
                    return batch[:index]
        return batch

    async def give(
        self, learned: LearnerState, batch: Sequence[tuple[str, Event]]
    ) -> list[PolicyChanged]:
        """batch: events with their positions. What changed among the policies, in order."""
        events = [event for _, event in batch]
        joined_to = (decision_of(e) for e in events if not isinstance(e, Decided))
        wanted = [name for name in joined_to if name is not None]
        found = await self.find(wanted) if wanted else []
        records = dict(zip(wanted, found, strict=True))
        return await asyncio.to_thread(self._teach, learned, batch, records)

    def _teach(
        self,
        learned: LearnerState,
        batch: Sequence[tuple[str, Event]],
        records: Mapping[str, DecisionRecord | None],
    ) -> list[PolicyChanged]:
        events = [event for _, event in batch]
        heard = [self._heard(learned, event, record_of(event, records)) for event in events]
        changes: list[PolicyChanged] = []
        if learned.contest is None and learned.owned is None:
            outcomes = joined(events, records, self.plans, self.rewards, heard)
            teach(learned.policy, outcomes, self.observer)
        else:
            changes = self._one_by_one(learned, batch, records, heard)
        keep_promises(learned.promises, labels(events, records), self.observer)
        taught = lessons(events, records, self.plans, self.rewards, heard)
        teach_gates(learned.gates, taught, self.observer)
        return changes

    def _heard(
        self, learned: LearnerState, event: Event, record: DecisionRecord | None
    ) -> EventWeight:
        """What it counts, after whose it is and what kind of sign."""
        if record is None:
            return EventWeight()
        share, sign = 1.0, learned.trust.see(event, record)
        if learned.influence is not None:
            share = _share(learned.influence, event, record, sign)
        if sign is not None and isinstance(event, Decided):
            # What the call itself told, cost above all, counts in full.
            share, sign = 1.0, sign * share
        if isinstance(event, FeedbackGiven) and record.choice and not event.by_default:
            self._compare(record.tenant, record.choice.plan, event.quality)
        return EventWeight(share, sign)

    def _compare(self, tenant: str, plan: str, quality: float) -> None:
        gap = self.deviations.hear(tenant, plan, quality)
        if gap is not None:
            self.observer.deviates(plan)
            _log.warning("tenant %s is off all others on plan %s by %+.2f", tenant, plan, gap)

    def _one_by_one(
        self,
        learned: LearnerState,
        batch: Sequence[tuple[str, Event]],
        records: Mapping[str, DecisionRecord | None],
        heard: Sequence[EventWeight],
    ) -> list[PolicyChanged]:
        """Evidence comes before anybody learns from it, and a policy of one's own begins so."""
        changes: list[PolicyChanged] = []
        for (position, event), one in zip(batch, heard, strict=True):
            if learned.contest is not None:
                change = learned.contest.hear(position, event, self.observer)
                if change is not None:
                    learned.follow(learned.contest)
                    changes.append(change)
            outcomes = joined([event], records, self.plans, self.rewards, [replace(one, share=1)])
            record = record_of(event, records)
            if learned.owned is not None and record is not None and outcomes:
                own = learned.owned.of(record.tenant, learned.shared)
                if own is not None:
                    teach(own, outcomes, self.observer)
            for policy in learned.policies:
                teach(policy, weighed(outcomes, one.share), self.observer)
        return changes


def _share(
    influence: TenantWeightCap, event: Event, record: DecisionRecord, sign: float | None
) -> float:
    """What a tenant says of quality is bound; what the router saw of a call is not."""
    if isinstance(event, FeedbackGiven):
        if event.replaces is not None:
            return influence.weighed(record.id)
        return influence.weigh_feedback(record.tenant, record.id)
    said = sign or (isinstance(event, Decided) and _is_reported_failure(event.record))
    return influence.weigh(record.tenant) if said else 1.0


def _is_reported_failure(record: DecisionRecord) -> bool:
    """Quality 0 on the word of the caller of `Decide`."""
    failed = any(a.outcome is AttemptOutcome.FAILED for a in record.attempts)
    return record.mode is Mode.DECIDE and failed
