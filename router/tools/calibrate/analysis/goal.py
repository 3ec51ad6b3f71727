"""The goal of a calibration: so many prompts, or as many as an interval takes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from router.tools.calibrate.analysis.precision import Precision

PILOT: Final = 100
"""Prompts that tell how many an interval takes."""
GROWTH: Final = 2
"""Prompts of a round, with those before, over those before: a pilot's variance errs."""
LEAST_MORE: Final = 10


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a calibration stands. picked: prompts, of `file`. complete: of those picked.

    grew: the last round made some complete. precision: of the gain, None where too few are
    complete. spent_usd, left_usd: of the budget. refused: prompts that it could not pay for.
    refused_usd: the most that one of these costs.
    """

    picked: int
    file: int
    complete: int
    grew: bool
    precision: Precision | None
    spent_usd: float
    left_usd: float
    refused: int = 0
    refused_usd: float = 0.0


@dataclass(frozen=True, slots=True)
class Goal:
    """prompts: to pick. half_width: of the 95 % interval of the gain. Without both: all prompts."""

    prompts: int | None = None
    half_width: float | None = None

    def first(self, file: int) -> int:
        """Returns how many prompts are picked at first."""
        if self.half_width is not None:
            return min(PILOT, file)
        return file if self.prompts is None else min(self.prompts, file)

    def next(self, at: Progress) -> int | None:
        """Returns how many prompts are picked in all by the next round; None after the last.

        The number that the interval takes by what is known (Stein 1945), found again after each
        round (Chow and Robbins 1965).
        """
        if self.half_width is None or at.picked >= at.file:
            return None
        if at.refused or not at.grew:
            return None
        most = min(at.file, GROWTH * at.picked)
        if at.precision is None:
            return most
        if at.precision.half_width() <= self.half_width:
            return None
        missing = at.precision.needed(self.half_width) - at.complete
        more = max(LEAST_MORE, math.ceil(missing * at.picked / at.complete))
        return min(most, at.picked + more)

    def outcome(self, at: Progress) -> GoalOutcome | None:
        """Returns how the last round leaves it; None where no interval was wanted or is known."""
        if self.half_width is None or at.precision is None:
            return None
        reached = at.precision.half_width() <= self.half_width
        needed = at.complete if reached else at.precision.needed(self.half_width)
        more = max(0, needed - at.complete)
        cost_usd = more * at.spent_usd / at.complete
        return GoalOutcome(
            wanted=self.half_width,
            half_width=at.precision.half_width(),
            prompts=at.complete,
            needed=needed,
            file_lacks=max(0, more - (at.file - at.picked) - at.refused),
            cost_usd=cost_usd,
            budget_lacks_usd=max(0.0, cost_usd + at.refused_usd - at.left_usd) if more else 0.0,
        )


@dataclass(frozen=True, slots=True)
class GoalOutcome:
    """wanted, half_width: of the interval. prompts: complete ones, of the `needed`.

    file_lacks: prompts. cost_usd: of those still needed. budget_lacks_usd: of that.
    """

    wanted: float
    half_width: float
    prompts: int
    needed: int
    file_lacks: int
    cost_usd: float
    budget_lacks_usd: float

    @property
    def reached(self) -> bool:
        return self.half_width <= self.wanted

    @property
    def text(self) -> str:
        wanted = f"±{self.wanted:g} was wanted, ±{self.half_width:.4f} is reached"
        if self.reached:
            return f"{wanted} with {self.prompts} prompts"
        told = f"{wanted} with {self.prompts} of about {self.needed} prompts"
        return "; ".join(
            [f"{told}, of which the others cost about ${self.cost_usd:.4f}", *self._lacks]
        )

    @property
    def _lacks(self) -> list[str]:
        lacks = list[str]()
        if self.file_lacks:
            lacks.append(f"the file is short of {self.file_lacks} prompts: add as many")
        if self.budget_lacks_usd:
            lacks.append(f"the budget is short of about ${self.budget_lacks_usd:.4f}")
        return lacks or ["run the same command again to go on"]
