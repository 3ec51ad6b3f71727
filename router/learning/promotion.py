"""Promotion: challengers learn from the champion's log and take over when evidence says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

from annotated_types import Ge, Le

from bandit.errors import BanditError
from bandit.offpolicy import GainTally
from bandit.types import Policy, Units
from router.domain.bounds import WHOLE
from router.domain.catalog import Plan
from router.domain.events import (
    Decided,
    Event,
    FeedbackGiven,
    GainFound,
    Move,
    Mover,
    PolicyChanged,
    PolicyCommand,
)
from router.domain.logged_context import read_context
from router.domain.records import Choice, DecisionRecord
from router.learning.promotion_state import (
    ContestState,
    burden_of,
    eligible_of,
    is_evidence,
    pending_of,
    weights_of,
)
from router.ports.observer import Observer

GUARD_EVENTS: Final = 100
"""Decisions with feedback after a promotion before the guard may take it back."""


@dataclass(frozen=True, slots=True)
class ContestSettings:
    """When a challenger takes over from the policy that serves, and when that is taken back."""

    automatic: bool = False
    """Promote as soon as the evidence is there; `no`: only `policy promote` does."""
    min_events: Annotated[int, WHOLE, Ge(30), Le(10_000_000)] = 1_000
    """Decisions with feedback that an automatic promotion needs."""
    margin: Annotated[float, Ge(0), Le(10)] = 0.005
    """Least gain that the lower bound of a challenger's has to exceed."""
    confidence: Annotated[float, Ge(0.5), Le(0.9999)] = 0.95
    """Confidence of the intervals of all challengers together, at all times."""
    guard: bool = True
    """Take a promotion back when the policy before it is surely better."""
    max_waiting: Annotated[int, WHOLE, Ge(100), Le(50_000)] = 2_000
    """Newest decisions without feedback whose feedback still counts for the challengers."""


@dataclass(frozen=True, slots=True)
class ContestTerms:
    """Everything a contest is decided by."""

    plans: Mapping[str, Plan]
    units: Units
    settings: ContestSettings


@dataclass(slots=True)
class ChampionChallenger:
    """The contest between the policy that serves and its challengers.

    Its state is a function of the events in their order.

    policies: every member by name, the champion too.
    """

    policies: Mapping[str, Policy]
    state: ContestState
    terms: ContestTerms

    def observe(self, position: str, event: Event, observer: Observer) -> PolicyChanged | None:
        """Count the event as evidence, before any member learns from it.

        Returns a change of champion, or a command that was refused.
        """
        if isinstance(event, PolicyCommand):
            return self._execute(position, event)
        if isinstance(event, Decided):
            return self._add_decision(position, event.record, observer)
        if isinstance(event, FeedbackGiven):
            return self._add_feedback(position, event, observer)
        return None

    def standings(self) -> list[GainFound]:
        """Returns every challenger's gain, with intervals that hold for all of them together."""
        level = 1 - (1 - self.terms.settings.confidence) / max(1, len(self.state.tallies))
        return [self._found(name, level) for name in self.state.tallies]

    def _add_decision(
        self, position: str, record: DecisionRecord, observer: Observer
    ) -> PolicyChanged | None:
        choice, terms, waiting = record.choice, self.terms, self.state.waiting
        if choice is None or choice.member != self.state.champion:
            return None  # another policy's probabilities: no evidence on gains
        if record.id not in waiting and is_evidence(record, choice, terms.plans):
            waiting[record.id] = pending_of(choice, self._wanted(choice, observer))
            if len(waiting) > terms.settings.max_waiting:
                del waiting[next(iter(waiting))]
        if record.id not in waiting or not record.settled:
            return None
        waiting[record.id].burden = burden_of(record, choice, terms.plans, terms.units)
        if waiting[record.id].burden is None:
            del waiting[record.id]
        return self._count(position, record.id, observer)

    def _add_feedback(
        self, position: str, event: FeedbackGiven, observer: Observer
    ) -> PolicyChanged | None:
        decision = self.state.waiting.get(event.decision_id)
        if decision is None or not event.is_measured:
            return None  # silence is no measurement, a session's feedback one for all it credits
        decision.quality = event.quality
        return self._count(position, event.decision_id, observer)

    def _wanted(self, choice: Choice, observer: Observer) -> dict[str, tuple[float, ...]]:
        context, weights = read_context(choice.context), weights_of(choice)
        eligible = eligible_of(choice, self.terms.plans)
        wanted: dict[str, tuple[float, ...]] = {}
        for name in self.state.tallies:
            try:
                decided = self.policies[name].decide(context, eligible, weights)
            except BanditError:
                observer.degraded("challenger_refused")
                continue
            wanted[name] = tuple(decided.probabilities[action.name] for action in eligible)
        return wanted

    def _count(self, position: str, decision_id: str, observer: Observer) -> PolicyChanged | None:
        """Add a decision whose reward is known by now to everyone's evidence."""
        decision = self.state.waiting.get(decision_id)
        if decision is None or (reward := decision.reward) is None:
            return None
        del self.state.waiting[decision_id]
        for name in decision.wanted:
            try:
                self.state.tallies[name].add(decision.weighed(name, reward))
            except BanditError:
                observer.degraded("evidence_refused")
        return self._rolled_back(position) or self._promoted(position)

    def _rolled_back(self, position: str) -> PolicyChanged | None:
        settings, previous = self.terms.settings, self.state.previous
        if not settings.guard or not previous:
            return None
        found = self._found(previous, settings.confidence)
        if found.events < min(GUARD_EVENTS, settings.min_events) or (found.low or 0.0) <= 0:
            return None
        return self._move(position, previous, Move.ROLLED_BACK, Mover.GUARD, found)

    def _promoted(self, position: str) -> PolicyChanged | None:
        settings = self.terms.settings
        if not settings.automatic:
            return None
        enough = [name for name, t in self.state.tallies.items() if t.count >= settings.min_events]
        proven = [
            found
            for found in (self.standings() if enough else [])
            if found.member in enough and (found.low or 0.0) > settings.margin
        ]
        if not proven:
            return None
        best = max(proven, key=lambda found: found.low or 0.0)
        return self._move(position, best.member, Move.PROMOTED, Mover.EVIDENCE, best)

    def _execute(self, position: str, command: PolicyCommand) -> PolicyChanged:
        rolls_back = command.move is Move.ROLLED_BACK
        name = self.state.previous if rolls_back else command.name
        refused = self._objection(name, rolls_back=rolls_back)
        if not refused:
            found = self._found(name, self.terms.settings.confidence)
            return self._move(position, name, command.move, Mover.HAND, found)
        now = self.state.champion
        return PolicyChanged(position, command.move, Mover.HAND, now, now, refused=refused)

    def _objection(self, name: str, *, rolls_back: bool) -> str:
        if rolls_back and not name:
            return "nothing was promoted since the last rollback"
        if name == self.state.champion:
            return "it serves already"
        return "" if name in self.policies else "the learner's config has no such challenger"

    def _move(
        self, position: str, name: str, move: Move, by: Mover, found: GainFound
    ) -> PolicyChanged:
        """Change the champion; evidence starts anew, for it was about the earlier one."""
        before = self.state.champion
        self.state = ContestState(
            champion=name,
            previous=before if move is Move.PROMOTED else "",
            since=position,
            prints=self.state.prints,
            tallies={other: GainTally() for other in self.policies if other != name},
        )
        return PolicyChanged(position, move, by, before, name, found)

    def _found(self, name: str, level: float) -> GainFound:
        tally = self.state.tallies[name]
        interval = tally.interval(level, tuned_for=self.terms.settings.min_events)
        low, high = (interval.low, interval.high) if interval else (None, None)
        return GainFound(name, tally.count, tally.gain, low, high, tally.effective)
