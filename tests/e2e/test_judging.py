"""A gate judges a first answer that passed the certain checks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from adaptive_router.v1 import router_pb2

from demo.upstream import Upstream
from demo.world import Profile, Reply
from router.domain.tenants import TenantLimits
from tests.e2e.conftest import Router, chat, request

PRICES = {"cheap": 0.1, "reasoning": 2.0, "fallback": 0.5}
SLOW = Profile(1, 1, first_token_ms=60_000, token_ms=0, failure_rate=0)


@pytest.fixture
def plans() -> str:
    return "{checked: {rungs: [cheap, reasoning], second: fallback, gate: agreement}}"


@pytest.fixture
def sections() -> str:
    return "judging: {second_timeout_ms: 300, audit_share: 0}"


@pytest.fixture
def learns() -> bool:
    return False


def says(upstream: Upstream, text: str) -> None:
    upstream.find = lambda _: Reply(text, 1.0, 100, 50)


def outcomes(receipt: router_pb2.Receipt) -> list[tuple[str, str, str]]:
    named = router_pb2.AttemptOutcome.Name
    return [(a.arm, named(a.outcome)[len("ATTEMPT_OUTCOME_") :], a.why) for a in receipt.attempts]


def usd(*arms: str) -> float:
    return sum(150 * PRICES[arm] / 1e6 for arm in arms)


async def test_a_second_opinion_that_agrees_has_the_first_answer_served(
    router: Router, texts: Iterator[str]
) -> None:
    says(router.upstreams["cheap"], "The answer is 42.")
    says(router.upstreams["fallback"], "So they earn $42 in all. #### 42")
    done = await router.complete(next(texts))
    assert done.answer.text == "The answer is 42."
    assert outcomes(done.receipt) == [
        ("cheap", "ACCEPTED", "passed"),
        ("fallback", "SECOND_OPINION", "passed"),
    ]
    assert done.receipt.attempts[1].agrees
    assert done.receipt.cost_usd == pytest.approx(usd("cheap", "fallback"))


async def test_a_second_opinion_that_differs_has_the_strong_arm_asked(
    router: Router, texts: Iterator[str]
) -> None:
    says(router.upstreams["cheap"], "The answer is 42.")
    says(router.upstreams["fallback"], "The answer is 43.")
    says(router.upstreams["reasoning"], "The answer is 43.")
    done = await router.complete(next(texts))
    assert done.receipt.arm == "reasoning"
    assert outcomes(done.receipt) == [
        ("cheap", "ESCALATED", "judged"),
        ("fallback", "SECOND_OPINION", "passed"),
        ("reasoning", "ACCEPTED", "passed"),
    ]
    first, second, strong = done.receipt.attempts
    assert (first.agrees, second.agrees) == (False, True)
    assert first.HasField("agrees")
    assert not strong.HasField("agrees")
    assert done.receipt.cost_usd == pytest.approx(usd("cheap", "fallback", "reasoning"))


async def test_a_decision_shows_what_the_gate_saw_and_chose(
    router: Router, texts: Iterator[str]
) -> None:
    says(router.upstreams["cheap"], "The answer is 42.")
    says(router.upstreams["fallback"], "The answer is 43.")
    receipt = (await router.complete(next(texts))).receipt
    judgement = (await router.decision(receipt.decision_id)).judgement
    assert judgement.gate == "agreement"
    assert len(judgement.signals) == len(judgement.second_signals) > 0
    assert judgement.agreement == 0
    assert [s.step for s in judgement.steps] == [router_pb2.STEP_ASK, router_pb2.STEP_ESCALATE]
    for step in judgement.steps:
        assert sum(p.probability for p in step.probabilities) == pytest.approx(1)
        assert 0 <= step.score <= 1
    assert judgement.strong_usd > judgement.second_usd > 0


async def test_what_fails_the_certain_checks_is_not_asked_about(
    router: Router, texts: Iterator[str]
) -> None:
    says(router.upstreams["cheap"], "")
    receipt = (await router.complete(next(texts))).receipt
    assert outcomes(receipt) == [
        ("cheap", "ESCALATED", "empty"),
        ("reasoning", "ACCEPTED", "passed"),
    ]
    assert not (await router.decision(receipt.decision_id)).HasField("judgement")


async def test_a_second_opinion_that_never_comes_is_gone_without(
    router: Router, texts: Iterator[str]
) -> None:
    """The plain rule takes silence for no agreement; what was sent to the silent arm is charged."""
    router.upstreams["fallback"].profile = SLOW
    done = await router.complete(next(texts))
    assert outcomes(done.receipt) == [
        ("cheap", "ESCALATED", "judged"),
        ("fallback", "FAILED", "provider_timeout"),
        ("reasoning", "ACCEPTED", "passed"),
    ]
    waited_ms = done.receipt.attempts[1].latency_ms
    assert 250 <= waited_ms < 5_000
    judgement = (await router.decision(done.receipt.decision_id)).judgement
    assert not judgement.HasField("agreement")
    assert [s.step for s in judgement.steps] == [router_pb2.STEP_ASK, router_pb2.STEP_ESCALATE]
    assert router_pb2.STEP_ASK not in [p.step for p in judgement.steps[1].probabilities]


async def test_the_first_answer_is_served_when_the_deadline_leaves_no_more(
    router: Router, texts: Iterator[str]
) -> None:
    """Neither a second opinion nor the arm above may take the answer in hand away."""
    router.upstreams["fallback"].profile = SLOW
    done = await router.complete(next(texts), max_latency_ms=400)
    assert done.receipt.arm == "cheap"
    assert outcomes(done.receipt)[0] == ("cheap", "ACCEPTED", "passed")


async def test_a_second_opinion_that_breaks_a_check_is_none(
    router: Router, texts: Iterator[str]
) -> None:
    says(router.upstreams["fallback"], "I'm sorry, but I cannot help.")
    receipt = (await router.complete(next(texts))).receipt
    assert outcomes(receipt)[1] == ("fallback", "SECOND_OPINION", "refusal")
    judgement = (await router.decision(receipt.decision_id)).judgement
    assert not judgement.second_signals


async def test_open_text_agrees_by_what_it_means(router: Router, texts: Iterator[str]) -> None:
    says(router.upstreams["cheap"], "Rivers carry water from the mountains to the sea.")
    says(router.upstreams["fallback"], "Rivers bring water from the mountains down to the sea.")
    receipt = (await router.complete(next(texts))).receipt
    assert receipt.arm == "cheap"
    assert not receipt.attempts[1].HasField("agrees")
    agreement = (await router.decision(receipt.decision_id)).judgement.agreement
    assert 0.8 < agreement < 1


async def test_a_stream_is_handed_out_once_it_was_judged(
    router: Router, texts: Iterator[str]
) -> None:
    says(router.upstreams["cheap"], "The answer is 42.")
    says(router.upstreams["fallback"], "The answer is 43.")
    says(router.upstreams["reasoning"], "The answer is 44, as one sees.")
    asked = router_pb2.StreamCompleteRequest(chat=chat(next(texts)))
    items = [item async for item in router.stub.StreamComplete(asked, metadata=router.metadata)]
    assert "".join(i.text_delta for i in items[:-1]) == "The answer is 44, as one sees."
    receipt = items[-1].done.receipt
    assert [a.agrees for a in receipt.attempts[:2]] == [False, False]
    assert all(a.HasField("agrees") for a in receipt.attempts[:2])


async def test_a_step_that_the_cost_limit_does_not_pay_is_not_open(
    router: Router, texts: Iterator[str]
) -> None:
    """Enough for the cheap arm and a second opinion, not for the arm above."""
    router.upstreams["cheap"].find = lambda _: Reply("The answer is 42.", 1.0, 100, 5_000)
    says(router.upstreams["fallback"], "The answer is 43.")
    receipt = (await router.complete(next(texts), max_cost_usd=8e-4)).receipt
    assert [a.arm for a in receipt.attempts] == ["cheap", "fallback"]
    assert receipt.cost_usd <= 8e-4
    judgement = (await router.decision(receipt.decision_id)).judgement
    open_steps = {p.step for p in judgement.steps[-1].probabilities}
    assert router_pb2.STEP_ESCALATE not in open_steps


async def test_what_was_judged_is_charged_to_the_quota(
    router: Router, texts: Iterator[str]
) -> None:
    metadata = await router.tenant("metered", TenantLimits(daily_usd=1.0))
    says(router.upstreams["cheap"], "The answer is 42.")
    says(router.upstreams["fallback"], "The answer is 43.")
    done = await router.stub.Complete(request(next(texts)), metadata=metadata)
    spent_usd = usd("cheap", "fallback", "reasoning")
    assert done.receipt.quota_left.daily_usd == pytest.approx(1.0 - spent_usd, abs=1e-9)
