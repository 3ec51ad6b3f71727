"""However calls come and end, spent and held together stay within the budget."""

from __future__ import annotations

import asyncio
import random

import pytest

from router.tools.calibrate.collect.budget import Budget, Share


async def test_nothing_is_taken_that_is_not_there() -> None:
    purse = Budget(1.0, 0.25)
    assert purse.take(0.75)
    assert not purse.take(0.01)
    assert not await purse.wait_and_take(2.0)


async def test_who_might_still_be_paid_waits() -> None:
    purse = Budget(1.0, 0.0)
    share = Share(purse, 0.8)
    purse.take(0.8)
    waiting = asyncio.create_task(purse.wait_and_take(0.5))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    share.spend(0.1)
    await share.close()
    assert await waiting
    assert (purse.spent_usd, purse.held_usd) == (pytest.approx(0.1), pytest.approx(0.5))


async def test_who_can_not_be_paid_any_more_is_told() -> None:
    purse = Budget(1.0, 0.0)
    purse.take(0.8)
    share = Share(purse, 0.8)
    waiting = asyncio.create_task(purse.wait_and_take(0.5))
    await asyncio.sleep(0)
    share.spend(0.8)
    await share.close()
    assert not await waiting


async def test_a_share_reaches_for_more_where_it_must() -> None:
    purse = Budget(1.0, 0.0)
    purse.take(0.4)
    share = Share(purse, 0.4)
    share.spend(0.3)
    assert share.reach(0.5)
    assert not share.reach(0.9)
    assert purse.held_usd == pytest.approx(0.5)
    await share.close()
    assert purse.left_usd == pytest.approx(0.7)


async def test_what_is_charged_beyond_the_most_is_told() -> None:
    purse = Budget(1.0, 0.0)
    purse.take(0.1)
    Share(purse, 0.1).spend(0.3)
    assert (purse.spent_usd, purse.beyond_usd) == (pytest.approx(0.3), pytest.approx(0.2))


async def test_nothing_is_given_out_once_a_bound_was_no_bound() -> None:
    purse = Budget(1.0, 0.0)
    assert purse.take(0.5)
    other = Share(purse, 0.4)
    Share(purse, 0.1).spend(0.1001)
    assert not other.reach(0.4)
    assert not purse.take(0.01)
    assert not await purse.wait_and_take(0.01)


@pytest.mark.parametrize("seed", range(5))
async def test_many_at_once_keep_within(seed: int) -> None:
    rng, purse = random.Random(seed), Budget(1.0, 0.0)
    refused: list[float] = []

    async def one(most: float, real: float) -> None:
        if not await purse.wait_and_take(most):
            refused.append(most)
            return
        share = Share(purse, most)
        await asyncio.sleep(0)
        assert purse.spent_usd + purse.held_usd <= 1.0 + 1e-9
        if share.reach(most):
            share.spend(real)
        await share.close()

    mosts = [rng.uniform(0.01, 0.2) for _ in range(100)]
    async with asyncio.timeout(60):
        await asyncio.gather(*(one(most, most * rng.random()) for most in mosts))
    assert purse.held_usd == 0
    assert purse.spent_usd <= 1.0
    assert refused
    assert min(refused) > purse.left_usd - 0.2
