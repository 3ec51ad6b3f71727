"""Each call of the client against a whole router."""

from __future__ import annotations

import asyncio

import pytest
from adaptive_router_client import AsyncClient, Client, Routing

from tests.e2e.conftest import KEY, Router


@pytest.fixture
def learns() -> bool:
    return False


def connected(router: Router) -> AsyncClient:
    return AsyncClient(f"127.0.0.1:{router.port}", key=KEY)


async def test_an_answer_has_its_receipt_and_takes_feedback(router: Router) -> None:
    async with connected(router) as client:
        done = await client.complete("What is 17 * 23?", Routing(no_cache=True))
        assert done.text == "Forty-two."
        assert done.receipt.attempts[-1].outcome == "accepted"
        recorded = await client.feedback(done, quality=0.75)
        assert (recorded.already_recorded, recorded.decisions) == (False, 1)
        decision = await client.decision(done)
        assert decision.feedback_quality == 0.75
        assert sum(plan.probability for plan in decision.plans) == pytest.approx(1)


def asked(router: Router) -> str:
    with Client(f"127.0.0.1:{router.port}", key=KEY) as client:
        return client.complete("What is 17 * 23?").text


async def test_a_thread_gets_an_answer(router: Router) -> None:
    assert await asyncio.to_thread(asked, router) == "Forty-two."
