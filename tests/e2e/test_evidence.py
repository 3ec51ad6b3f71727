"""Evidence bought on live traffic: the other arms are asked, off the caller's path."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from adaptive_router.v1 import router_pb2

from demo.world import Reply
from router.domain.events import EvidenceBought, number_of
from router.domain.tenants import TenantLimits
from router.learning.evidence import EvidenceLedger
from router.learning.learner_state import split
from router.serving.evidence.buyer import budget_tenant
from tests.e2e.conftest import Router, chat, learned, request, until

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


async def quiet(router: Router) -> None:
    """Nothing is bought, and nothing held, some moments after an answer."""
    await asyncio.sleep(QUIET_S)
    used = await router.storage.quota.usage(budget_tenant(BUDGET_USD))
    assert (used.daily_usd, used.reservations) == (0.0, 0)
    assert await bought(router) == []


async def test_nothing_is_asked_where_the_served_answer_is_open_text(
    router: Router, texts: Iterator[str]
) -> None:
    await router.complete(next(texts))
    await quiet(router)


async def test_a_tenant_that_opted_out_is_left_alone(router: Router, texts: Iterator[str]) -> None:
    say(router, cheap="The answer is 42.", fallback="#### 42", reasoning="The answer is 42.")
    metadata = await router.tenant("private", TenantLimits(evidence="no"))
    done = await router.stub.Complete(request(next(texts)), metadata=metadata)
    await quiet(router)
    (record,) = await router.storage.events.records([done.receipt.decision_id])
    assert record is not None
    assert record.evidence_share == 0


async def test_a_request_that_opts_out_is_left_alone(router: Router, texts: Iterator[str]) -> None:
    say(router, cheap="The answer is 42.", fallback="#### 42", reasoning="The answer is 42.")
    await router.complete(next(texts), no_evidence=True)
    await quiet(router)


async def test_two_arms_that_cannot_be_outvoted_are_not_asked(
    router: Router, texts: Iterator[str]
) -> None:
    """They would be held right where they agree and not known where they differ: no lesson."""
    say(router, cheap="The answer is 42.", fallback="#### 42", reasoning="The answer is 42.")
    metadata = await router.tenant("choosy", TenantLimits(arms=("cheap", "fallback")))
    await router.stub.Complete(request(next(texts)), metadata=metadata)
    await quiet(router)


async def test_an_arm_that_is_down_is_left_out_and_nothing_paid_is_lost(
    router: Router, texts: Iterator[str]
) -> None:
    say(router, cheap="The answer is 42.", fallback="#### 42", reasoning="The answer is 42.")
    done = await router.complete(next(texts))
    served = await first_bought(router)
    assert served.is_full
    down = next(arm for arm in ("cheap", "reasoning", "fallback") if arm != done.receipt.arm)
    router.upstreams[down].down = True
    again = await router.complete(next(texts))

    async def are_two() -> bool:
        return len(await bought(router)) == 2

    await until(are_two)
    event = next(e for e in await bought(router) if e.decision_id == again.receipt.decision_id)
    assert down not in {answer.arm for answer in event.arms}
    # The two that are left were neither outvoted nor could be.
    assert [answer.quality for answer in event.arms] == [None, None]
    assert all(answer.cost_usd for answer in event.arms)


async def test_an_event_is_appended_once(router: Router, texts: Iterator[str]) -> None:
    say(router, cheap="The answer is 42.", fallback="#### 42", reasoning="The answer is 42.")
    await router.complete(next(texts))
    event = await first_bought(router)
    await router.storage.decisions.evidence(event)
    assert await bought(router) == [event]


class TestABudget:
    """It pays for one prompt at its longest (4,096 tokens at 2.0 and 0.5), not for two."""

    @pytest.fixture
    def budget_usd(self) -> float:
        return 0.0115

    async def test_bounds_all_of_a_day(self, router: Router, texts: Iterator[str]) -> None:
        for upstream in router.upstreams.values():
            upstream.ledger = []
            upstream.find = lambda _: Reply("The answer is 42.", 1.0, 100, 3_000)
        paid = 0.0
        for _ in range(5):
            paid += (await router.complete(next(texts))).receipt.cost_usd
            await asyncio.sleep(QUIET_S)
        assert len(await bought(router)) == 1
        usd = {"cheap": 0.1, "fallback": 0.5, "reasoning": 2.0}
        calls = [(arm, call) for arm, up in router.upstreams.items() for call in up.ledger or []]
        charged = sum(usd[a] * (c.input_tokens + c.output_tokens) for a, c in calls) / 1e6
        assert charged - paid <= 0.0115 + 1e-9

    async def test_that_is_too_small_for_a_long_answer_pays_for_short_ones(
        self, router: Router, texts: Iterator[str]
    ) -> None:
        """What one request could not have must not end the day for all."""
        for upstream in router.upstreams.values():
            upstream.find = lambda _: Reply("The answer is 42.", 1.0, 100, 3_000)
        for _ in range(2):
            await router.complete(next(texts))  # the first is paid for, the second is not
            await asyncio.sleep(QUIET_S)
        assert len(await bought(router)) == 1
        say(router, cheap="The answer is 42.", fallback="#### 42", reasoning="The answer is 41.")
        refused = await router.complete(next(texts))
        short = chat(next(texts), max_output_tokens=100)
        asked = router_pb2.CompleteRequest(chat=short)
        await router.stub.Complete(asked, metadata=router.metadata)

        async def are_two() -> bool:
            return len(await bought(router)) == 2

        await until(are_two)
        (record,) = await router.storage.events.records([refused.receipt.decision_id])
        assert record is not None
        assert record.evidence_share == 0


class TestAJudge:
    @pytest.fixture
    def evidence(self) -> str:
        return "source: judge, judge: fallback"

    async def test_grades_each_answer_by_itself(self, router: Router, texts: Iterator[str]) -> None:
        grades = {"Forty-two.": "SCORE: 9", "No idea.": "SCORE: 2"}
        say(router, cheap="No idea.", reasoning="Forty-two.")
        router.upstreams["fallback"].find = lambda prompt: Reply(
            next((said for text, said in grades.items() if text in prompt), "Forty-two."), 1, 100, 5
        )
        done = await router.complete(next(texts))
        event = await first_bought(router)
        told = {answer.arm: answer.quality for answer in event.arms}
        assert told == {"cheap": 0.2, "reasoning": 0.9, "fallback": 0.9}
        assert event.is_full
        judged = 3 * 105 * 0.5 / 1e6
        usd = {"cheap": 150 * 0.1, "reasoning": 150 * 2.0, "fallback": 105 * 0.5}
        others = sum(cost for arm, cost in usd.items() if arm != done.receipt.arm) / 1e6
        assert event.cost_usd == pytest.approx(others + judged)

    async def test_arms_that_a_tenant_may_not_use_never_see_its_prompts(
        self, router: Router, texts: Iterator[str]
    ) -> None:
        for upstream in router.upstreams.values():
            upstream.ledger = []
        metadata = await router.tenant("choosy", TenantLimits(arms=("cheap", "fallback")))
        await router.stub.Complete(request(next(texts)), metadata=metadata)
        event = await first_bought(router)
        assert sorted(answer.arm for answer in event.arms) == ["cheap", "fallback"]
        assert router.upstreams["reasoning"].ledger == []

    async def test_that_a_tenant_may_not_use_never_sees_its_prompts(
        self, router: Router, texts: Iterator[str]
    ) -> None:
        router.upstreams["fallback"].ledger = []
        metadata = await router.tenant("choosy", TenantLimits(arms=("cheap", "reasoning")))
        await router.stub.Complete(request(next(texts)), metadata=metadata)
        await quiet(router)
        assert router.upstreams["fallback"].ledger == []

    async def test_that_keeps_to_no_form_is_left_alone_after_three(
        self, router: Router, texts: Iterator[str]
    ) -> None:
        say(router, fallback="I rather like this one. SCORE seven")
        for count in range(1, 4):
            await router.complete(next(texts))

            async def are_so_many(count: int = count) -> bool:
                return len(await bought(router)) == count

            await until(are_so_many)
        done = await router.complete(next(texts))
        (record,) = await router.storage.events.records([done.receipt.decision_id])
        assert record is not None
        assert record.evidence_share == 0
        events = await bought(router)
        assert len(events) == 3
        assert all(answer.quality is None for event in events for answer in event.arms)
        # What the arms cost is known all the same.
        assert all(len(event.arms) == 3 and event.cost_usd > 0 for event in events)


class TestLearning:
    @pytest.fixture
    def learns(self) -> bool:
        return True

    async def test_what_was_bought_is_learned_once(
        self, router: Router, texts: Iterator[str]
    ) -> None:
        say(router, cheap="The answer is 42.", fallback="#### 42", reasoning="The answer is 41.")
        done = await router.complete(next(texts))
        event = await first_bought(router)
        await router.storage.decisions.evidence(event)
        await learned(router, texts)
        stored = await router.storage.snapshots.load()
        assert stored is not None
        ledger = EvidenceLedger(split(stored.payload).evidence)
        read = await router.storage.events.read("0", 1_000, 0)
        past = [e for at, e in read if number_of(at) <= number_of(stored.position)]
        events = [e for e in past if isinstance(e, EvidenceBought)]
        assert event in events
        assert ledger.bought == len(events)
        assert ledger.prompts == sum(e.is_full for e in events)
        assert ledger.spent_usd == pytest.approx(sum(e.cost_usd for e in events))
        assert done.receipt.decision_id == event.decision_id
