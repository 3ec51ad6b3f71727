"""What is done with a first answer that passed the certain checks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from adaptive_router.v1 import router_pb2

from demo.upstream import Upstream
from demo.world import Profile, Reply
from tests.e2e.conftest import Router

PRICES = {"cheap": 0.1, "reasoning": 2.0, "fallback": 0.5}
SLOW = Profile(1, 1, first_token_ms=60_000, token_ms=0, failure_rate=0)


@pytest.fixture
def plans() -> str:
    return "{checked: {rungs: [cheap, reasoning], second: fallback, gate: agreement}}"


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
