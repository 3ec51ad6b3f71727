"""Notices a tenant whose feedback on a plan is far off everyone else's."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median
from typing import Final

LEAST: Final = 30
"""Signs of a tenant on a plan before it is compared; from then on each time they have doubled."""
LEAST_OTHERS: Final = 3
"""Of two or three tenants nobody can say which one is off."""
GAP: Final = 0.3
SIGMAS: Final = 6.0
LEAST_VARIANCE: Final = 0.01
MOST: Final = 16 * LEAST
"""Signs that are remembered of one tenant on one plan: then all of them count for half."""
MOST_PAIRS: Final = 20_000


@dataclass(slots=True)
class _Heard:
    """Signs of one tenant on one plan. told: whether it was off when it was last compared."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0
    told: bool = False

    @property
    def mean(self) -> float:
        return self.total / self.count

    @property
    def error(self) -> float:
        """Standard error of the mean."""
        variance = max(LEAST_VARIANCE, self.squares / self.count - self.mean**2)
        return math.sqrt(variance / self.count)

    def add(self, quality: float) -> bool:
        """Whether it is time to compare."""
        if self.count == MOST:
            self.count, self.total, self.squares = MOST // 2, self.total / 2, self.squares / 2
        self.count += 1
        self.total += quality
        self.squares += quality**2
        doublings = self.count // LEAST
        return self.count % LEAST == 0 and doublings & (doublings - 1) == 0


class FeedbackOutliers:
    """Of what this process has heard; pairs of tenant and plan beyond `MOST_PAIRS` are not kept.

    A tenant is held against the median of the other tenants' means: one that says much does not
    make the others look odd.
    """

    def __init__(self) -> None:
        self._plans: dict[str, dict[str, _Heard]] = {}
        self._pairs = 0

    def hear(self, tenant: str, plan: str, quality: float) -> float | None:
        """How far off the others the tenant is, on average, when that becomes plain; else None."""
        tenants = self._plans.setdefault(plan, {})
        if tenant not in tenants:
            if self._pairs >= MOST_PAIRS:
                return None
            tenants[tenant] = _Heard()
            self._pairs += 1
        own = tenants[tenant]
        if not own.add(quality):
            return None
        means = [h.mean for name, h in tenants.items() if name != tenant and h.count >= LEAST]
        gap = own.mean - median(means) if len(means) >= LEAST_OTHERS else 0.0
        is_off = abs(gap) > max(GAP, SIGMAS * own.error)
        is_news, own.told = is_off and not own.told, is_off
        return gap if is_news else None
