"""Results of fixed choices on the same prompts: the bar a router has to clear."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Score:
    """Means over some prompts. reward: quality - weight * cost / unit."""

    quality: float
    cost_usd: float
    reward: float


@dataclass(frozen=True, slots=True)
class Utility:
    """cost_weight: quality points that one unit of cost is worth."""

    cost_weight: float
    unit_usd: float

    def reward(self, quality: float, cost_usd: float) -> float:
        return quality - self.cost_weight * cost_usd / self.unit_usd


Outcomes = Sequence[Mapping[str, tuple[float, float]]]
"""Per prompt: arm -> (quality, cost_usd), also of arms that were not called."""


def always(outcomes: Outcomes, arm: str, utility: Utility) -> Score:
    """One arm for every prompt.

    >>> always([{"a": (1.0, 2.0)}, {"a": (0.0, 4.0)}], "a", Utility(0.1, 1.0))
    Score(quality=0.5, cost_usd=3.0, reward=0.2)
    """
    quality, cost_usd = (float(x) for x in np.mean([o[arm] for o in outcomes], axis=0))
    return Score(quality, cost_usd, round(utility.reward(quality, cost_usd), 12))


def mix(outcomes: Outcomes, arms: tuple[str, str], cost_usd: float, utility: Utility) -> Score:
    """Flip a coin between a cheap and a dear arm so that the mean cost is `cost_usd`.

    Beyond the arms' own costs the nearer arm alone is the answer.

    >>> two = [{"a": (0.4, 1.0), "b": (0.8, 3.0)}]
    >>> mix(two, ("a", "b"), 2.0, Utility(0.1, 1.0)).quality
    0.6
    """
    low, high = (always(outcomes, arm, utility) for arm in arms)
    span = high.cost_usd - low.cost_usd
    share = min(1.0, max(0.0, (cost_usd - low.cost_usd) / span)) if span > 0 else 0.0
    quality = round(low.quality + share * (high.quality - low.quality), 12)
    cost = low.cost_usd + share * span
    return Score(quality, cost, utility.reward(quality, cost))
