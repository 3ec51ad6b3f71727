"""Requests a minute as they are known before the store is asked, and room for the greatest."""

from __future__ import annotations

import pytest

from router.domain.errors import Overloaded, QuotaExceeded
from router.domain.tenants import Tenant, TenantLimits
from router.doors import checks
from router.doors.checks import RateMemory, reads_per_minute
from router.doors.house import House, HouseBounds


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def limited(requests: int, name: str = "t") -> Tenant:
    return Tenant(name, TenantLimits(requests_per_minute=requests))


def exceeded(quota: str = "requests_per_minute", retry_after_ms: int = 5_000) -> QuotaExceeded:
    return QuotaExceeded("q", quota=quota, subject="t", retry_after_ms=retry_after_ms)


def test_what_the_store_refused_is_refused_until_then() -> None:
    clock = Clock()
    rates = RateMemory(clock)
    rates.check(limited(60))
    rates.refused(limited(60), exceeded())
    with pytest.raises(QuotaExceeded) as refused:
        rates.check(limited(60))
    assert refused.value.quota == "requests_per_minute"
    assert refused.value.retry_after_ms == 5_000
    rates.check(limited(60, "other"))
    clock.now_s += 5
    rates.check(limited(60))


def test_at_most_for_a_minute() -> None:
    clock = Clock()
    rates = RateMemory(clock)
    rates.refused(limited(60), exceeded(retry_after_ms=7 * 3_600_000))
    clock.now_s += 60
    rates.check(limited(60))


@pytest.mark.parametrize("quota", ["tokens_per_minute", "daily_usd", "monthly_usd"])
def test_other_quotas_depend_on_the_request(quota: str) -> None:
    rates = RateMemory(Clock())
    rates.refused(limited(60), exceeded(quota))
    rates.check(limited(60))


def test_a_raised_limit_is_asked_about_anew() -> None:
    rates = RateMemory(Clock())
    rates.refused(limited(60), exceeded())
    rates.check(limited(61))


def test_no_more_are_read_in_a_minute_than_a_few_times_the_limit() -> None:
    clock = Clock()
    rates = RateMemory(clock)
    most = reads_per_minute(3)
    for _ in range(most):
        rates.check(limited(3))
    with pytest.raises(QuotaExceeded):
        rates.check(limited(3))
    clock.now_s += 60 / most
    rates.check(limited(3))
    with pytest.raises(QuotaExceeded):
        rates.check(limited(3))


def test_without_a_limit_nothing_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "REMEMBERED_TENANTS", 2)
    rates = RateMemory(Clock())
    for number in range(100):
        rates.check(Tenant(f"free{number}"))
        rates.check(limited(1, f"t{number}"))
    assert len(rates._rates) == 2  # noqa: SLF001 - the bound on memory


@pytest.mark.parametrize(("body_bytes", "both"), [(8_000, True), (7_999, False)])
async def test_two_requests_need_room_for_two_of_the_greatest(
    body_bytes: int, *, both: bool
) -> None:
    """The least that a config may say: a request of the greatest size is under way."""
    house = House(HouseBounds(10, 4_000, body_bytes, 0.1, 0.75))

    async def read() -> tuple[str, int]:
        return "request", 4_000

    async with house.admitted(Tenant("a"), "Complete", read):
        second = house.admitted(Tenant("b"), "Complete", read)
        if both:
            async with second:
                assert house.calls == 2
        else:
            with pytest.raises(Overloaded):
                await second.__aenter__()
