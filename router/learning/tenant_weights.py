"""How much of what is learned one tenant may decide."""

from __future__ import annotations

from typing import Any, Final

HALF_LIFE: Final = 5_000.0
"""Signs of quality, of all tenants, after which one counts for half."""
LEAST_OTHERS: Final = 50.0
"""Signs of all other tenants lately, before one is bound by them."""
MOST_TENANTS: Final = 10_000
"""Who is kept by name; of those beyond the quietest are counted among the others."""
MOST_TOLD: Final = 2_000
"""Decisions of which is known that feedback on them counted for less than all."""
_LARGE: Final = 2.0**40


class TenantWeightCap:
    """Weighs signs of quality so that no tenant has more than its share beside the others.

    One of tenant t counts min(1, s / (1 - s) * O / W), where W is what t said lately and O what all
    others did: however much more t says than the others, it has s of the weight. While there are
    no others nothing is bound. Sums decay, so that a tenant that was loud may be heard again.

    max_share: s, in (0, 1). state: what `state` gave.
    """

    def __init__(self, max_share: float, state: dict[str, Any] | None = None) -> None:
        """Raises KeyError, TypeError or ValueError when the state is none."""
        kept = state or {"unit": 1.0, "total": 0.0, "sums": {}}
        self._odds = max_share / (1 - max_share)
        self._unit = float(kept["unit"])
        self._total = float(kept["total"])
        self._sums = {str(name): float(total) for name, total in kept["sums"].items()}
        self._told = {str(name): float(share) for name, share in kept.get("told", [])}
        if not 1 <= self._unit <= _LARGE:
            raise ValueError("the unit of influence is out of range")

    def weigh(self, tenant: str) -> float:
        """Take in one sign of this tenant; what it counts, in (0, 1]."""
        self._unit *= 2 ** (1 / HALF_LIFE)
        own = self._sums[tenant] = self._sums.get(tenant, 0.0) + self._unit
        self._total += self._unit
        others = max(0.0, self._total - own)
        self._bound()
        if others < LEAST_OTHERS * self._unit:
            return 1.0
        return min(1.0, self._odds * others / own)

    def weigh_feedback(self, tenant: str, decision_id: str) -> float:
        """The same, kept for when it is corrected: what is taken back weighs what it did."""
        share = self.weigh(tenant)
        if share < 1:
            self._told[decision_id] = share
            if len(self._told) > MOST_TOLD:
                del self._told[next(iter(self._told))]
        return share

    def weighed(self, decision_id: str) -> float:
        """What the first feedback on this decision counted."""
        return self._told.get(decision_id, 1.0)

    def state(self) -> dict[str, Any]:
        # A list, for its order is part of the state: the oldest leaves first.
        told = [[name, share] for name, share in self._told.items()]
        return {"unit": self._unit, "total": self._total, "sums": dict(self._sums), "told": told}

    def _bound(self) -> None:
        if len(self._sums) > MOST_TENANTS:
            del self._sums[min(self._sums, key=self._sums.__getitem__)]
        if self._unit > _LARGE / 2:
            self._sums = {name: total / self._unit for name, total in self._sums.items()}
            self._total /= self._unit
            self._unit = 1.0
