"""How often callers say how good their answers were: where they do, a check tells little more."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

HALF_LIFE: Final = 500.0
"""Answers after which one counts for half."""
PRIOR: Final = 5.0
"""Answers nobody said anything of, before the first one."""
LEAST: Final = 0.05
"""Share of the checks that is left where callers tell of every answer: they may be wrong."""
MOST_TENANTS: Final = 10_000
_KEPT: Final = 0.5 ** (1 / HALF_LIFE)


class FeedbackRate:
    """Of each tenant, by what this process answered and was told; the one heard last is kept."""

    def __init__(self) -> None:
        self._heard: OrderedDict[str, list[float]] = OrderedDict()

    def served(self, tenant: str) -> float:
        """Count an answer; the share of the usual checks that is worth making, in [LEAST, 1]."""
        heard = self._of(tenant)
        told = min(1.0, heard[1] / heard[0])
        heard[0] = PRIOR + (heard[0] - PRIOR) * _KEPT + 1
        heard[1] *= _KEPT
        return max(LEAST, 1 - told)

    def told(self, tenant: str) -> None:
        self._of(tenant)[1] += 1

    def _of(self, tenant: str) -> list[float]:
        heard = self._heard.setdefault(tenant, [PRIOR, 0.0])
        self._heard.move_to_end(tenant)
        if len(self._heard) > MOST_TENANTS:
            self._heard.popitem(last=False)
        return heard
