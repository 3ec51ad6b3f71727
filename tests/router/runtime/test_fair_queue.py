"""Shares of a bounded amount, turns while one waits for them, and checks on a thread."""

from __future__ import annotations

import asyncio
import random
import threading

import pytest

from router.domain.errors import Overloaded
from router.runtime.fair_queue import CheckPool, FairQueue, FairShares

PATIENCE_S = 60.0


def queue(capacity: int, *, waiting: int = 100, share: float = 1) -> FairQueue:
    return FairQueue(FairShares(capacity, share=share), FairShares(waiting, share=1))


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75, 1])
def test_the_sum_never_passes_the_capacity_and_comes_back_to_nothing(share: float) -> None:
    rng, shares, held = random.Random(7), FairShares(50, share=share), list[tuple[str, int]]()
    for _ in range(5_000):
        tenant, amount = f"t{rng.randrange(6)}", rng.randrange(6)
        if shares.take(tenant, amount):
            held.append((tenant, amount))
        if held and rng.random() < 0.5:
            shares.give_back(*held.pop(rng.randrange(len(held))))
        assert shares.total == sum(amount for _, amount in held) <= 50
    for one in held:
        shares.give_back(*one)
    assert not shares.total
    assert shares.take("t0", 50)


@pytest.mark.parametrize("tenants", [1, 2, 5, 10])
def test_greedy_tenants_leave_room_for_one_more(tenants: int) -> None:
    shares = FairShares(256, share=0.75)
    for _ in range(256):
        for tenant in range(tenants):
            shares.take(str(tenant), 1)
    each = [shares.held(str(tenant)) for tenant in range(tenants)]
    assert max(each) - min(each) <= 1
    assert shares.total > 128
    assert shares.take("quiet", 1)


async def test_tenants_take_turns() -> None:
    fair, order = queue(1), list[str]()

    async def one(tenant: str) -> None:
        async with fair.place(tenant):
            order.append(tenant)
            await asyncio.sleep(0)

    tenants = ["a"] * 5 + ["b"] * 2 + ["c"]
    await asyncio.gather(*map(one, tenants))
    assert order == ["a", "a", "b", "c", "a", "b", "a", "a"]
    assert not fair.shares.total


async def test_one_too_many_is_refused() -> None:
    fair = queue(1, waiting=2)
    await fair.take("a", 1)
    waiting = [asyncio.create_task(fair.take("a", 1)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await fair.take("b", 1)
    for _ in range(2):
        fair.give_back("a", 1)
        await asyncio.sleep(0)
    await asyncio.gather(*waiting)
    fair.give_back("a", 1)
    assert not fair.shares.total


async def test_those_who_leave_lose_nothing_to_the_others() -> None:
    """At any moment: before their turn, as it comes, and after it."""
    rng, fair = random.Random(3), queue(3)

    async def one(tenant: str) -> None:
        async with fair.place(tenant, rng.randrange(1, 4)):
            for _ in range(rng.randrange(4)):
                await asyncio.sleep(0)

    async with asyncio.timeout(PATIENCE_S):
        for _ in range(300):
            tasks = [asyncio.create_task(one(f"t{i % 3}")) for i in range(12)]
            for _ in range(rng.randrange(6)):
                await asyncio.sleep(0)
            for task in rng.sample(tasks, 6):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert not fair.shares.total
            assert not fair._waiting  # noqa: SLF001 - nothing may be left behind


async def test_one_who_leaves_at_the_head_lets_a_smaller_one_in() -> None:
    fair = queue(4)
    await fair.take("a", 2)
    large = asyncio.create_task(fair.take("b", 4))
    small = asyncio.create_task(fair.take("b", 1))
    await asyncio.sleep(0)
    large.cancel()
    async with asyncio.timeout(PATIENCE_S):
        await small
    assert fair.shares.total == 3


async def test_checks_run_on_a_thread_tenant_by_tenant() -> None:
    pool, gate, order = CheckPool(), threading.Event(), list[str]()

    def check(name: str) -> str:
        assert threading.current_thread().name.startswith("check")
        gate.wait(PATIENCE_S)
        order.append(name)
        return name

    try:
        loud = [asyncio.create_task(pool.run("loud", lambda: check("loud"))) for _ in range(9)]
        await asyncio.sleep(0)
        quiet = asyncio.create_task(pool.run("quiet", lambda: check("quiet")))
        await asyncio.sleep(0)
        gate.set()
        assert await quiet == "quiet"
        await asyncio.gather(*loud)
        assert order.index("quiet") <= 2
    finally:
        pool.close()


async def test_a_check_raises_and_one_who_leaves_frees_the_thread() -> None:
    pool, gate = CheckPool(), threading.Event()

    def fail() -> None:
        raise LookupError

    try:
        with pytest.raises(LookupError):
            await pool.run("a", fail)
        left = asyncio.create_task(pool.run("a", lambda: gate.wait(PATIENCE_S)))
        await asyncio.sleep(0.01)
        left.cancel()
        behind = asyncio.create_task(pool.run("a", lambda: 3))
        gate.set()
        assert await behind == 3
        with pytest.raises(asyncio.CancelledError):
            await left
    finally:
        pool.close()
