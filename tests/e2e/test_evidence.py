"""Evidence bought on live traffic: the other arms are asked, off the caller's path."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from demo.world import Reply
from router.domain.events import EvidenceBought
from router.domain.tenants import TenantLimits
from router.serving.evidence.buyer import budget_tenant
from tests.e2e.conftest import Router, request, until

BUDGET_USD = 5.0
QUIET_S = 0.3


@pytest.fixture
def plans() -> str:
    return "{cheap: [cheap], reasoning: [reasoning], fallback: [fallback]}"


@pytest.fixture
def evidence() -> str:
    return "source: agreement"


@pytest.fixture
def budget_usd() -> float:
    return BUDGET_USD


@pytest.fixture
def sections(evidence: str, budget_usd: float) -> str:
    return f"cache: {{enabled: no}}\nevidence: {{budget_usd_per_day: {budget_usd}, {evidence}}}"


@pytest.fixture
def learns() -> bool:
    return False


def say(router: Router, **texts: str) -> None:
    for arm, text in texts.items():
        router.upstreams[arm].find = lambda _, text=text: Reply(text, 1.0, 100, 50)


async def bought(router: Router) -> list[EvidenceBought]:
    events = [event for _, event in await router.storage.events.read("0", 1_000, 0)]
    return [event for event in events if isinstance(event, EvidenceBought)]


async def first_bought(router: Router) -> EvidenceBought:
    async def is_there() -> bool:
        return bool(await bought(router))

    await until(is_there)
    (event,) = await bought(router)
    return event


async def test_every_other_arm_is_asked_and_the_budget_pays(
    router: Router, texts: Iterator[str]
) -> None:
    metadata = await router.tenant("metered", TenantLimits(daily_usd=1.0))
    say(router, cheap="The answer is 42.", fallback="#### 42", reasoning="The answer is 41.")
    done = await router.stub.Complete(request(next(texts)), metadata=metadata)
    event = await first_bought(router)
    assert event.decision_id == done.receipt.decision_id
    assert event.propensity == 1.0
    told = {answer.arm: answer for answer in event.arms}
    assert {arm: answer.quality for arm, answer in told.items()} == {
        "cheap": 1.0,
        "fallback": 1.0,
        "reasoning": 0.0,
    }
    assert [arm for arm, answer in told.items() if answer.served] == [done.receipt.arm]
    usd = {"cheap": 0.1, "fallback": 0.5, "reasoning": 2.0}
    others = [150 * price / 1e6 for arm, price in usd.items() if arm != done.receipt.arm]
    assert event.cost_usd == pytest.approx(sum(others))

    async def is_settled() -> bool:
        used = await router.storage.quota.usage(budget_tenant(BUDGET_USD))
        return used.reservations == 0

    await until(is_settled)
    used = await router.storage.quota.usage(budget_tenant(BUDGET_USD))
    assert used.daily_usd == pytest.approx(event.cost_usd, abs=1e-8)
    left = (await router.stub.Complete(request(next(texts)), metadata=metadata)).receipt
    assert left.quota_left.daily_usd == pytest.approx(1.0 - done.receipt.cost_usd - left.cost_usd)
