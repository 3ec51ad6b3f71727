"""Gates as the replay drives them: timed."""

from __future__ import annotations

import time
from collections.abc import Sequence

from bandit.gates import Chosen, Gate, GateExample, GateInput, Prices
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

    def choose(self, seen: GateInput, prices: Prices, weights: Weights) -> Chosen:
        began_ns = time.perf_counter_ns()
        chosen = self._gate.choose(seen, prices, weights)
        self.spent_ns += time.perf_counter_ns() - began_ns
        self.choices += 1
        return chosen

    def learn(self, lessons: Sequence[GateExample]) -> None:
        self._gate.learn(lessons)

    def save(self) -> bytes:
        return self._gate.save()
