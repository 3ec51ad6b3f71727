"""Microseconds that the stages of a replay take."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from bandit.gates import Chosen, Gate, GateExample, GateInput, Prices
from bandit.types import Weights

STAGES: Final = ("decide", "call", "learn")


class Stopwatch:
    """Adds up the time of each stage."""

    def __init__(self) -> None:
        self._spent_ns: Counter[str] = Counter()
        self._entered: Counter[str] = Counter()

    @contextmanager
    def of(self, stage: str) -> Iterator[None]:
        began_ns = time.perf_counter_ns()
        yield
        self._spent_ns[stage] += time.perf_counter_ns() - began_ns
        self._entered[stage] += 1

    def means_us(self, requests: int) -> tuple[float, ...]:
        """Returns means per request of `STAGES`, and the mean of one choice of a gate."""
        each = (self._spent_ns[stage] / requests / 1_000 for stage in STAGES)
        return (*each, self._spent_ns["gate"] / max(1, self._entered["gate"]) / 1_000)


class TimedGate:
    """A gate whose choices are timed."""

    def __init__(self, gate: Gate, watch: Stopwatch) -> None:
        self._gate = gate
        self._watch = watch

    @property
    def name(self) -> str:
        return self._gate.name

    @property
    def learned(self) -> int:
        return self._gate.learned

    def choose(self, seen: GateInput, prices: Prices, weights: Weights) -> Chosen:
        with self._watch.of("gate"):
            return self._gate.choose(seen, prices, weights)

    def learn(self, lessons: Sequence[GateExample]) -> None:
        self._gate.learn(lessons)

    def save(self) -> bytes:
        return self._gate.save()
