"""The budget of concurrent calls: nothing is sent that it might not pay."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field


@dataclass(slots=True)
class Budget:
    """Money spent, and reserved for calls that may still come.

    spent_usd: paid or possibly paid. held_usd: reserved. beyond_usd: what calls cost more than was
    reserved for them; a price or a limit is wrong then.

    Spent and held together stay within the budget as long as no call costs more than its
    reservation. Once one did, no bound can be relied on and nothing more is reserved. Lives on one
    event loop.
    """

    budget_usd: float
    spent_usd: float
    held_usd: float = 0.0
    beyond_usd: float = 0.0
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition, init=False)

    @property
    def left_usd(self) -> float:
        return self.budget_usd - self.spent_usd - self.held_usd

    @property
    def is_closed(self) -> bool:
        return self.beyond_usd > 0

    def reserve(self, usd: float) -> bool:
        """Reserve all of it now, or nothing."""
        if self.is_closed or usd > self.left_usd:
            return False
        self.held_usd += usd
        return True

    async def wait_and_reserve(self, usd: float) -> bool:
        """Reserve once others have released enough; False when even that can't be enough."""
        async with self._changed:
            await self._changed.wait_for(lambda: usd <= self.left_usd or self._is_hopeless(usd))
            return self.reserve(usd)

    def _is_hopeless(self, usd: float) -> bool:
        return self.is_closed or self.held_usd <= 0 or usd > self.budget_usd - self.spent_usd

    async def release(self, held_usd: float) -> None:
        self.held_usd -= held_usd
        if self.held_usd < 1e-12:  # noqa: PLR2004 - a rounding error is nothing
            self.held_usd = 0.0
        async with self._changed:
            self._changed.notify_all()


@dataclass(slots=True)
class CallBudget:
    """The money that is reserved for one question."""

    budget: Budget
    held_usd: float

    def cover(self, usd: float) -> bool:
        """Reserve more if needed. Returns whether a call of at most `usd` can be paid."""
        short_usd = usd - self.held_usd
        if self.budget.is_closed:
            return False
        if short_usd > 0:
            if not self.budget.reserve(short_usd):
                return False
            self.held_usd = usd
        return True

    def spend(self, usd: float) -> None:
        """Pay for a call that has ended."""
        paid_usd = min(usd, self.held_usd)
        self.held_usd -= paid_usd
        self.budget.held_usd -= paid_usd
        self.budget.spent_usd += usd
        self.budget.beyond_usd += usd - paid_usd

    async def close(self) -> None:
        """Release what is left."""
        held_usd, self.held_usd = self.held_usd, 0.0
        await self.budget.release(held_usd)
