"""Cross-fitting of gates on prompts whose answers are all known, before the first request."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Generic, Protocol, TypeVar

from bandit.gates import Chosen, Gate, GateExample, GateInput, Prices, Step
from bandit.risk import LabelSource, Promise
from bandit.types import Weights
from router.domain.catalog import Plan
from router.domain.records import DecisionRecord
from router.learning.gate_examples import PlanExample, example_of_call
from router.learning.training import train_gates
from router.ports.observer import Observer

FOLDS: Final = 5


class PromptTrial(Protocol):
    """A prompt with known answers."""

    def knows(self, plan: Plan) -> bool:
        """Returns whether every answer is known that the plan may need."""
        ...

    async def call(self, plan: Plan, gates: Mapping[str, Gate]) -> DecisionRecord:
        """Carry the plan out with the known answers."""
        ...

    def quality(self, arm: str) -> float | None:
        """Returns the quality of the arm's answer; None where it has no score."""
        ...


AnyTrial = TypeVar("AnyTrial", bound=PromptTrial)


@dataclass(frozen=True, slots=True)
class CrossFitted(Generic[AnyTrial]):
    """A prompt, and gates that were trained on the other folds only.

    A gate looks better than it is on its own training prompts: plans are valued with these.
    """

    trial: AnyTrial
    gates: Mapping[str, Gate]


class GateCrossFit:
    """Trains the gates of judged plans, and values them on prompts they were not trained on.

    plans: of the config. fresh: makes untrained gates by plan, others for each fold.
    """

    def __init__(
        self,
        plans: Mapping[str, Plan],
        fresh: Callable[[int], Mapping[str, Gate]],
        observer: Observer,
    ) -> None:
        self._plans = [plan for plan in plans.values() if plan.is_judged]
        self._fresh = fresh
        self._observer = observer

    async def fit(
        self, gates: Mapping[str, Gate], trials: Sequence[AnyTrial]
    ) -> list[CrossFitted[AnyTrial]]:
        """Train `gates` on all trials. Returns the trials, fold after fold, with their gates."""
        examples = [await self._examples(trial) for trial in trials]
        train_gates(gates, [one for found in examples for one in found], self._observer)
        fitted = []
        for fold in range(FOLDS):
            rest = [one for i, found in enumerate(examples) if i % FOLDS != fold for one in found]
            held_out = self._fresh(fold)
            train_gates(held_out, rest, self._observer)
            fitted += [CrossFitted(trial, held_out) for trial in trials[fold::FOLDS]]
        return fitted

    async def fit_promises(
        self, promises: Mapping[str, Promise], fitted: Sequence[CrossFitted[AnyTrial]]
    ) -> None:
        """Train promises on the answers that the cross-fitted gates accept, for no tenant."""
        for one in fitted:
            for plan in self._plans:
                if plan.name in promises and one.trial.knows(plan):
                    await self._label(promises[plan.name], plan, one)

    async def _label(self, promise: Promise, plan: Plan, one: CrossFitted[AnyTrial]) -> None:
        record = await one.trial.call(plan, one.gates)
        last = record.judged.steps[-1] if record.judged else None
        quality = one.trial.quality(plan.rungs[0])
        if last is not None and quality is not None and Step.ACCEPT in (last.step, last.instead):
            promise.observe(last.score, 1 - quality, source=LabelSource.CALIBRATION)

    async def _examples(self, trial: PromptTrial) -> list[PlanExample]:
        found: list[PlanExample] = []
        for plan in self._plans:
            if trial.knows(plan):
                record = await trial.call(plan, {plan.name: _CallEveryArm()})
                example = example_of_call(record, plan)
                if example is not None:
                    found.append(PlanExample(plan.name, _labelled(example, plan, trial)))
        return found


def _labelled(example: GateExample, plan: Plan, trial: PromptTrial) -> GateExample:
    first, strong = trial.quality(plan.rungs[0]), trial.quality(plan.rungs[-1])
    second = trial.quality(plan.second) if plan.second else None
    return replace(example, first_ok=first, second_ok=second, strong_ok=strong)


class _CallEveryArm:
    """Implements `Gate`: asks for a second opinion where there is one, then escalates."""

    name = "every answer"
    learned = 0

    def choose(self, seen: GateInput, prices: Prices, weights: Weights) -> Chosen:
        _ = weights
        asks = prices.second_usd is not None and not seen.asked
        step = Step.ASK if asks else Step.ESCALATE
        return Chosen(step, 1.0, {step: 1.0}, 0.5, {step: 0.0})

    def learn(self, examples: Sequence[GateExample]) -> None:
        pass

    def save(self) -> bytes:
        return b""
