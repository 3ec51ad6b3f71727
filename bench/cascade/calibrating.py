"""Every plan priced from the answers that calibrating the single arms has paid for already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from bandit.promise import Source
from bandit.steps import Gate, Lesson, Step
from bench.cascade.replay import REWARDS, Replay
from bench.cascade.steps import EveryAnswer
from bench.cascade.world import Brain
from bench.routing.provider import StrictObserver
from bench.routing.recorded import Rows
from router.core.arms import Plan
from router.core.judging.lessons import PlanLesson
from router.core.records import Choice, Decided, FeedbackGiven
from router.core.teaching import joined, lessons, teach, teach_gates

FOLDS: Final = 5


class Calibration:
    """Teaches policy and gates full information of rows outside the stream.

    A gate learns from every answer. What a plan comes to is found with gates that have not seen
    the prompt: on its own prompts a gate looks better than it is.
    """

    def __init__(self, replay: Replay, brain: Brain, plans: Mapping[str, Plan]) -> None:
        self._replay = replay
        self._brain = brain
        self._plans = plans
        self._observer = StrictObserver()

    async def teach(self, rows: Rows) -> None:
        taught = [await self._lessons(row) for row in rows.tolist()]
        teach_gates(self._brain.decider.gates, [t for found in taught for t in found], _STRICT)
        folds = []
        for number in range(FOLDS):
            rest = [t for i, found in enumerate(taught) if i % FOLDS != number for t in found]
            gates = self._brain.gates(10 + number)
            teach_gates(gates, rest, _STRICT)
            folds += [(row, gates) for row in rows[number::FOLDS].tolist()]
        # What a plan comes to depends on what its promise permits: that first.
        for work in (self._labels, self._outcomes):
            for row, gates in folds:
                await work(row, gates)
        await self._replay.settle()

    async def _labels(self, row: int, gates: Mapping[str, Gate]) -> None:
        """What an answer that its gate would accept is worth: the score is of an unseen prompt."""
        for name, promise in self._brain.decider.promises.items():
            choice = replace(self._told(row), plan=name)
            record, _ = await self._replay.call("", row, choice, gates)
            last = record.judged.steps[-1] if record.judged else None
            if last is not None and Step.ACCEPT in (last.step, last.instead):
                bad = 1 - self._replay.quality(row, self._plans[name].rungs[0])
                promise.observe(last.score, bad, source=Source.CALIBRATION)

    async def _lessons(self, row: int) -> list[PlanLesson]:
        choice = self._told(row)
        found = []
        for plan in self._plans.values():
            if plan.is_judged:
                record, _ = await self._replay.call(
                    "", row, replace(choice, plan=plan.name), {plan.name: EveryAnswer()}
                )
                seen = lessons([Decided(record)], {}, self._plans, REWARDS)
                found += [PlanLesson(t.plan, self._full(t.lesson, plan, row)) for t in seen]
        return found

    def _full(self, lesson: Lesson, plan: Plan, row: int) -> Lesson:
        first, strong = (self._replay.quality(row, arm) for arm in (plan.rungs[0], plan.rungs[-1]))
        second = self._replay.quality(row, plan.second) if plan.second else None
        return replace(lesson, first_ok=first, second_ok=second, strong_ok=strong)

    async def _outcomes(self, row: int, gates: Mapping[str, Gate]) -> None:
        choice = self._told(row)
        for plan in self._plans:
            record, _ = await self._replay.call("", row, replace(choice, plan=plan), gates)
            feedback = FeedbackGiven("", self._replay.quality(row, record.arm))
            found = joined([Decided(record), feedback], {"": record}, self._plans, REWARDS)
            # A ladder's first rung was learned alone already.
            whole = [outcome for outcome in found if outcome.action.name == plan]
            teach(self._brain.decider.policy, whole, _STRICT)

    def _told(self, row: int) -> Choice:
        return replace(self._replay.choose(row), propensity=1.0)


_STRICT: Final = StrictObserver()
