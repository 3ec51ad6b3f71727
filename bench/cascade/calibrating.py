"""Every plan priced from the answers that calibrating the single arms has paid for already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from bandit.gates import Gate
from bench.cascade.replay import REWARDS, Replay
from bench.cascade.world import Brain
from bench.routing.provider import StrictObserver
from bench.routing.recorded import Rows
from router.domain.catalog import Plan
from router.domain.events import Decided, Event, FeedbackGiven
from router.domain.records import Choice, DecisionRecord
from router.learning.cross_fit import CrossFitted, GateCrossFit
from router.learning.training import Trainer, join, train_policy


@dataclass(frozen=True, slots=True)
class RecordedTrial:
    """Implements `router.learning.cross_fit.PromptTrial`."""

    replay: Replay
    row: int
    choice: Choice

    def knows(self, plan: Plan) -> bool:
        _ = plan
        return True

    async def call(self, plan: Plan, gates: Mapping[str, Gate]) -> DecisionRecord:
        choice = replace(self.choice, propensity=1.0, plan=plan.name)
        record, _ = await self.replay.call("", self.row, choice, gates)
        return record

    def quality(self, arm: str) -> float:
        return self.replay.quality(self.row, arm)


class Calibration:
    """Teaches policy and gates full information of rows outside the stream."""

    def __init__(self, replay: Replay, brain: Brain, plans: Mapping[str, Plan]) -> None:
        self._replay = replay
        self._decider = brain.decider
        self._plans = plans
        self._observer = StrictObserver()
        self._cross_fit = GateCrossFit(plans, lambda n: brain.gates(10 + n), self._observer)

    async def teach(self, rows: Rows) -> None:
        trials = [
            RecordedTrial(self._replay, row, self._replay.choose(row)) for row in rows.tolist()
        ]
        schooled = await self._cross_fit.fit(self._decider.gates, trials)
        # What a plan comes to depends on what its promise permits: that first.
        await self._cross_fit.fit_promises(self._decider.promises, schooled)
        for one in schooled:
            await self._outcomes(one)
        await self._replay.settle()

    async def _outcomes(self, one: CrossFitted[RecordedTrial]) -> None:
        trial = one.trial
        for plan in self._plans.values():
            record = await trial.call(plan, one.gates)
            quality = trial.quality(record.arm)
            events: list[Event] = [Decided(record), FeedbackGiven("", quality)]
            trainer = Trainer(self._plans, REWARDS, self._observer)
            found = trainer.outcomes(join(events, {"": record}))
            # A ladder's first rung was learned alone already.
            whole = [outcome for outcome in found if outcome.action.name == plan.name]
            train_policy(self._decider.policy, whole, self._observer)
