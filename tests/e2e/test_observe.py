"""The caller's own choice is served; what the policy would have done is written down beside it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from adaptive_router.v1 import router_pb2

from router.domain.tenants import TenantLimits
from tests.e2e.conftest import Router, request

COLD_START = "cheap-then-reasoning"


@pytest.mark.parametrize("pin", ["", "cheap", "fallback"])
async def test_the_callers_choice_is_served_unchanged(
    router: Router, texts: Iterator[str], pin: str
) -> None:
    metadata = await router.tenant(f"watched-{pin}", TenantLimits(observe="reasoning"))
    asking = request(next(texts))
    asking.routing.arm = pin
    served = (await router.stub.Complete(asking, metadata=metadata)).receipt
    assert (served.plan, served.arm, served.propensity) == (pin or "reasoning",) * 2 + (1.0,)
    assert [attempt.arm for attempt in served.attempts] == [pin or "reasoning"]
    assert served.would_plan
    wanted = router_pb2.GetDecisionRequest(decision_id=served.decision_id)
    told = await router.stub.GetDecision(wanted, metadata=metadata)
    shares = {plan.plan: plan.probability for plan in told.plans}
    assert shares.pop(served.plan) == 1.0
    assert shares
    assert not any(shares.values())


async def test_who_is_not_observed_is_routed(router: Router, texts: Iterator[str]) -> None:
    metadata = await router.tenant("routed", TenantLimits(observe="off"))
    served = await router.stub.Complete(request(next(texts)), metadata=metadata)
    assert not served.receipt.would_plan


async def test_a_caller_of_decide_is_told_its_own_arm(router: Router, texts: Iterator[str]) -> None:
    metadata = await router.tenant("deciding", TenantLimits(observe="reasoning"))
    chat = request(next(texts)).chat
    told = await router.stub.Decide(router_pb2.DecideRequest(chat=chat), metadata=metadata)
    assert list(told.rungs) == ["reasoning"]
    assert told.receipt.would_plan in {"cheap", "reasoning", "fallback"}
