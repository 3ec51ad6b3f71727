"""A tenant whose traffic is unlike the others' has a policy of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from adaptive_router.v1 import router_pb2

from tests.e2e.conftest import Router, learned


@pytest.fixture
def learning() -> str:
    return "poll_ms: 20, own_policies: [odd], own_strength: 5"


async def expected(router: Router, text: str) -> dict[str, float]:
    """Quality by plan, for whoever asks."""
    done = await router.complete(text, no_cache=True)
    told: router_pb2.GetDecisionResponse = await router.decision(done.receipt.decision_id)
    return {plan.plan: plan.expected_quality for plan in told.plans}


async def test_it_learns_from_its_own_and_the_others_do_not_notice(
    router: Router, texts: Iterator[str]
) -> None:
    even, odd = router.metadata, await router.tenant("odd")
    for _ in range(12):
        for metadata, quality in ((even, 1.0), (odd, 0.0)):
            router.metadata = metadata
            done = await router.complete(next(texts), arm="cheap")
            await router.feedback(done.receipt.decision_id, quality)
    router.metadata = even
    await learned(router, texts)
    shared = await expected(router, "What is known?")
    router.metadata = odd
    own = await expected(router, "What is known?")
    assert own["cheap"] < shared["cheap"] - 0.2
