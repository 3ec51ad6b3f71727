"""Token buckets per minute and budgets per UTC day and month, reserved and settled in one step."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

from router.adapters.storage.client import Client, load
from router.adapters.storage.keys import Keys
from router.domain import MS_PER_S
from router.domain.errors import QuotaExceeded
from router.domain.tenants import QuotaLeft, Reservation, Tenant
from router.ports import Clock

DAY_MS = 86_400_000
EPOCH = date(1970, 1, 1).toordinal()
NANO = 1_000_000_000
_RESERVE = load("quota_common", "quota_reserve")
_SETTLE = load("quota_common", "quota_settle")


@dataclass(frozen=True, slots=True)
class Moment:
    """now_ms: since the epoch. day: ordinal. month: 12 * year + month."""

    now_ms: int
    day: int
    month: int
    day_left_ms: int
    month_left_ms: int


def moment(now_s: float) -> Moment:
    now_ms = int(now_s * MS_PER_S)
    day, month, month_end = _day(now_ms // DAY_MS)
    day_left_ms = DAY_MS - now_ms % DAY_MS
    return Moment(now_ms, day, month, day_left_ms, day_left_ms + (month_end - day - 1) * DAY_MS)


@lru_cache(maxsize=2)
def _day(days: int) -> tuple[int, int, int]:
    """Ordinal of the day so many days after the epoch, its month, ordinal of the next month."""
    today = date.fromordinal(EPOCH + days)
    # No month has more than 31 days, so this lands early in the next one.
    next_month = (today.replace(day=1) + timedelta(days=32)).replace(day=1)
    return today.toordinal(), 12 * today.year + today.month, next_month.toordinal()


class RedisQuotaKeeper:
    """Implements `router.ports.state.QuotaKeeper`.

    Who asks for more tokens than a minute allows waits for a full bucket and leaves it in debt:
    large requests pass, at the tenant's pace. A reservation that is never settled stays charged
    at its estimate. keep_s: how long after it was made a reservation can be settled, and how long
    a settlement that found none is known.
    """

    def __init__(self, client: Client, keys: Keys, clock: Clock, keep_s: float) -> None:
        self._client = client
        self._keys = keys
        self._clock = clock
        self._keep_ms = int(keep_s * MS_PER_S)

    async def reserve(self, tenant: Tenant, reservation: Reservation) -> QuotaLeft:
        at, limits = moment(self._clock()), tenant.limits
        admitted, *rest = await self._client.script(
            _RESERVE,
            self._scope(reservation),
            *(at.now_ms, at.day, at.month, at.day_left_ms, at.month_left_ms),
            *(reservation.tokens, _nano(reservation.cost_usd)),
            *(limits.requests_per_minute, limits.tokens_per_minute),
            *(_nano(limits.daily_usd), _nano(limits.monthly_usd)),
            self._keep_ms,
        )
        if not admitted:
            raise _exceeded(tenant.name, rest[0].decode(), int(rest[1]))
        return _left(rest)

    async def settle(self, reservation: Reservation, tokens: int, cost_usd: float) -> QuotaLeft:
        at = moment(self._clock())
        _, *rest = await self._client.script(
            _SETTLE,
            self._scope(reservation),
            *(at.now_ms, at.day, at.month, tokens, _nano(cost_usd)),
            *(reservation.held + 0, self._keep_ms),
        )
        return _left(rest) if reservation.held else QuotaLeft()

    def _scope(self, reservation: Reservation) -> list[str]:
        usage = self._keys.usage(reservation.tenant)
        return [usage, self._keys.reservation(reservation.id)]


def _nano(usd: float) -> int:
    return round(usd * NANO)


def _left(numbers: list[int]) -> QuotaLeft:
    requests, tokens, daily, monthly = (None if n < 0 else n for n in numbers)
    return QuotaLeft(
        requests,
        tokens,
        None if daily is None else daily / NANO,
        None if monthly is None else monthly / NANO,
    )


def _exceeded(tenant: str, quota: str, retry_after_ms: int) -> QuotaExceeded:
    return QuotaExceeded(
        f"the quota {quota} is used up: try again later or have it raised",
        quota=quota,
        subject=tenant,
        retry_after_ms=retry_after_ms,
    )
