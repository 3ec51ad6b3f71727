"""A choice made while the store still answers holds only as far as the answer bears it out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from router.domain.chat import ChatRequest, Message, Role, TextPart
from router.domain.errors import NoEligiblePlan, QuotaExceeded
from router.domain.requests import RoutingOptions
from router.domain.tenants import Tenant, TenantLimits
from router.ports.state import HealthPolicy
from tests.router.serving.conftest import CONFIG, Core, asked


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


async def test_records_hold_the_price_of_their_request(core: Core) -> None:
    """A long request is priced by its length, a short one beside it by its own."""
    long = ChatRequest((Message(Role.USER, (TextPart("What is next? " * 500),)),))
    await core.service.complete(asked())
    await core.service.complete(replace(asked(), chat=long))
    short, other = [{n: rest for n, *rest in r.choice.prices} for r in await core.records()]
    tokens = len("What is next? " * 500) / 3.6
    for name, usd in (("cheap", 1e-6), ("reasoning", 2e-6)):
        prior_usd, input_usd, ahead_usd = other[name]
        assert input_usd == pytest.approx(tokens * usd)
        assert prior_usd == pytest.approx((tokens + 400) * usd)
        assert ahead_usd == input_usd
        assert short[name][1] < 0.01 * input_usd


async def test_a_new_price_list_acts_on_the_next_request(core: Core) -> None:
    await core.service.complete(asked())
    dearer = core.reloaded(CONFIG.replace("input_usd_per_mtok: 1,", "input_usd_per_mtok: 50,"))
    await dearer.complete(asked())
    before, after = [r.choice for r in await core.records()]
    cheap = [next(p for p in choice.prices if p[0] == "cheap") for choice in (before, after)]
    assert cheap[1][2] == pytest.approx(50 * cheap[0][2])
    costs = [{n: usd for n, _, usd, _ in c.expected}["cheap"] for c in (before, after)]
    assert costs[1] - costs[0] == pytest.approx(49 * cheap[0][2], rel=1e-5)
