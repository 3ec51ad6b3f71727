"""Tenants apart: how much one may decide, who is an outlier, and policies of their own."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final

from bandit.types import Policy

HALF_LIFE: Final = 5_000.0
"""Signs of quality, of all tenants, after which one counts for half."""
LEAST_OTHER_SIGNS: Final = 50.0
"""Recent signs of all other tenants that are needed before a tenant is capped."""
MOST_TENANTS: Final = 10_000
"""Tenants counted by name; the quietest beyond these are counted among the others."""
MOST_REDUCED: Final = 2_000
"""Decisions remembered whose feedback counted for less than its full weight."""
_LARGE: Final = 2.0**40

LEAST_FEEDBACK: Final = 30
"""Feedback of a tenant on a plan before it is compared; again each time this has doubled."""
LEAST_OTHER_TENANTS: Final = 3
"""Among two or three tenants nobody can say which one is the outlier."""
GAP: Final = 0.3
SIGMAS: Final = 6.0
LEAST_VARIANCE: Final = 0.01
MOST_FEEDBACK: Final = 16 * LEAST_FEEDBACK
"""Feedback counted of one tenant on one plan: at this number all of it is halved."""
MOST_PAIRS: Final = 20_000


class TenantWeightCap:
    """Weighs signs of quality so that no tenant has more than its share beside the others.

    A sign of tenant t weighs min(1, s / (1 - s) * O / W), where W is the recent weight of t's signs
    and O that of all others: however many t gives, they have the share s of the weight. Without
    other tenants nothing is capped. Sums decay, so that a loud tenant recovers once it is quiet.

    max_share: s, in (0, 1). state: as returned by `state`.
    """

    def __init__(self, max_share: float, state: dict[str, Any] | None = None) -> None:
        """Raises KeyError, TypeError or ValueError for an invalid state."""
        kept = state or {"unit": 1.0, "total": 0.0, "sums": {}}
        self._odds = max_share / (1 - max_share)
        self._unit = float(kept["unit"])
        self._total = float(kept["total"])
        self._sums = {str(name): float(total) for name, total in kept["sums"].items()}
        self._reduced = {str(name): float(share) for name, share in kept.get("told", [])}
        if not 1 <= self._unit <= _LARGE:
            raise ValueError("the unit of influence is out of range")

    def weigh(self, tenant: str, amount: float = 1.0) -> float:
        """Count a sign of the tenant and return its weight, in (0, 1].

        amount: below 1 for a share of a session's feedback.
        """
        self._unit *= 2 ** (amount / HALF_LIFE)
        own = self._sums[tenant] = self._sums.get(tenant, 0.0) + self._unit * amount
        self._total += self._unit * amount
        others = max(0.0, self._total - own)
        self._bound()
        if others < LEAST_OTHER_SIGNS * self._unit:
            return 1.0
        return min(1.0, self._odds * others / own)

    def weigh_feedback(self, tenant: str, decision_id: str, amount: float = 1.0) -> float:
        """Weigh like `weigh`, and remember it: a correction takes back what was counted."""
        share = self.weigh(tenant, amount)
        if share < 1:
            self._reduced[decision_id] = share
            if len(self._reduced) > MOST_REDUCED:
                del self._reduced[next(iter(self._reduced))]
        return share

    def weight_of(self, decision_id: str) -> float:
        """Returns the weight that the first feedback on this decision had."""
        return self._reduced.get(decision_id, 1.0)

    def state(self) -> dict[str, Any]:
        # A list, because its order is part of the state: the oldest leaves first.
        told = [[name, share] for name, share in self._reduced.items()]
        return {"unit": self._unit, "total": self._total, "sums": dict(self._sums), "told": told}

    def _bound(self) -> None:
        if len(self._sums) > MOST_TENANTS:
            del self._sums[min(self._sums, key=self._sums.__getitem__)]
        if self._unit > _LARGE / 2:
            self._sums = {name: total / self._unit for name, total in self._sums.items()}
            self._total /= self._unit
            self._unit = 1.0


@dataclass(slots=True)
class _FeedbackStats:
    """Feedback of one tenant on one plan. was_off: whether it was off when last compared."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0
    was_off: bool = False

    @property
    def mean(self) -> float:
        return self.total / self.count

    @property
    def error(self) -> float:
        """Standard error of the mean."""
        variance = max(LEAST_VARIANCE, self.squares / self.count - self.mean**2)
        return math.sqrt(variance / self.count)

    def add(self, quality: float) -> bool:
        """Count the feedback. Returns whether it is time to compare."""
        if self.count == MOST_FEEDBACK:
            self.count, self.total = MOST_FEEDBACK // 2, self.total / 2
            self.squares /= 2
        self.count += 1
        self.total += quality
        self.squares += quality**2
        doublings = self.count // LEAST_FEEDBACK
        return self.count % LEAST_FEEDBACK == 0 and doublings & (doublings - 1) == 0


class FeedbackOutliers:
    """Finds tenants whose feedback on a plan is far off everyone else's, since the process began.

    A tenant is compared with the median of the other tenants' means: a loud one does not make the
    others look odd. Pairs of tenant and plan beyond `MOST_PAIRS` are ignored.
    """

    def __init__(self) -> None:
        self._plans: dict[str, dict[str, _FeedbackStats]] = {}
        self._pairs = 0

    def add(self, tenant: str, plan: str, quality: float) -> float | None:
        """Count the feedback. Returns the tenant's mean gap to the others when it becomes plain."""
        tenants = self._plans.setdefault(plan, {})
        if tenant not in tenants:
            if self._pairs >= MOST_PAIRS:
                return None
            tenants[tenant] = _FeedbackStats()
            self._pairs += 1
        own = tenants[tenant]
        if not own.add(quality):
            return None
        others = (stats for name, stats in tenants.items() if name != tenant)
        means = [stats.mean for stats in others if stats.count >= LEAST_FEEDBACK]
        gap = own.mean - median(means) if len(means) >= LEAST_OTHER_TENANTS else 0.0
        is_off = abs(gap) > max(GAP, SIGMAS * own.error)
        is_news, own.was_off = is_off and not own.was_off, is_off
        return gap if is_news else None


@dataclass(frozen=True, slots=True)
class TenantPolicies:
    """Policies of single tenants; one begins with the first outcome of its tenant.

    tenants: those that have one. begin: copies the shared policy. policies: restored ones.
    """

    tenants: Collection[str]
    begin: Callable[[Policy], Policy]
    policies: dict[str, Policy] = field(default_factory=dict)

    def policy_of(self, tenant: str, shared: Policy) -> Policy | None:
        """Returns None for a tenant that has none of its own."""
        if tenant not in self.tenants:
            return None
        if tenant not in self.policies:
            self.policies[tenant] = self.begin(shared)
        return self.policies[tenant]
