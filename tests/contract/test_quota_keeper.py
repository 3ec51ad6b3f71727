"""Suite of `router.ports.state.QuotaKeeper`."""

from __future__ import annotations

import asyncio

import pytest

from router.adapters.storage import Storage
from router.domain.errors import QuotaExceeded
from router.domain.tenants import QuotaLeft, Reservation, Tenant, TenantLimits
from router.ports.state import QuotaKeeper
from tests.contract.ledger import day_left_ms, later, month_left_ms

DAY_S = 86_400
SLACK_MS = 5_000


@pytest.fixture
def quota(storage: Storage) -> QuotaKeeper:
    return storage.quota


def take(n: object, tokens: int = 0, cost_usd: float = 0.0, tenant: str = "acme") -> Reservation:
    return Reservation(f"r{n}", tenant, tokens, cost_usd)


def acme(**limits: float) -> Tenant:
    return Tenant("acme", TenantLimits(**limits))  # type: ignore[arg-type]  # ints where ints go


async def refused(quota: QuotaKeeper, tenant: Tenant, reservation: Reservation) -> QuotaExceeded:
    with pytest.raises(QuotaExceeded) as caught:
        await quota.reserve(tenant, reservation)
    assert caught.value.subject == tenant.name
    return caught.value


async def test_no_limits_no_refusal_and_nothing_to_tell(quota: QuotaKeeper) -> None:
    for n in range(50):
        assert await quota.reserve(acme(), take(n, 10**9, 10.0**6)) == QuotaLeft()


async def test_requests_run_out_and_come_back_evenly(quota: QuotaKeeper, storage: Storage) -> None:
    tenant = acme(requests_per_minute=6)
    left = [(await quota.reserve(tenant, take(n))).requests for n in range(6)]
    assert left == [5, 4, 3, 2, 1, 0]
    error = await refused(quota, tenant, take(6))
    assert error.quota == "requests_per_minute"
    assert 10_000 - SLACK_MS < error.retry_after_ms <= 10_000
    await refused(quota, tenant, take(6))
    await later(storage, 10)
    await quota.reserve(tenant, take(6))
    await refused(quota, tenant, take(7))


async def test_a_bucket_never_holds_more_than_a_minute(
    quota: QuotaKeeper, storage: Storage
) -> None:
    tenant = acme(requests_per_minute=3)
    await quota.reserve(tenant, take(0))
    await later(storage, 3_600)
    assert (await quota.reserve(tenant, take(1))).requests == 2


async def test_tokens_are_given_back_when_fewer_were_used(quota: QuotaKeeper) -> None:
    tenant = acme(tokens_per_minute=1_000)
    assert (await quota.reserve(tenant, take(0, 900))).tokens == 100
    assert (await refused(quota, tenant, take(1, 200))).quota == "tokens_per_minute"
    assert (await quota.settle(take(0, 900), 300, 0.0)).tokens == 700
    await quota.reserve(tenant, take(1, 200))


async def test_more_than_a_minute_s_tokens_pass_once_and_leave_debt(
    quota: QuotaKeeper, storage: Storage
) -> None:
    tenant = acme(tokens_per_minute=1_000)
    assert (await quota.reserve(tenant, take(0, 3_000))).tokens == 0
    await later(storage, 110)
    await refused(quota, tenant, take(1, 1))
    await later(storage, 11)
    await quota.reserve(tenant, take(1, 1))


async def test_a_refusal_takes_nothing(quota: QuotaKeeper) -> None:
    tenant = acme(requests_per_minute=5, tokens_per_minute=100, daily_usd=1.0)
    await refused(quota, tenant, take(0, 50, 2.0))
    left = await quota.reserve(tenant, take(1, 0, 0.0))
    assert left == QuotaLeft(requests=4, tokens=100, daily_usd=1.0)


async def test_a_day_s_budget_is_back_at_midnight_utc(quota: QuotaKeeper, storage: Storage) -> None:
    tenant = acme(daily_usd=1.0)
    await quota.reserve(tenant, take(0, 0, 0.6))
    await quota.settle(take(0), 0, 0.6)
    error = await refused(quota, tenant, take(1, 0, 0.6))
    assert error.quota == "daily_usd"
    assert error.retry_after_ms == pytest.approx(day_left_ms(), abs=SLACK_MS)
    await later(storage, DAY_S, days=1)
    left = await quota.reserve(tenant, take(1, 0, 0.6))
    assert left.daily_usd == pytest.approx(0.4)


async def test_the_month_outlasts_the_day(quota: QuotaKeeper, storage: Storage) -> None:
    tenant = acme(daily_usd=1.0, monthly_usd=1.5)
    await quota.reserve(tenant, take(0, 0, 1.0))
    await quota.settle(take(0), 0, 1.0)
    await later(storage, DAY_S, days=1)
    error = await refused(quota, tenant, take(1, 0, 1.0))
    assert error.quota == "monthly_usd"
    assert error.retry_after_ms == pytest.approx(month_left_ms(), abs=SLACK_MS)
    await later(storage, 30 * DAY_S, days=30, months=1)
    assert (await quota.reserve(tenant, take(1, 0, 1.0))).monthly_usd == pytest.approx(0.5)


async def test_the_quota_that_takes_longest_is_named(quota: QuotaKeeper) -> None:
    tenant = acme(requests_per_minute=1, daily_usd=1.0)
    await quota.reserve(tenant, take(0, 0, 1.0))
    await quota.settle(take(0), 0, 1.0)
    assert (await refused(quota, tenant, take(1, 0, 1.0))).quota == "daily_usd"


async def test_the_same_id_is_taken_once(quota: QuotaKeeper) -> None:
    tenant = acme(requests_per_minute=5, daily_usd=1.0)
    first = await quota.reserve(tenant, take(0, 0, 0.5))
    assert await quota.reserve(tenant, take(0, 0, 0.5)) == first


async def test_a_reservation_is_settled_once(quota: QuotaKeeper) -> None:
    tenant = acme(tokens_per_minute=1_000, daily_usd=1.0, monthly_usd=1.0)
    await quota.reserve(tenant, take(0, 500, 0.5))
    first = await quota.settle(take(0, 500, 0.5), 100, 0.1)
    assert first == QuotaLeft(tokens=900, daily_usd=0.9, monthly_usd=0.9)
    assert await quota.settle(take(0, 500, 0.5), 900, 0.9) == first


async def test_what_was_reserved_is_known_by_the_id_alone(quota: QuotaKeeper) -> None:
    tenant = acme(tokens_per_minute=1_000, daily_usd=1.0)
    await quota.reserve(tenant, take(0, 500, 0.5))
    left = await quota.settle(take(0), 100, 0.25)
    assert (left.tokens, left.daily_usd) == (900, 0.75)


async def test_a_settlement_without_a_reservation_changes_nothing(quota: QuotaKeeper) -> None:
    tenant = acme(daily_usd=1.0)
    await quota.reserve(tenant, take(0, 0, 0.5))
    assert (await quota.settle(take("unknown"), 5, 0.4)).daily_usd == 0.5


async def test_what_arrives_after_it_was_settled_takes_nothing(quota: QuotaKeeper) -> None:
    """A caller that left, or a call that timed out, while the reservation was on its way."""
    tenant = acme(requests_per_minute=5, tokens_per_minute=1_000, daily_usd=1.0)
    late = take("late", 500, 0.5)
    await quota.settle(late, 0, 0.0)
    await quota.reserve(tenant, late)
    left = await quota.reserve(tenant, take(1))
    assert left == QuotaLeft(requests=4, tokens=1_000, daily_usd=1.0)


async def test_what_is_reserved_counts(quota: QuotaKeeper) -> None:
    tenant = acme(daily_usd=1.0)
    await quota.reserve(tenant, take(0, 0, 0.8))
    await refused(quota, tenant, take(1, 0, 0.3))


async def test_yesterday_gives_nothing_back_to_today(quota: QuotaKeeper, storage: Storage) -> None:
    tenant = acme(daily_usd=1.0)
    await quota.reserve(tenant, take(0, 0, 0.8))
    await later(storage, 30, days=1)
    await quota.reserve(tenant, take(1, 0, 0.3))
    assert (await quota.settle(take(0), 0, 0.0)).daily_usd == pytest.approx(0.7)
    used = await quota.usage(tenant)
    assert (used.daily_usd, used.reserved_usd) == (0.0, pytest.approx(0.3))


async def test_servers_whose_clocks_differ_at_midnight_bring_no_budget_back(
    quota: QuotaKeeper, storage: Storage
) -> None:
    """The day was begun by one server; the one that follows it still has yesterday."""
    tenant = acme(daily_usd=1.0, monthly_usd=1.0)
    await quota.reserve(tenant, take(0, 0, 0.75))
    await later(storage, 0, days=-1)
    await refused(quota, tenant, take(1, 0, 0.5))
    left = await quota.settle(take(0), 0, 0.25)
    assert (left.daily_usd, left.monthly_usd) == (0.75, 0.75)


@pytest.mark.parametrize("days", [2, 40, 4_000])
async def test_a_clock_that_was_far_ahead_once_closes_no_budget(
    quota: QuotaKeeper, storage: Storage, days: int
) -> None:
    """As a router of an earlier version with such a clock, or a server, left it."""
    tenant = acme(daily_usd=1.0, monthly_usd=1.5, requests_per_minute=2)
    for n in (0, 1):
        await quota.reserve(tenant, take(n, 0, 0.5))
    await later(storage, -days * DAY_S, days=-days)
    left = await quota.reserve(tenant, take(2, 0, 0.5))
    assert (left.daily_usd, left.monthly_usd, left.requests) == (0.5, 0.0, 1)


async def test_spending_counts_before_there_is_a_limit(quota: QuotaKeeper) -> None:
    await quota.reserve(acme(), take(0, 10, 0.75))
    left = await quota.reserve(acme(daily_usd=1.0, requests_per_minute=5), take(1, 0, 0.0))
    assert left == QuotaLeft(requests=4, daily_usd=0.25)


async def test_tenants_do_not_share(quota: QuotaKeeper) -> None:
    limits = TenantLimits(requests_per_minute=1)
    await quota.reserve(Tenant("a", limits), take("a", tenant="a"))
    await quota.reserve(Tenant("b", limits), take("b", tenant="b"))


async def test_a_thousand_at_once_never_overspend(quota: QuotaKeeper) -> None:
    tenant = acme(daily_usd=1.0, requests_per_minute=700)

    async def one(n: int) -> int:
        try:
            await quota.reserve(tenant, take(n, 0, 0.002))
        except QuotaExceeded:
            return 0
        return 1

    assert sum(await asyncio.gather(*(one(n) for n in range(1_000)))) == 500
    assert (await refused(quota, tenant, take("last", 0, 0.001))).quota == "daily_usd"


async def test_what_held_nothing_is_charged_once_and_counts_when_there_is_a_budget(
    quota: QuotaKeeper,
) -> None:
    """A tenant gets its first budget in the middle of a day."""
    free = Reservation("r0", "acme", 500, 0.5, held=False)
    for tokens, cost_usd in ((100, 0.25), (900, 0.9)):
        assert await quota.settle(free, tokens, cost_usd) == QuotaLeft()
    assert (await quota.reserve(acme(daily_usd=1.0), take(1))).daily_usd == 0.75
