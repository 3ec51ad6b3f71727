"""Which UTC day and month a moment belongs to, and how long they still last."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

from router.domain import MS_PER_S

DAY_MS = 86_400_000
EPOCH = date(1970, 1, 1).toordinal()


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
