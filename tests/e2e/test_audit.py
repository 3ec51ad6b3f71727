"""Accepted first answers that are checked off the caller's path."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from demo.world import Reply
from router.domain.events import Audited
from router.domain.tenants import Tenant, TenantLimits
from tests.blips import miss_first_tries
from tests.e2e.conftest import Router, request, until

CHEAP_USD, SECOND_USD, STRONG_USD = (150 * price / 1e6 for price in (0.1, 0.5, 2.0))
QUIET_S = 0.2


@pytest.fixture
def plans() -> str:
    return "{checked: {rungs: [cheap, reasoning], second: fallback, gate: agreement}}"


@pytest.fixture
def judge() -> str:
    return ""


@pytest.fixture
def budget_usd() -> float:
    return 1.0


@pytest.fixture
def cache() -> str:
    return "no"


@pytest.fixture
def sections(judge: str, budget_usd: float, cache: str) -> str:
    audit = f"audit_share: 1, audit_usd_per_day: {budget_usd}, judge: '{judge}'"
    return f"cache: {{enabled: {cache}}}\njudging: {{{audit}}}"


@pytest.fixture
def learns() -> bool:
    return False


def say(router: Router, **texts: str) -> None:
    for arm, text in texts.items():
        router.upstreams[arm].find = lambda _, text=text: Reply(text, 1.0, 100, 50)


async def audits(router: Router) -> list[Audited]:
    events = [event for _, event in await router.storage.events.read("0", 100, 0)]
    return [event for event in events if isinstance(event, Audited)]


async def first_audit(router: Router) -> Audited:
    async def is_there() -> bool:
        return bool(await audits(router))

    await until(is_there)
    (audit,) = await audits(router)
    return audit


async def left_usd(router: Router, metadata: tuple[tuple[str, str], ...]) -> float:
    """Return what is left of a tenant's 1 USD a day, by a call that costs next to nothing."""
    asked = request("How much is left?", arm="cheap")
    done = await router.stub.Complete(asked, metadata=metadata)
    return done.receipt.quota_left.daily_usd + CHEAP_USD


@pytest.mark.parametrize(("strong", "quality"), [("It is 42.", 1.0), ("It is 41.", 0.0)])
async def test_the_arm_above_is_asked_and_its_tenant_charged(
    router: Router, texts: Iterator[str], strong: str, quality: float
) -> None:
    metadata = await router.tenant("metered", TenantLimits(daily_usd=1.0))
    say(router, cheap="The answer is 42.", fallback="#### 42", reasoning=f"The answer: {strong}")
    done = await router.stub.Complete(request(next(texts)), metadata=metadata)
    assert done.receipt.arm == "cheap"
    assert done.receipt.cost_usd == pytest.approx(CHEAP_USD + SECOND_USD)
    audit = await first_audit(router)
    assert (audit.decision_id, audit.quality) == (done.receipt.decision_id, quality)
    assert (audit.propensity, audit.cost_usd) == (1.0, pytest.approx(STRONG_USD))
    spent_usd = CHEAP_USD + SECOND_USD + STRONG_USD
    assert 1.0 - await left_usd(router, metadata) == pytest.approx(spent_usd, abs=1e-8)


@pytest.mark.parametrize("cache", ["yes"])
@pytest.mark.parametrize(("strong", "kept"), [("It is 42.", 1), ("It is 41.", 0)])
async def test_an_answer_that_was_found_bad_is_not_kept(
    router: Router, texts: Iterator[str], strong: str, kept: int
) -> None:
    say(router, cheap="The answer is 42.", fallback="#### 42", reasoning=f"The answer: {strong}")
    await router.complete(next(texts))
    await first_audit(router)
    assert len(await router.storage.client.call("KEYS", "ar:answer:*")) == kept


async def test_a_storage_that_is_away_for_a_moment_leaves_nothing_held(
    router: Router, texts: Iterator[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The audit reserves far more than it costs: the price of an answer at its longest."""
    metered = Tenant("metered", TenantLimits(daily_usd=1.0))
    metadata = await router.tenant(metered.name, metered.limits)
    say(router, cheap="The answer is 42.", fallback="#### 42", reasoning="The answer is 42.")
    miss_first_tries(monkeypatch, router.storage.quota, "settle")
    await router.stub.Complete(request(next(texts)), metadata=metadata)
    await first_audit(router)

    async def is_settled() -> bool:
        usage = await router.storage.quota.usage(metered)
        return usage.reservations == 0 and usage.reserved_usd == 0

    await until(is_settled)
    usage = await router.storage.quota.usage(metered)
    spent_usd = CHEAP_USD + SECOND_USD + STRONG_USD
    assert usage.daily_usd == pytest.approx(spent_usd, abs=1e-8)


async def test_open_text_is_not_compared(router: Router, texts: Iterator[str]) -> None:
    await router.complete(next(texts))
    await asyncio.sleep(QUIET_S)
    assert await audits(router) == []


async def test_what_was_escalated_is_not_audited(router: Router, texts: Iterator[str]) -> None:
    say(router, cheap="The answer is 42.", fallback="#### 41", reasoning="The answer is 41.")
    assert (await router.complete(next(texts))).receipt.arm == "reasoning"
    await asyncio.sleep(QUIET_S)
    assert await audits(router) == []


async def test_a_callers_cost_limit_leaves_no_room_for_audits(
    router: Router, texts: Iterator[str]
) -> None:
    say(router, cheap="The answer is 42.", fallback="#### 42")
    await router.complete(next(texts), max_cost_usd=0.1)
    await asyncio.sleep(QUIET_S)
    assert await audits(router) == []


async def test_a_tenant_without_budget_is_not_audited(router: Router, texts: Iterator[str]) -> None:
    """Enough for the request, and not for another one."""
    say(router, cheap="The answer is 42.", fallback="#### 42", reasoning="The answer is 42.")
    metadata = await router.tenant("poor", TenantLimits(requests_per_minute=1))
    await router.stub.Complete(request(next(texts)), metadata=metadata)
    await asyncio.sleep(QUIET_S)
    assert await audits(router) == []


class TestABudget:
    @pytest.fixture
    def budget_usd(self) -> float:
        """The budget pays one strong answer at its longest (4,096 tokens), not two."""
        return 0.009

    async def test_bounds_all_audits_of_a_day(self, router: Router, texts: Iterator[str]) -> None:
        say(router, cheap="The answer is 42.", fallback="#### 42")
        router.upstreams["reasoning"].find = lambda _: Reply("The answer is 42.", 1.0, 100, 2_000)
        for _ in range(4):
            await router.complete(next(texts))
            await asyncio.sleep(QUIET_S)
        assert len(await audits(router)) == 1


class TestAJudge:
    @pytest.fixture
    def judge(self) -> str:
        return "reasoning"

    async def test_grades_open_text_too(self, router: Router, texts: Iterator[str]) -> None:
        say(router, reasoning="Right, but terse.\nSCORE: 8")
        done = await router.complete(next(texts))
        assert done.receipt.arm == "cheap"
        assert (await first_audit(router)).quality == pytest.approx(0.8)

    async def test_that_answers_prose_is_paid_and_not_heard(
        self, router: Router, texts: Iterator[str]
    ) -> None:
        metadata = await router.tenant("metered", TenantLimits(daily_usd=1.0))
        say(router, reasoning="I rather like this answer.")
        await router.stub.Complete(request(next(texts)), metadata=metadata)
        await asyncio.sleep(QUIET_S)
        assert await audits(router) == []
        spent_usd = CHEAP_USD + SECOND_USD + STRONG_USD
        assert 1.0 - await left_usd(router, metadata) == pytest.approx(spent_usd, abs=1e-8)
