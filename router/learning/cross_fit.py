"""Gates taught by prompts of which every arm's answer is known, before anybody asks for one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Generic, Protocol, TypeVar

from bandit.gates import Chosen, Gate, GateExample, GateInput, Prices, Step
from bandit.risk import LabelSource, Promise
from bandit.types import Weights
from router.domain.catalog import Plan
from router.domain.records import DecisionRecord
from router.learning.gate_examples import PlanLesson, lesson_of_call
from router.learning.training import teach_gates
from router.ports.observer import Observer

FOLDS: Final = 5


class Trial(Protocol):
    """One prompt and the answers to it."""

    def knows(self, plan: Plan) -> bool:
        """Whether there is what the plan may call."""
        ...

    async def call(self, plan: Plan, gates: Mapping[str, Gate]) -> DecisionRecord:
        """Carry the plan out, with the answers there are."""
        ...

    def quality(self, arm: str) -> float | None:
        """Of the arm's answer; None where it has no score."""
        ...


AnyTrial = TypeVar("AnyTrial", bound=Trial)


@dataclass(frozen=True, slots=True)
class Schooled(Generic[AnyTrial]):
    """A prompt, and gates that were taught by the other folds alone.

    On its own prompts a gate looks better than it is: what a plan comes to is found with these.
    """

    trial: AnyTrial
    gates: Mapping[str, Gate]


class School:
    """fresh: gates by plan, other ones for each number."""

    def __init__(
        self,
        plans: Mapping[str, Plan],
        fresh: Callable[[int], Mapping[str, Gate]],
        observer: Observer,
    ) -> None:
        self._plans = [plan for plan in plans.values() if plan.is_judged]
        self._fresh = fresh
        self._observer = observer

    async def teach(
        self, gates: Mapping[str, Gate], trials: Sequence[AnyTrial]
    ) -> list[Schooled[AnyTrial]]:
        """Teach every answer to `gates`; every fifth trial is then a fold, fold after fold."""
        taught = [await self._lessons(trial) for trial in trials]
        teach_gates(gates, [t for found in taught for t in found], self._observer)
        schooled = []
        for number in range(FOLDS):
            rest = [t for i, found in enumerate(taught) if i % FOLDS != number for t in found]
            unseen = self._fresh(number)
            teach_gates(unseen, rest, self._observer)
            schooled += [Schooled(trial, unseen) for trial in trials[number::FOLDS]]
        return schooled

    async def promise(
        self, promises: Mapping[str, Promise], schooled: Sequence[Schooled[AnyTrial]]
    ) -> None:
        """Told what answers are worth that their gates would accept; they are no tenant's."""
        for one in schooled:
            for plan in self._plans:
                if plan.name in promises and one.trial.knows(plan):
                    await self._label(promises[plan.name], plan, one)

    async def _label(self, promise: Promise, plan: Plan, one: Schooled[AnyTrial]) -> None:
        record = await one.trial.call(plan, one.gates)
        last = record.judged.steps[-1] if record.judged else None
        quality = one.trial.quality(plan.rungs[0])
        if last is not None and quality is not None and Step.ACCEPT in (last.step, last.instead):
            promise.observe(last.score, 1 - quality, source=LabelSource.CALIBRATION)

    async def _lessons(self, trial: Trial) -> list[PlanLesson]:
        found: list[PlanLesson] = []
        for plan in self._plans:
            if trial.knows(plan):
                record = await trial.call(plan, {plan.name: _EveryAnswer()})
                lesson = lesson_of_call(record, plan)
                if lesson is not None:
                    found.append(PlanLesson(plan.name, _full(lesson, plan, trial)))
        return found


def _full(lesson: GateExample, plan: Plan, trial: Trial) -> GateExample:
    first, strong = trial.quality(plan.rungs[0]), trial.quality(plan.rungs[-1])
    second = trial.quality(plan.second) if plan.second else None
    return replace(lesson, first_ok=first, second_ok=second, strong_ok=strong)


class _EveryAnswer:
    """Asks whoever may be asked, then escalates: afterwards every answer is known."""

    name = "every answer"
    learned = 0

    def choose(self, seen: GateInput, prices: Prices, weights: Weights) -> Chosen:
        _ = weights
        asks = prices.second_usd is not None and not seen.asked
        step = Step.ASK if asks else Step.ESCALATE
        return Chosen(step, 1.0, {step: 1.0}, 0.5, {step: 0.0})

    def learn(self, lessons: Sequence[GateExample]) -> None:
        pass

    def save(self) -> bytes:
        return b""
