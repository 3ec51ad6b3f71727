"""What a caller of `Decide` is charged once it reports."""

from __future__ import annotations

from dataclasses import replace

import pytest

from router.domain.records import OutcomeReport
from router.domain.requests import RoutingOptions
from router.domain.tenants import Tenant, TenantLimits
from tests.router.serving.conftest import CONFIG, Core, asked

TENANT = Tenant("acme", TenantLimits(daily_usd=1.0))
LARGE = replace(asked(tenant=TENANT), options=RoutingOptions(arm="reasoning"))
REPORT = OutcomeReport(latency_ms=900.0, input_tokens=100_000, output_tokens=50_000)
PRICE = "input_usd_per_mtok: 2, output_usd_per_mtok: 2"


@pytest.mark.parametrize(
    "config",
    [
        CONFIG.replace("name: large", "name: larger"),
        CONFIG.replace(PRICE, "input_usd_per_mtok: 1, output_usd_per_mtok: 1"),
    ],
    ids=["renamed", "cheaper"],
)
async def test_the_price_is_that_of_the_decision(core: Core, config: str) -> None:
    made = await core.service.decide(LARGE)
    after = core.reloaded(config)
    told = await after.report_outcome(TENANT, made.record.id, REPORT)
    assert told.cost_usd == pytest.approx(0.3)
    assert (await core.records())[-1].cost_usd == told.cost_usd
    left = await after.decide(LARGE)
    assert left.quota_left.daily_usd == pytest.approx(made.quota_left.daily_usd - 0.3, abs=0.01)


async def test_a_record_without_a_price_is_charged_by_the_config(core: Core) -> None:
    made = await core.service.decide(LARGE)
    older = replace(made.record, id="older", price=None)
    await core.storage.decisions.record(older)
    told = await core.service.report_outcome(TENANT, "older", REPORT)
    assert told.cost_usd == pytest.approx(0.3)
