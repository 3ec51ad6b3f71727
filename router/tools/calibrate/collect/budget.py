"""The budget while many spend from it: nothing is sent that it might not pay."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass


class Budget:
    """spent_usd: paid or possibly paid. held_usd: set aside for calls that may still come.

    beyond_usd: what calls cost more than was set aside for them; a price or a limit is then wrong.

    Spent and held together stay within the budget as long as no call costs more than was set
    aside for it. Once one did, no bound can be relied on, and nothing more is given out. Lives on
    one event loop.
    """

    def __init__(self, budget_usd: float, spent_usd: float) -> None:
        self.budget_usd = budget_usd
        self.spent_usd = spent_usd
        self.held_usd = 0.0
        self.beyond_usd = 0.0
        self._changed = asyncio.Condition()

    @property
    def left_usd(self) -> float:
        return self.budget_usd - self.spent_usd - self.held_usd

    @property
    def is_closed(self) -> bool:
        return self.beyond_usd > 0

    def take(self, usd: float) -> bool:
        """Set aside what is there now, or nothing."""
        if self.is_closed or usd > self.left_usd:
            return False
        self.held_usd += usd
        return True

    async def wait_and_take(self, usd: float) -> bool:
        """The same, once others have given enough back; False when even that can't be enough."""
        async with self._changed:
            await self._changed.wait_for(lambda: usd <= self.left_usd or self._is_hopeless(usd))
            return self.take(usd)

    def _is_hopeless(self, usd: float) -> bool:
        return self.is_closed or self.held_usd <= 0 or usd > self.budget_usd - self.spent_usd

    async def give_back(self, held_usd: float) -> None:
        self.held_usd -= held_usd
        if self.held_usd < 1e-12:  # noqa: PLR2004 - what rounding leaves is nothing
            self.held_usd = 0.0
        async with self._changed:
            self._changed.notify_all()


@dataclass(slots=True)
class Share:
    """What one question has set aside of the purse."""

    purse: Budget
    held_usd: float

    def reach(self, usd: float) -> bool:
        """Whether a call of at most `usd` can be paid; sets more aside where it must."""
        short_usd = usd - self.held_usd
        if self.purse.is_closed:
            return False
        if short_usd > 0:
            if not self.purse.take(short_usd):
                return False
            self.held_usd = usd
        return True

    def spend(self, usd: float) -> None:
        """A call has ended and cost `usd`."""
        paid_usd = min(usd, self.held_usd)
        self.held_usd -= paid_usd
        self.purse.held_usd -= paid_usd
        self.purse.spent_usd += usd
        self.purse.beyond_usd += usd - paid_usd

    async def close(self) -> None:
        held_usd, self.held_usd = self.held_usd, 0.0
        await self.purse.give_back(held_usd)
