"""A choice made while the store still answers holds only as far as the answer bears it out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from router.domain.chat import ChatRequest, Message, Role, TextPart
from router.domain.errors import NoEligiblePlan, QuotaExceeded
from router.domain.requests import RoutingOptions
from router.domain.tenants import Tenant, TenantLimits
from router.ports.state import HealthPolicy
from tests.router.serving.conftest import Core, asked


async def test_early_choice_is_used_when_every_plan_is_healthy(core: Core) -> None:
    for _ in range(2):
        await core.service.complete(asked())
    computed, early_choice = await core.records()
    assert core.embedder.stats.computed == 1
    assert early_choice.choice.context == computed.choice.context
    decided = core.metrics.registry.get_sample_value(
        "adaptive_router_stage_seconds_count", {"stage": "decide"}
    )
    assert decided == 2


async def test_choose_leaves_out_plans_that_turn_out_ill(core: Core) -> None:
    await core.service.complete(asked())
    for _ in range(HealthPolicy().failures):
        await core.storage.health.failed("small")
    done = await core.service.complete(asked())
    assert done.record.choice.probabilities == (("reasoning", 1.0),)
    assert done.record.choice.propensity == 1.0
    assert done.record.arm == "reasoning"


async def test_complete_embeds_and_records_nothing_when_quota_is_exceeded(core: Core) -> None:
    poor = Tenant("poor", TenantLimits(daily_usd=1e-9))
    with pytest.raises(QuotaExceeded):
        await core.service.complete(asked(tenant=poor))
    assert core.embedder.stats.computed == 0
    await core.service.complete(asked())
    with pytest.raises(QuotaExceeded):
        await core.service.complete(asked(tenant=poor))
    assert [record.tenant for record in await core.records()] == ["acme"]


async def test_choose_raises_no_eligible_plan_when_the_cost_limit_pays_no_arm(core: Core) -> None:
    chat = ChatRequest((Message(Role.USER, (TextPart("7," * 3_000),)),))
    with pytest.raises(NoEligiblePlan, match="below what the cheapest arm can cost"):
        await core.service.complete(
            replace(asked(), chat=chat, options=RoutingOptions(max_cost_usd=0.005))
        )
    assert await core.records() == []
