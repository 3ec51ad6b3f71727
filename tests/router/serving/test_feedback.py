"""What a caller of `Decide` is charged once it reports."""

from __future__ import annotations

from dataclasses import replace

import pytest

from router.domain.records import OutcomeReport
from router.domain.requests import RoutingOptions
from router.domain.tenants import Tenant, TenantLimits
from router.serving.feedback import LEAST, MOST_TENANTS, FeedbackRate
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


def worth(telling: FeedbackRate, tenant: str, answers: int, told_every: int = 0) -> float:
    share = 1.0
    for n in range(answers):
        share = telling.count_answer(tenant)
        if told_every and n % told_every == 0:
            telling.count_feedback(tenant)
    return share


def test_silent_callers_are_checked_as_the_config_says() -> None:
    assert worth(FeedbackRate(), "a", 1_000) == 1.0


def test_callers_who_tell_all_are_hardly_checked() -> None:
    assert worth(FeedbackRate(), "a", 300, 1) == LEAST


def test_callers_who_tell_of_half_are_checked_half_as_often() -> None:
    assert 0.45 < worth(FeedbackRate(), "a", 2_000, 2) < 0.55


def test_each_tenant_is_looked_at_by_itself() -> None:
    telling = FeedbackRate()
    worth(telling, "tells", 300, 1)
    assert telling.count_answer("silent") == 1.0


def test_callers_who_fall_silent_are_checked_again() -> None:
    telling = FeedbackRate()
    worth(telling, "a", 1_000, 1)
    assert worth(telling, "a", 3_000) > 0.9


def test_feedback_of_long_ago_is_no_more_than_all() -> None:
    telling = FeedbackRate()
    for _ in range(100):
        telling.count_feedback("a")
    assert telling.count_answer("a") == LEAST


def test_tenants_heard_long_ago_are_forgotten() -> None:
    telling = FeedbackRate()
    worth(telling, "first", 300, 1)
    for n in range(MOST_TENANTS):
        telling.count_answer(f"t{n}")
    assert telling.count_answer("first") == 1.0
