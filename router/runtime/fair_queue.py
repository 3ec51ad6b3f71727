"""Bounded amounts that tenants share: places, bytes, and the thread for checks that take time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeVar

from router.domain.errors import Overloaded

T = TypeVar("T")
BUSY_RETRY_MS = 250


class FairShares:
    """Counts who holds how much of a bounded amount.

    One tenant alone may hold `share` of it. The more others hold the less that is, so that
    something is left for a tenant that holds nothing: what one holds is at most
    share / (1 - share) times what is free.

    >>> shares = FairShares(8, share=0.75)
    >>> [shares.take("loud", 1) for _ in range(8)].count(True)
    6
    >>> shares.take("quiet", 1), shares.take("loud", 1), shares.total
    (True, False, 7)
    >>> shares.give_back("loud", 6)
    >>> shares.take("quiet", 4), shares.held("loud")
    (True, 0)
    """

    def __init__(self, capacity: int, *, share: float) -> None:
        self.capacity = capacity
        self._ratio = share / (1 - share) if share < 1 else float("inf")
        self._held: dict[str, int] = {}
        self.total = 0

    def held(self, tenant: str) -> int:
        return self._held.get(tenant, 0)

    def fits(self, tenant: str, amount: int) -> bool:
        free, held = self.capacity - self.total, self.held(tenant)
        return amount <= free and (not held or held + amount <= self._ratio * free)

    def take(self, tenant: str, amount: int) -> bool:
        """Returns False, and takes nothing, where that would be more than the tenant's share."""
        if not self.fits(tenant, amount):
            return False
        self.hold(tenant, amount)
        return True

    def hold(self, tenant: str, amount: int) -> None:
        self._held[tenant] = self.held(tenant) + amount
        self.total += amount

    def give_back(self, tenant: str, amount: int) -> None:
        self.total -= amount
        left = self.held(tenant) - amount
        if left:
            self._held[tenant] = left
        else:
            self._held.pop(tenant, None)


class FairQueue:
    """Lets callers wait for a part of a bounded amount; the tenants take turns.

    waiting: how many may wait, shared out alike; one too many is refused.
    """

    def __init__(self, shares: FairShares, waiting: FairShares) -> None:
        self.shares = shares
        self._places = waiting
        self._waiting: dict[str, deque[tuple[int, asyncio.Future[None]]]] = {}

    @property
    def waiting(self) -> int:
        """Callers that wait for their turn."""
        return self._places.total

    async def take(self, tenant: str, amount: int) -> None:
        """Raises Overloaded."""
        if tenant not in self._waiting and self.shares.take(tenant, amount):
            return
        if not self._places.take(tenant, 1):
            raise Overloaded("too many requests wait: try again", retry_after_ms=BUSY_RETRY_MS)
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tenant, deque()).append((amount, turn))
        try:
            await turn
        except asyncio.CancelledError:
            self._left(tenant, amount, turn)
            raise
        finally:
            self._places.give_back(tenant, 1)

    def give_back(self, tenant: str, amount: int) -> None:
        self.shares.give_back(tenant, amount)
        self._grant()

    @asynccontextmanager
    async def place(self, tenant: str, amount: int = 1) -> AsyncIterator[None]:
        """Raises Overloaded."""
        await self.take(tenant, amount)
        try:
            yield
        finally:
            self.give_back(tenant, amount)

    def _left(self, tenant: str, amount: int, turn: asyncio.Future[None]) -> None:
        if turn.done() and not turn.cancelled():  # its turn came as it left
            self.give_back(tenant, amount)
        else:
            self._waiting[tenant].remove((amount, turn))
            self._forget(tenant)
            self._grant()

    def _grant(self) -> None:
        """Go round until nobody's turn fits."""
        while sum(self._grant_to(tenant) for tenant in list(self._waiting)):
            pass

    def _grant_to(self, tenant: str) -> bool:
        amount, turn = self._waiting[tenant][0]
        if turn.cancelled() or not self.shares.take(tenant, amount):
            return False
        queue = self._waiting.pop(tenant)
        queue.popleft()
        if queue:
            self._waiting[tenant] = queue  # behind the others
        turn.set_result(None)
        return True

    def _forget(self, tenant: str) -> None:
        if not self._waiting[tenant]:
            del self._waiting[tenant]


class CheckPool:
    """Runs checks that take milliseconds on one thread, so that the event loop goes on.

    More threads would only take turns: the checks are Python. waiting: checks that may wait.
    done: those that were run.
    """

    def __init__(self, waiting: int = 256) -> None:
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="check")
        shares = FairShares(1, share=1)
        self._queue = FairQueue(shares, FairShares(waiting, share=0.75))
        self.done = 0

    @property
    def waiting(self) -> int:
        """Checks that wait for the thread."""
        return self._queue.waiting

    async def run(self, tenant: str, check: Callable[[], T]) -> T:
        """Raises Overloaded, and what the check raises."""
        async with self._queue.place(tenant):
            self.done += 1
            loop = asyncio.get_running_loop()
            # A caller who leaves does not free the thread before its check has ended.
            done = loop.run_in_executor(self._threads, check)
            try:
                return await asyncio.shield(done)
            except asyncio.CancelledError:
                await asyncio.wait({done})
                raise

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
