"""Spent and reserved money stay within the budget in every order of calls."""

from __future__ import annotations

import asyncio
import random

import pytest

from router.tools.calibrate.collect.budget import Budget, CallBudget


async def test_a_reservation_beyond_the_budget_is_refused() -> None:
    budget = Budget(1.0, 0.25)
    assert budget.reserve(0.75)
    assert not budget.reserve(0.01)
    assert not await budget.wait_and_reserve(2.0)


async def test_a_reservation_waits_while_others_may_release_enough() -> None:
    budget = Budget(1.0, 0.0)
    reservation = CallBudget(budget, 0.8)
    budget.reserve(0.8)
    waiting = asyncio.create_task(budget.wait_and_reserve(0.5))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    reservation.spend(0.1)
    await reservation.close()
    assert await waiting
    assert (budget.spent_usd, budget.held_usd) == (pytest.approx(0.1), pytest.approx(0.5))


async def test_a_waiting_reservation_is_refused_once_it_is_hopeless() -> None:
    budget = Budget(1.0, 0.0)
    budget.reserve(0.8)
    reservation = CallBudget(budget, 0.8)
    waiting = asyncio.create_task(budget.wait_and_reserve(0.5))
    await asyncio.sleep(0)
    reservation.spend(0.8)
    await reservation.close()
    assert not await waiting


async def test_a_reservation_grows_to_cover_a_dearer_call() -> None:
    budget = Budget(1.0, 0.0)
    budget.reserve(0.4)
    reservation = CallBudget(budget, 0.4)
    reservation.spend(0.3)
    assert reservation.cover(0.5)
    assert not reservation.cover(0.9)
    assert budget.held_usd == pytest.approx(0.5)
    await reservation.close()
    assert budget.left_usd == pytest.approx(0.7)


async def test_a_charge_beyond_the_reservation_is_counted() -> None:
    budget = Budget(1.0, 0.0)
    budget.reserve(0.1)
    CallBudget(budget, 0.1).spend(0.3)
    assert (budget.spent_usd, budget.beyond_usd) == (pytest.approx(0.3), pytest.approx(0.2))


async def test_a_budget_with_an_exceeded_bound_reserves_nothing_more() -> None:
    budget = Budget(1.0, 0.0)
    assert budget.reserve(0.5)
    other = CallBudget(budget, 0.4)
    CallBudget(budget, 0.1).spend(0.1001)
    assert not other.cover(0.4)
    assert not budget.reserve(0.01)
    assert not await budget.wait_and_reserve(0.01)


@pytest.mark.parametrize("seed", range(5))
async def test_concurrent_reservations_stay_within_the_budget(seed: int) -> None:
    rng, budget = random.Random(seed), Budget(1.0, 0.0)
    refused: list[float] = []

    async def one(most: float, real: float) -> None:
        if not await budget.wait_and_reserve(most):
            refused.append(most)
            return
        reservation = CallBudget(budget, most)
        await asyncio.sleep(0)
        assert budget.spent_usd + budget.held_usd <= 1.0 + 1e-9
        if reservation.cover(most):
            reservation.spend(real)
        await reservation.close()

    mosts = [rng.uniform(0.01, 0.2) for _ in range(100)]
    async with asyncio.timeout(5):
        await asyncio.gather(*(one(most, most * rng.random()) for most in mosts))
    assert budget.held_usd == 0
    assert budget.spent_usd <= 1.0
    assert refused
    assert min(refused) > budget.left_usd - 0.2
