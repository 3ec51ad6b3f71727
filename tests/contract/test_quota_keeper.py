"""Suite of `router.ports.state.QuotaKeeper`."""

from __future__ import annotations

import asyncio
import calendar
import contextlib
import random
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from router.adapters.storage import Storage
from router.adapters.storage.client import load
from router.adapters.storage.quota import GRACE_MS, SETTLED_MS
from router.domain.errors import QuotaExceeded
from router.domain.tenants import LEASE_S, QuotaLeft, Reservation, Tenant, TenantLimits
from router.ports.state import QuotaKeeper
from tests.contract.ledger import day_left_ms, later, month_left_ms, prefix_of, raw_usage
from tests.contract.samples import WINDOW_S, FakeTime

DAY_S = 86_400
GRACE_S = GRACE_MS / 1_000
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
    left = await quota.settle(take(0, 900), 300, 0.0)  # a token comes back every 60 ms
    assert left.tokens == pytest.approx(700, abs=SLACK_MS / 60)
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


async def test_spent_and_reserved_are_told_apart(quota: QuotaKeeper) -> None:
    tenant = acme(daily_usd=1.0, monthly_usd=5.0, tokens_per_minute=1_000)
    await quota.reserve(tenant, take(0, 100, 0.25))
    await quota.settle(take(0), 50, 0.125)
    await quota.reserve(tenant, take(1, 100, 0.5))
    used = await quota.usage(tenant)
    assert (used.daily_usd, used.monthly_usd, used.reserved_usd) == (0.125, 0.125, 0.5)
    assert (used.left.daily_usd, used.left.monthly_usd) == (0.375, 4.375)
    assert (used.reservations, used.orphans, used.orphaned_usd) == (1, 0, 0.0)
    await quota.settle(take(1), 0, 0.0)
    assert (await quota.usage(tenant)).reserved_usd == 0.0


async def test_nothing_but_the_id_is_kept_of_what_was_settled(
    quota: QuotaKeeper, storage: Storage
) -> None:
    await quota.reserve(acme(), take(0, 0, 0.5))
    await quota.settle(take(0), 0, 0.1)
    keys = prefix_of(storage)
    assert await storage.client.call("KEYS", f"{keys.prefix}reservation:*") == []
    assert await storage.client.call("ZCARD", keys.reserved_until) == 0
    ttl_ms = await storage.client.call("PTTL", keys.settled("acme"))
    assert 0 < ttl_ms <= SETTLED_MS


async def test_a_renewed_lease_is_nobody_s_orphan(quota: QuotaKeeper, storage: Storage) -> None:
    tenant = acme(daily_usd=1.0)
    for n in range(3):
        await quota.reserve(tenant, take(n, 0, 0.1))
    await later(storage, LEASE_S + GRACE_S + 1)
    assert await quota.renew([take(0), take(1), take("gone")]) == ["rgone"]
    assert [orphan.id for orphan in await quota.settle_orphans(10)] == ["r2"]
    assert (await quota.usage(tenant)).reserved_usd == pytest.approx(0.2)


async def test_an_orphan_is_charged_what_was_expected(quota: QuotaKeeper, storage: Storage) -> None:
    tenant = acme(daily_usd=20.0)
    for n in range(75):
        await quota.reserve(tenant, replace(take(n, 0, 0.25), expected_usd=0.005))
    await later(storage, LEASE_S - 5)
    assert await quota.settle_orphans(100) == []
    assert (await refused(quota, tenant, take("more", 0, 2.0))).retry_after_ms < 60_000
    await later(storage, 5 + GRACE_S)
    found = await quota.settle_orphans(50)
    assert len(found) == 50
    assert {(o.tenant, o.reserved_usd, o.charged_usd) for o in found} == {("acme", 0.25, 0.005)}
    assert all(o.age_ms >= LEASE_S * 1_000 for o in found)
    assert len(await quota.settle_orphans(50)) == 25
    used = await quota.usage(tenant)
    assert (used.daily_usd, used.reserved_usd) == (pytest.approx(0.375), 0.0)
    await quota.reserve(tenant, take("more", 0, 19.0))


async def test_two_routers_charge_an_orphan_once(quota: QuotaKeeper, storage: Storage) -> None:
    tenant = acme(daily_usd=1.0)
    await quota.reserve(tenant, take(0, 0, 0.5))
    await later(storage, 1_000)
    found = await asyncio.gather(*(quota.settle_orphans(10) for _ in range(5)))
    assert sum(map(len, found)) == 1
    assert (await quota.usage(tenant)).daily_usd == 0.5


@pytest.mark.parametrize("cost_usd", [0.0, 0.25, 0.75])
async def test_an_orphan_whose_owner_lives_after_all_is_corrected_once(
    quota: QuotaKeeper, storage: Storage, cost_usd: float
) -> None:
    tenant = acme(daily_usd=1.0)
    mine = replace(take(0, 0, 0.75), expected_usd=0.125)
    await quota.reserve(tenant, mine)
    await later(storage, 1_000)
    await quota.settle_orphans(10)
    assert await quota.renew([mine]) == [mine.id]
    await quota.reserve(tenant, mine)
    used = await quota.usage(tenant)
    assert (used.reserved_usd, used.reservations) == (0.0, 0)  # it takes nothing any more
    for _ in range(2):
        left = await quota.settle(replace(mine, held=False), 0, cost_usd)
        assert left.daily_usd == 1.0 - cost_usd
    assert (await quota.usage(tenant)).reserved_usd == 0.0


async def test_what_nobody_renews_is_kept_until_the_join_window_has_closed(
    quota: QuotaKeeper, storage: Storage
) -> None:
    tenant = acme(daily_usd=1.0)
    await quota.reserve(tenant, replace(take(0, 0, 0.5), expected_usd=0.25, renewed=False))
    await later(storage, WINDOW_S - 1)
    assert await quota.settle_orphans(10) == []
    await later(storage, GRACE_S + 2)
    assert len(await quota.settle_orphans(10)) == 1
    assert (await quota.settle(take(0), 0, 0.125)).daily_usd == 0.875


async def test_a_tenant_s_orphans_are_settled_on_demand(
    quota: QuotaKeeper, storage: Storage
) -> None:
    tenant, other = acme(daily_usd=1.0), Tenant("acme-2", TenantLimits(daily_usd=1.0))
    await quota.reserve(tenant, take(0, 0, 0.5))
    await quota.reserve(other, take(1, 0, 0.5, "acme-2"))
    assert await quota.settle_orphans(10, tenant="acme") == []
    await later(storage, LEASE_S + 1)
    used = await quota.usage(tenant)
    assert (used.reservations, used.orphans, used.orphaned_usd) == (1, 1, 0.5)
    assert [o.id for o in await quota.settle_orphans(10, tenant="acme")] == ["r0"]
    assert (await quota.usage(other)).reserved_usd == 0.5


async def test_an_allowance_is_topped_up_renewed_and_leased_anew(quota: QuotaKeeper) -> None:
    """What a router spends without the store is charged by ids of its own afterwards."""
    tenant = acme(daily_usd=1.0, requests_per_minute=10)
    first = replace(take("allowance:me:acme:1", 0, 0.2), expected_usd=0.0)
    await quota.reserve(tenant, first)
    left = await quota.reserve(tenant, replace(first, cost_usd=0.3))
    assert (left.daily_usd, left.requests) == (0.7, 9)
    await refused(quota, tenant, replace(first, cost_usd=1.5))
    assert (await quota.reserve(tenant, first)).daily_usd == 0.7
    assert await quota.renew([first]) == []
    spooled = replace(take("spooled"), held=False)
    for _ in range(2):
        assert (await quota.settle(spooled, 0, 0.125)).daily_usd == pytest.approx(0.575)
    assert (await quota.settle(first, 0, 0.0)).daily_usd == pytest.approx(0.875)
    again = await quota.reserve(tenant, replace(first, id="allowance:me:acme:2"))
    assert again.daily_usd == pytest.approx(0.675)


async def test_what_was_paid_is_charged_though_its_reservation_is_lost(
    quota: QuotaKeeper, storage: Storage
) -> None:
    """A replica that lagged has taken over."""
    tenant, mine = acme(daily_usd=1.0), take(0, 0, 0.5)
    await quota.reserve(tenant, mine)
    keys = prefix_of(storage)
    await storage.client.call(
        "DEL", keys.usage("acme"), keys.reservation(mine.id), keys.reserved_until
    )
    for _ in range(2):
        await quota.settle(replace(mine, held=False), 10, 0.25)
    assert (await quota.reserve(tenant, take(1))).daily_usd == 0.75


async def test_reserved_money_hints_seconds_and_spent_money_the_day_s_end(
    quota: QuotaKeeper, storage: Storage
) -> None:
    tenant = acme(daily_usd=1.0)
    await quota.reserve(tenant, take(0, 0, 0.5))
    await later(storage, 4)
    await quota.settle(take(0), 0, 0.008)
    for n in (1, 2):
        await quota.reserve(tenant, take(n, 0, 0.4))
    error = await refused(quota, tenant, take(3, 0, 0.4))
    assert error.retryable
    assert 4_000 <= error.retry_after_ms <= 9_000  # as long as the last one took
    assert float(error.metadata["left"]) == pytest.approx(0.192)
    for n in (1, 2):
        await quota.settle(take(n), 0, 0.4)
    error = await refused(quota, tenant, take(4, 0, 0.4))
    assert error.retry_after_ms == pytest.approx(day_left_ms(), abs=SLACK_MS)


@pytest.mark.parametrize(
    ("limits", "asked", "told"),
    [
        ({"daily_usd": 0.25}, take(0, 0, 0.5), ("daily_usd", "0.5", "0.25", "max_cost_usd")),
        ({"monthly_usd": 0.25}, take(0, 0, 0.5), ("monthly_usd", "0.5", "0.25", "max_output")),
        (
            {"tokens_per_minute": 500, "requests_per_minute": 1},
            replace(take(0, 2_000), asked_tokens=501),
            ("tokens_per_minute", "501", "500", "max_output_tokens"),
        ),
    ],
)
async def test_what_can_never_fit_says_what_it_takes_and_no_time(
    quota: QuotaKeeper,
    limits: dict[str, float],
    asked: Reservation,
    told: tuple[str, ...],
) -> None:
    tenant = acme(**limits)
    await quota.reserve(tenant, take("first", 0, 0.2))
    error = await refused(quota, tenant, asked)
    assert not error.retryable
    assert (error.quota, error.metadata["needed"], error.metadata["limit"]) == told[:3]
    assert all(word in error.message for word in told)


async def test_a_burst_passes_a_minute_by_one_answer_at_most(quota: QuotaKeeper) -> None:
    """No request says how long its answer may be: each reserves the longest."""
    size, longest = 10_000, 3_000
    tenant = acme(tokens_per_minute=size)

    async def one(n: int) -> int:
        try:
            await quota.reserve(tenant, replace(take(n, longest), asked_tokens=10))
        except QuotaExceeded:
            return 0
        return longest

    came = sum(await asyncio.gather(*(one(n) for n in range(50))))
    assert 0 < came <= size
    small = acme(tokens_per_minute=1_000)
    burst = [Reservation(f"s{n}", "small", longest, 0.0, asked_tokens=10) for n in range(20)]
    ended = await asyncio.gather(
        *(quota.reserve(Tenant("small", small.limits), one) for one in burst),
        return_exceptions=True,
    )
    assert sum(not isinstance(e, QuotaExceeded) for e in ended) == 1


@pytest.mark.parametrize("usd", [float("nan"), float("inf"), 1e300])
async def test_a_bound_that_is_no_amount_is_more_than_any_budget(
    quota: QuotaKeeper, usd: float
) -> None:
    assert not (await refused(quota, acme(daily_usd=1_000.0), take(0, 0, usd))).retryable


async def test_absurd_amounts_leave_a_ledger_that_counts(quota: QuotaKeeper) -> None:
    tenant = acme(daily_usd=1.0, tokens_per_minute=100)
    await quota.reserve(tenant, take(0, -50, -0.5))
    assert (await quota.settle(take(0), -5, -3.0)).daily_usd == 1.0
    await quota.reserve(tenant, take(1, 0, 0.5))
    assert (await quota.settle(take(1), 0, float("nan"))).daily_usd == 0.5
    for n in range(20):
        await quota.reserve(acme(), take(f"big{n}", 10**30, 1e300))
        await quota.settle(take(f"big{n}"), 0, 0.0)
    used = await quota.usage(tenant)
    assert (used.daily_usd, used.reserved_usd, used.left.tokens) == (0.5, 0.0, 100)


async def test_what_costs_nothing_passes_a_budget_that_was_lowered(quota: QuotaKeeper) -> None:
    await quota.reserve(acme(daily_usd=1.0), take(0, 0, 0.75))
    await quota.settle(take(0), 0, 0.75)
    lowered = acme(daily_usd=0.5)
    await refused(quota, lowered, take(1, 0, 0.01))
    assert (await quota.reserve(lowered, take(2, 0, 0.0))).daily_usd == 0.0


async def test_tokens_reserved_without_a_limit_are_not_given_back_to_one(
    quota: QuotaKeeper,
) -> None:
    await quota.reserve(acme(), take(0, 3_000))
    limited = acme(tokens_per_minute=1_000)
    await quota.reserve(limited, take(1, 400))
    assert (await quota.settle(take(0), 100, 0.0)).tokens == pytest.approx(500, abs=100)


async def test_what_an_older_router_reserved_and_settled_stays_right(
    quota: QuotaKeeper, storage: Storage
) -> None:
    """It knows neither leases nor what is reserved; both keep the same hashes."""
    tenant, keys, call = acme(daily_usd=1.0), prefix_of(storage), storage.client.call
    await quota.reserve(tenant, take("new", 0, 0.25))
    usage, theirs = keys.usage("acme"), keys.reservation("rold")
    day, month = (await call("HMGET", usage, "day", "month"))[:2]
    words = ("tokens", 0, "cost", 250_000_000, "day", day, "month", month)
    await call("HSET", theirs, *words)
    for field in ("daily", "monthly"):
        await call("HINCRBY", usage, field, 250_000_000)
    assert (await quota.settle(take("old"), 0, 0.125)).daily_usd == pytest.approx(0.625)
    # It settles one of ours: at 0, which it gives back itself.
    await call("HSET", keys.reservation("rnew"), "settled", 1)
    for field in ("daily", "monthly"):
        await call("HINCRBY", usage, field, -250_000_000)
    assert await quota.settle_orphans(10) == []
    await later(storage, 1_000)
    assert await quota.settle_orphans(10) == []
    used = await quota.usage(tenant)
    assert (used.daily_usd, used.reserved_usd, used.reservations) == (0.125, 0.0, 0)


@pytest.mark.parametrize("seed", range(25))
async def test_the_ledger_adds_up_whatever_happens_in_which_order(
    quota: QuotaKeeper, storage: Storage, seed: int
) -> None:
    """Reserve, settle, let leases lapse, turn the day, sweep: by any of ten requests."""
    name, draw = uuid.uuid4().hex, random.Random(seed)
    kinds = "rsoa" if seed % 2 else "rsoad"
    steps = [(draw.choice(kinds), draw.randrange(10)) for _ in range(40)]
    tenant, limit_usd, costs = Tenant(name, TenantLimits(daily_usd=1.0)), 1.0, dict[int, float]()
    made = {
        n: Reservation(f"{name}{n}", name, 0, 0.3, expected_usd=0.1 * (n % 4)) for n in range(10)
    }
    ever: set[int] = set()
    for step, n in steps:
        if step == "r":
            with contextlib.suppress(QuotaExceeded):
                await quota.reserve(tenant, made[n])
                ever.add(n)
        elif step == "s":
            costs.setdefault(n, 0.03 * n)
            await quota.settle(made[n], 0, costs[n])
        elif step == "o":
            await later(storage, LEASE_S + GRACE_S)
            await quota.settle_orphans(100)
        elif step == "d":
            await later(storage, 10, days=1)
        else:
            await quota.renew([made[n]])
        used = await quota.usage(tenant)
        assert used.daily_usd + used.reserved_usd >= 0
        if "d" not in kinds:
            assert used.daily_usd + used.reserved_usd <= limit_usd + 1e-6
    for n in ever:
        await quota.settle(made[n], 0, 0.0)
    used = await quota.usage(tenant)
    assert (used.reserved_usd, used.reservations) == (0.0, 0)
    raw = await raw_usage(storage, name)
    assert raw.get("reserved_daily", 0) == raw.get("reserved_monthly", 0) == 0


async def test_days_and_months_are_those_of_the_calendar(storage: Storage) -> None:
    """Every day of eight centuries is too many; leap days and turns of years are not."""
    moments = [
        datetime(year, month, day, hour, 30, tzinfo=UTC)
        for year in (1970, 1999, 2000, 2023, 2024, 2026, 2100, 2400)
        for month in range(1, 13)
        for day in (1, 28, calendar.monthrange(year, month)[1])
        for hour in (0, 23)
    ]
    source = (
        load("quota_common").source
        + b"""
        local found = {}
        for i, now in ipairs(ARGV) do
          local c = calendar(tonumber(now))
          found[i] = {c.day, c.month, c.day_left, c.month_left}
        end
        return found"""
    )
    told = await storage.client.call(
        "EVAL", source, 0, *(int(moment.timestamp() * 1_000) for moment in moments)
    )
    for moment, (day, month, day_left, month_left) in zip(moments, told, strict=True):
        midnight = moment.replace(hour=0, minute=0) + timedelta(days=1)
        length = calendar.monthrange(moment.year, moment.month)[1]
        assert day == moment.toordinal()
        assert month == 12 * moment.year + moment.month
        assert day_left == (midnight - moment).total_seconds() * 1_000
        assert month_left == day_left + (length - moment.day) * 86_400_000


@pytest.mark.parametrize("days", [-2, 2])
async def test_a_router_s_clock_has_no_say(quota: QuotaKeeper, clock: FakeTime, days: int) -> None:
    tenant = acme(daily_usd=1.0, monthly_usd=1.0, requests_per_minute=2)
    await quota.reserve(tenant, take(0, 0, 0.75))
    await quota.settle(take(0), 0, 0.75)
    clock.now_s += days * DAY_S
    error = await refused(quota, tenant, take(1, 0, 0.5))
    assert error.retry_after_ms > min(day_left_ms(), month_left_ms()) - SLACK_MS
    left = await quota.reserve(tenant, take(2, 0, 0.25))
    assert (left.daily_usd, left.monthly_usd, left.requests) == (0.0, 0.0, 0)
    assert await quota.settle_orphans(10) == []


async def test_a_server_whose_clock_was_ahead_holds_nothing_for_long(
    quota: QuotaKeeper, storage: Storage
) -> None:
    tenant = acme(daily_usd=1.0)
    for n in range(2):
        await quota.reserve(tenant, take(n, 0, 0.5))
    await later(storage, -2 * DAY_S)
    await quota.renew([take(0)])
    assert [orphan.id for orphan in await quota.settle_orphans(10)] == ["r1"]
    await later(storage, LEASE_S + GRACE_S)
    assert [orphan.id for orphan in await quota.settle_orphans(10)] == ["r0"]
