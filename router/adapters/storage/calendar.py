"""Which UTC day and month a moment belongs to, and how long they still last."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

MS_PER_S = 1_000


@dataclass(frozen=True, slots=True)
class Moment:
    """now_ms: since the epoch. day: ordinal. month: 12 * year + month."""

    now_ms: int
    day: int
    month: int
    day_left_ms: int
    month_left_ms: int


def moment(now_s: float) -> Moment:
    now = datetime.fromtimestamp(now_s, UTC)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    tomorrow = midnight + timedelta(days=1)
    # No month has more than 31 days, so this lands early in the next one.
    next_month = (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)
    return Moment(
        now_ms=int(now_s * MS_PER_S),
        day=now.toordinal(),
        month=12 * now.year + now.month,
        day_left_ms=_ms(tomorrow - now),
        month_left_ms=_ms(next_month - now),
    )


def _ms(span: timedelta) -> int:
    return int(span / timedelta(milliseconds=1)) + 1
