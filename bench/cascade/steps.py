"""Gates as the replay drives them: timed, and one that is told to have every answer brought."""

from __future__ import annotations

import time
from collections.abc import Sequence

from bandit.steps import Chosen, Gate, Lesson, Prices, Seen, Step
from bandit.types import Weights


class TimedGate:
    """Adds up what choosing takes."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self.choices = 0
        self.spent_ns = 0

    @property
    def name(self) -> str:
        return self._gate.name

    @property
    def learned(self) -> int:
        return self._gate.learned

    def choose(self, seen: Seen, prices: Prices, weights: Weights) -> Chosen:
        began_ns = time.perf_counter_ns()
        chosen = self._gate.choose(seen, prices, weights)
        self.spent_ns += time.perf_counter_ns() - began_ns
        self.choices += 1
        return chosen

    def learn(self, lessons: Sequence[Lesson]) -> None:
        self._gate.learn(lessons)

    def save(self) -> bytes:
        return self._gate.save()


class EveryAnswer:
    """Asks whoever may be asked, then escalates: afterwards every answer is known."""

    name = "every answer"
    learned = 0

    def choose(self, seen: Seen, prices: Prices, weights: Weights) -> Chosen:
        _ = weights
        asks = prices.second_usd is not None and not seen.asked
        step = Step.ASK if asks else Step.ESCALATE
        return Chosen(step, 1.0, {step: 1.0}, 0.5, {step: 0.0})

    def learn(self, lessons: Sequence[Lesson]) -> None:
        pass

    def save(self) -> bytes:
        return b""
