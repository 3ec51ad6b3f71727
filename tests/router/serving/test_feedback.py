"""A caller of `Decide` is charged once it reports."""

from __future__ import annotations

from dataclasses import replace

import pytest

from router.domain.records import OutcomeReport
from router.domain.requests import RoutingOptions
from router.domain.tenants import Tenant, TenantLimits
from router.serving.audits import LEAST, MOST_TENANTS, FeedbackRate
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
async def test_outcome_is_charged_by_the_price_of_the_decision(core: Core, config: str) -> None:
    made = await core.service.decide(LARGE)
    after = core.reloaded(config)
    told = await after.report_outcome(TENANT, made.record.id, REPORT)
    assert told.cost_usd == pytest.approx(0.3)
    assert (await core.records())[-1].cost_usd == told.cost_usd
    left = await after.decide(LARGE)
    assert left.quota_left.daily_usd == pytest.approx(made.quota_left.daily_usd - 0.3, abs=0.01)


async def test_outcome_is_charged_by_the_config_when_the_record_has_no_price(core: Core) -> None:
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


def test_feedback_rate_is_full_when_callers_are_silent() -> None:
    assert worth(FeedbackRate(), "a", 1_000) == 1.0


def test_feedback_rate_is_least_when_callers_rate_everything() -> None:
    assert worth(FeedbackRate(), "a", 300, 1) == LEAST


def test_feedback_rate_halves_when_callers_rate_half() -> None:
    assert 0.45 < worth(FeedbackRate(), "a", 2_000, 2) < 0.55


def test_feedback_rate_is_kept_per_tenant() -> None:
    telling = FeedbackRate()
    worth(telling, "tells", 300, 1)
    assert telling.count_answer("silent") == 1.0


def test_feedback_rate_recovers_when_callers_fall_silent() -> None:
    telling = FeedbackRate()
    worth(telling, "a", 1_000, 1)
    assert worth(telling, "a", 3_000) > 0.9


def test_feedback_rate_is_least_when_old_feedback_comes_late() -> None:
    telling = FeedbackRate()
    for _ in range(100):
        telling.count_feedback("a")
    assert telling.count_answer("a") == LEAST


def test_feedback_rate_forgets_tenants_when_there_are_many() -> None:
    telling = FeedbackRate()
    worth(telling, "first", 300, 1)
    for n in range(MOST_TENANTS):
        telling.count_answer(f"t{n}")
    assert telling.count_answer("first") == 1.0
