"""Training on events: joined with their decisions, weighed, then learned by policies and gates."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeAlias

from bandit.errors import BanditError
from bandit.gates import Gate
from bandit.risk import Promise
from bandit.types import Outcome, Policy, Units
from router.domain import MS_PER_S
from router.domain.catalog import Plan
from router.domain.events import Decided, Event, FeedbackGiven, PolicyChanged, decision_of
from router.domain.records import AttemptOutcome, Choice, DecisionRecord, Mode
from router.domain.tenants import promise_for
from router.learning.gate_examples import PlanExample, RiskLabel, examples_of, risk_labels_of
from router.learning.learner_state import LearnerState
from router.learning.promotion_state import burden_of
from router.learning.request_rates import RequestRates
from router.learning.rewards import RewardSettings, outcomes_of
from router.learning.tenants import FeedbackOutliers, TenantWeightCap
from router.ports.observer import Observer

_log = logging.getLogger(__name__)

Batch: TypeAlias = Sequence[tuple[str, Event]]
"""Events with their positions in the log, in order."""
FindRecords: TypeAlias = Callable[[Sequence[str]], Awaitable[Sequence[DecisionRecord | None]]]
"""Decisions by id, in the order asked; None for one that is gone."""


@dataclass(frozen=True, slots=True)
class JoinedEvent:
    """An event and the decision it is about.

    share: of its full weight. sign_weight, evidence_weight: see `RewardSettings`.
    """

    event: Event
    record: DecisionRecord
    share: float = 1.0
    sign_weight: float | None = None
    evidence_weight: float = 1.0

    def settings(self, rewards: RewardSettings) -> RewardSettings:
        """Return the weights that hold for this event."""
        own = self.sign_weight, self.evidence_weight
        if own == (rewards.sign_weight, rewards.evidence_weight):
            return rewards
        return replace(rewards, sign_weight=self.sign_weight, evidence_weight=self.evidence_weight)


def join(
    events: Sequence[Event], records: Mapping[str, DecisionRecord | None]
) -> list[JoinedEvent]:
    """Returns the events that are about a known decision, in their order.

    records: by decision id, for every event but `Decided`, which brings its own.
    """
    pairs = ((event, record_of(event, records)) for event in events)
    return [JoinedEvent(event, record) for event, record in pairs if record is not None]


def record_of(event: Event, records: Mapping[str, DecisionRecord | None]) -> DecisionRecord | None:
    """Returns the decision an event is about; None if it is gone or the event is about none."""
    if isinstance(event, Decided):
        return event.record
    decision_id = decision_of(event)
    return None if decision_id is None else records[decision_id]


class Trainable(Protocol):
    """Everything that learns from one event; gates by plan, promises by holder."""

    @property
    def policy(self) -> Policy: ...
    @property
    def gates(self) -> Mapping[str, Gate]: ...
    @property
    def promises(self) -> Mapping[str, Promise]: ...
    @property
    def rates(self) -> RequestRates: ...


@dataclass(frozen=True, slots=True)
class Trainer:
    """plans: those of the config; nothing is learned of others. units: of rewards."""

    plans: Mapping[str, Plan]
    rewards: RewardSettings
    observer: Observer
    units: Units = field(default_factory=lambda: Units(1.0, 1_000.0))

    def train(self, state: Trainable, events: Sequence[JoinedEvent]) -> int:
        """Train policy, promises and gates. Returns the number of outcomes for the policy."""
        outcomes = self.outcomes(events)
        train_policy(state.policy, outcomes, self.observer)
        self.train_rest(state, events)
        return len(outcomes)

    def train_rest(self, state: Trainable, events: Sequence[JoinedEvent]) -> None:
        """Train promises, then gates: a promise is about scores from before their own label.

        Rates learn from every decision, also where nothing was chosen.
        """
        for one in events:
            if isinstance(one.event, Decided):
                state.rates.learn(one.record)
        if state.promises:
            labels = [label for e in events for label in risk_labels_of(e.event, e.record)]
            train_promises(state.promises, labels, self.observer)
        if state.gates:
            train_gates(state.gates, self._examples(events), self.observer)

    def outcomes(self, events: Sequence[JoinedEvent]) -> list[Outcome]:
        """Returns outcomes in the order of the events."""
        found: list[Outcome] = []
        for one in events:
            settings = one.settings(self.rewards)
            outcomes = outcomes_of(one.event, one.record, self.plans, settings)
            found += shared(outcomes, one.share)
        return found

    def _examples(self, events: Sequence[JoinedEvent]) -> list[PlanExample]:
        found: list[PlanExample] = []
        for one in events:
            settings = one.settings(self.rewards)
            for plan, example in examples_of(one.event, one.record, self.plans, settings):
                weighed = replace(example, weight=example.weight * one.share)
                found.append(PlanExample(plan, weighed))
        return found


def shared(outcomes: list[Outcome], share: float) -> list[Outcome]:
    """Returns the outcomes at a share of their weight."""
    if share == 1:
        return outcomes
    return [replace(outcome, weight=outcome.weight * share) for outcome in outcomes]


def train_policy(policy: Policy, outcomes: Sequence[Outcome], observer: Observer) -> None:
    """Learn one at a time: an outcome of another feature version must not stop the rest."""
    for outcome in outcomes:
        try:
            policy.learn([outcome])
        except BanditError:
            observer.degraded("outcome_refused")


def train_gates(
    gates: Mapping[str, Gate], examples: Sequence[PlanExample], observer: Observer
) -> None:
    """Learn one at a time; examples of plans without a gate are ignored."""
    for plan, example in examples:
        gate = gates.get(plan)
        if gate is None:
            continue
        try:
            gate.learn([example])
        except BanditError:
            observer.degraded("lesson_refused")


def train_promises(
    promises: Mapping[str, Promise], labels: Sequence[RiskLabel], observer: Observer
) -> None:
    """Learn one at a time; labels of plans without a promise are ignored."""
    for label in labels:
        promise = promise_for(promises, label.plan, label.tenant)
        if promise is None:
            continue
        try:
            promise.observe(label.score, label.bad, label.probability, source=label.source)
        except BanditError:
            observer.degraded("label_refused")


@dataclass(frozen=True, slots=True)
class BatchTrainer:
    """Trains the learner's state on batches of the log, the same live and in a replay.

    How the events are cut into batches makes no difference to what is learned.

    ignored: names of plans besides those of the trainer that are known, and not learned of.
    """

    find: FindRecords
    trainer: Trainer
    ignored: Container[str] = ()
    outliers: FeedbackOutliers = field(default_factory=FeedbackOutliers)

    def known_prefix(self, batch: Batch, since_ms: float) -> Batch:
        """Returns what comes before the first decision since then on an unknown plan.

        A router that read the config earlier may choose plans this learner does not know yet.
        """
        for index, (_, event) in enumerate(batch):
            if isinstance(event, Decided) and event.record.created_ms > since_ms:
                choice = event.record.choice
                if choice and not self._is_known(choice.plan):
                    return batch[:index]
        return batch

    def _is_known(self, plan: str) -> bool:
        return plan in self.trainer.plans or plan in self.ignored

    async def train(self, state: LearnerState, batch: Batch) -> list[PolicyChanged]:
        """Train the state. Returns the changes among the policies, in order."""
        ids = (decision_of(event) for _, event in batch if not isinstance(event, Decided))
        wanted = [name for name in ids if name is not None]
        found = await self.find(wanted) if wanted else []
        records = dict(zip(wanted, found, strict=True))
        return await asyncio.to_thread(self._train, state, batch, records)

    def _train(
        self,
        state: LearnerState,
        batch: Batch,
        records: Mapping[str, DecisionRecord | None],
    ) -> list[PolicyChanged]:
        weighed = [self._weighed(state, event, record_of(event, records)) for _, event in batch]
        events = [event for event in weighed if event is not None]
        if state.contest is None and state.own_policies is None:
            self.trainer.train(state, events)
            return []
        changes = self._train_policies(state, batch, weighed)
        self.trainer.train_rest(state, events)
        return changes

    def _weighed(
        self, state: LearnerState, event: Event, record: DecisionRecord | None
    ) -> JoinedEvent | None:
        """Returns the event with the weight that its tenant and its kind of sign have."""
        if record is None:
            return None
        bought = state.evidence.observe(event, record)
        if bought is not None:
            return JoinedEvent(bought.event, record, evidence_weight=bought.weight)
        share, sign = 1.0, state.implicit_weights.observe(event, record)
        if state.tenant_cap is not None:
            share = _share(state.tenant_cap, event, record, sign)
        if sign is not None and isinstance(event, Decided):
            # What the call itself shows, cost above all, counts in full.
            share, sign = 1.0, sign * share
        if isinstance(event, FeedbackGiven) and record.choice and event.is_label:
            self._compare(record.tenant, record.choice.plan, event.quality)
            self._tell(event, record, record.choice)
        return JoinedEvent(event, record, share, sign)

    def _tell(self, event: FeedbackGiven, record: DecisionRecord, choice: Choice) -> None:
        """Tell of the decision's reward by this feedback, where its plan is still one."""
        trainer = self.trainer
        if choice.plan not in trainer.plans:
            return
        taken_off = burden_of(record, choice, trainer.plans, trainer.units)
        reward = None if taken_off is None else choice.weights.quality * event.quality - taken_off
        trainer.observer.rated(choice.plan, event.quality, reward, event.at_ms / MS_PER_S)

    def _compare(self, tenant: str, plan: str, quality: float) -> None:
        gap = self.outliers.add(tenant, plan, quality)
        if gap is not None:
            self.trainer.observer.deviates(plan)
            _log.warning("tenant %s is off all others on plan %s by %+.2f", tenant, plan, gap)

    def _train_policies(
        self, state: LearnerState, batch: Batch, weighed: Sequence[JoinedEvent | None]
    ) -> list[PolicyChanged]:
        """Train event by event: evidence for the contest comes before anybody learns from it."""
        changes: list[PolicyChanged] = []
        for (position, event), joined in zip(batch, weighed, strict=True):
            if state.contest is not None:
                change = state.contest.observe(position, event, self.trainer.observer)
                if change is not None:
                    state.follow(state.contest)
                    changes.append(change)
            if joined is not None:
                self._train_each(state, joined)
        return changes

    def _train_each(self, state: LearnerState, joined: JoinedEvent) -> None:
        """Train the tenant's own policy in full, before those shared: it begins as a copy."""
        outcomes = self.trainer.outcomes([replace(joined, share=1.0)])
        if state.own_policies is not None and outcomes:
            own = state.own_policies.policy_of(joined.record.tenant, state.shared)
            if own is not None:
                train_policy(own, outcomes, self.trainer.observer)
        for policy in state.policies:
            train_policy(policy, shared(outcomes, joined.share), self.trainer.observer)


def _share(cap: TenantWeightCap, event: Event, record: DecisionRecord, sign: float | None) -> float:
    """Returns the weight of what a tenant says of quality; what the router saw counts in full."""
    if isinstance(event, FeedbackGiven):
        if event.replaces_share is not None:
            cap.weigh(record.tenant, event.weight - event.replaces_share)
        if event.replaces is not None:
            return cap.weight_of(record.id)
        return cap.weigh_feedback(record.tenant, record.id, event.weight)
    is_report = sign or (isinstance(event, Decided) and _is_reported_failure(event.record))
    return cap.weigh(record.tenant) if is_report else 1.0


def _is_reported_failure(record: DecisionRecord) -> bool:
    """Returns whether the caller of `Decide` reported a failure, which is quality 0."""
    failed = any(a.outcome is AttemptOutcome.FAILED for a in record.attempts)
    return record.mode is Mode.DECIDE and failed
