"""What one tenant may take of the door: calls, bytes of requests, and requests a minute."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from router.domain import MS_PER_S
from router.domain.errors import Overloaded, QuotaExceeded
from router.domain.tenants import Tenant
from router.runtime.fair_queue import BUSY_RETRY_MS, FairQueue, FairShares

REQUESTS: str = "requests_per_minute"
METERED = frozenset(
    [
        "Complete",
        "StreamComplete",
        "Decide",
        "ChatCompletions",
        "Messages",
        "Responses",
        "Decisions",
    ]
)
"""Calls that count as requests of a tenant's quota."""
MESSAGES_HELD = 16
"""Requests of the greatest size that may be held at once, where the config says nothing: one
takes about four times its size once it is decoded, converted and sent on.
"""
REMEMBERED_TENANTS = 10_000
MINUTE_S = 60.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class HouseBounds:
    """message_bytes: of one request at most. share: of everything, for one tenant alone.

    body_bytes: of all requests that are read or worked on; body_s: to send one.
    """

    max_in_flight: int
    message_bytes: int
    body_bytes: int
    body_s: float
    share: float


class House:
    """Admits calls of tenants one by one; a tenant that takes much leaves room for the others.

    A request is read only once there is room for its call and for the bytes it may have. While it
    is on its way it has no place among the calls: one that never comes keeps nobody out.
    """

    def __init__(self, bounds: HouseBounds) -> None:
        most, share = bounds.max_in_flight, bounds.share
        self._bounds = bounds
        self._calls = FairShares(most, share=share)
        self._bytes = FairQueue(
            FairShares(bounds.body_bytes, share=share), FairShares(most, share=share)
        )
        self._rates = RateMemory()

    @property
    def calls(self) -> int:
        """Calls that have a place."""
        return self._calls.total

    @asynccontextmanager
    async def admitted(
        self, tenant: Tenant, method: str, read: Callable[[], Awaitable[tuple[T, int]]]
    ) -> AsyncIterator[T]:
        """The request, once it is read. read: returns it and its size.

        Raises Overloaded, QuotaExceeded, and what `read` raises.
        """
        if method in METERED:
            self._rates.check(tenant)
        if not self._calls.fits(tenant.name, 1):
            raise _full()
        held = self._bounds.message_bytes
        await self._reserve_bytes(tenant.name, held)
        try:
            request, size = await read()
            self._bytes.give_back(tenant.name, held - size)
            held = size
            async with self._place(tenant):
                yield request
        finally:
            self._bytes.give_back(tenant.name, held)

    async def _reserve_bytes(self, tenant: str, amount: int) -> None:
        try:
            async with asyncio.timeout(self._bounds.body_s):
                await self._bytes.take(tenant, amount)
        except TimeoutError:
            raise _full() from None

    @asynccontextmanager
    async def _place(self, tenant: Tenant) -> AsyncIterator[None]:
        if not self._calls.take(tenant.name, 1):
            raise _full()
        try:
            yield
        except QuotaExceeded as error:
            self._rates.refused(tenant, error)
            raise
        finally:
            self._calls.give_back(tenant.name, 1)


def _full() -> Overloaded:
    return Overloaded("too many requests in flight", retry_after_ms=BUSY_RETRY_MS)


@dataclass(slots=True)
class _Rate:
    """limit: as the tenant had it. left: requests that may still be read, as of `at_s`."""

    limit: int
    left: float
    at_s: float
    refused_until_s: float = 0.0

    @property
    def most(self) -> int:
        return reads_per_minute(self.limit)


class RateMemory:
    """Refuses a tenant over its requests a minute before its request is read.

    The store counts the requests. Here it is known until when it refuses more of them, and how
    many were read in the last minute, good or bad: those it is never asked about cost time as well.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rates: OrderedDict[str, _Rate] = OrderedDict()

    def check(self, tenant: Tenant) -> None:
        """Count one request. Raises QuotaExceeded."""
        if not tenant.limits.requests_per_minute:
            return
        rate, now_s = self._rate(tenant), self._clock()
        rate.left = min(rate.most, rate.left + (now_s - rate.at_s) * rate.most / MINUTE_S)
        rate.at_s = now_s
        wait_s = max(rate.refused_until_s - now_s, (1 - rate.left) * MINUTE_S / rate.most)
        if wait_s > 0:
            raise QuotaExceeded(
                f"the quota {REQUESTS} is used up: try again later or have it raised",
                quota=REQUESTS,
                subject=tenant.name,
                retry_after_ms=max(1, int(wait_s * MS_PER_S)),
            )
        rate.left -= 1

    def refused(self, tenant: Tenant, error: QuotaExceeded) -> None:
        """Remember what the store said: until then it says the same."""
        if error.quota == REQUESTS:
            wait_s = min(error.retry_after_ms / MS_PER_S, MINUTE_S)
            self._rate(tenant).refused_until_s = self._clock() + wait_s

    def _rate(self, tenant: Tenant) -> _Rate:
        limit = tenant.limits.requests_per_minute
        rate = self._rates.get(tenant.name)
        if rate is None or rate.limit != limit:
            rate = self._rates[tenant.name] = _Rate(limit, reads_per_minute(limit), self._clock())
            if len(self._rates) > REMEMBERED_TENANTS:
                self._rates.popitem(last=False)
        return rate


def reads_per_minute(limit: int) -> int:
    """Requests read in a minute of a tenant that may make `limit`: some will be mistakes.

    >>> reads_per_minute(1), reads_per_minute(600)
    (12, 1210)
    """
    return 2 * limit + 10
