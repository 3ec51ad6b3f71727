"""What a gate is told when it is made."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from bandit.errors import BadSettings
from bandit.settings import ContextShape
from bandit.types import Units

MAX_MEMORY = 100_000


@dataclass(frozen=True, slots=True)
class GateSettings:
    """Settings of every gate; each reads the ones it has a use for.

    units:           what one unit of cost is.
    shape:           of the contexts, `ContextMap.shape`.
    signals:         numbers in `GateInput.signals`.
    signals_version: of the signals; "" to hold to the first version seen.
    agree_above:     agreement from which two answers count as the same.
    plain_lessons:   lessons by the plain rule before what was learned is trusted.
    scale:           factor on the posterior's standard deviation while drawing, less later.
    floor:           least probability of an eligible step of the learned gate.
    draws:           posterior draws per choice from which probabilities are counted.
    memory:          lessons kept as they came; older ones live on in a summary.
    """

    units: Units = field(default_factory=lambda: Units(cost_usd=0.01))
    shape: ContextShape = field(default_factory=ContextShape)
    signals: int = 23
    signals_version: str = ""
    agree_above: float = 0.8
    plain_lessons: int = 30
    scale: float = 0.3
    floor: float = 0.001
    draws: int = 128
    memory: int = 1_000

    def __post_init__(self) -> None:
        if not 0 < self.units.cost_usd < math.inf:
            raise BadSettings("units.cost_usd must be a finite number > 0")
        _within("signals", self.signals, 1, 1_000)
        _within("agree_above", self.agree_above, 0, 1)
        _within("plain_lessons", self.plain_lessons, 0, 100_000)
        _within("scale", self.scale, 0, 10)
        _within("floor", self.floor, 1e-6, 0.25)
        _within("draws", self.draws, 1, 100_000)
        _within("memory", self.memory, 1, MAX_MEMORY)


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise BadSettings(f"{name} must be in [{low:g}, {high:g}]")
