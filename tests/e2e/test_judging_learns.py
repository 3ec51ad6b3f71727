"""Feedback teaches the gate, and one snapshot carries it with the policy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from adaptive_router.v1 import router_pb2

from demo.world import Reply
from router.learning.learner_state import split
from tests.e2e.conftest import Router, learned

LEARN = 60
PLAN = "judged"


@pytest.fixture
def plans() -> str:
    return f"{{{PLAN}: {{rungs: [cheap, reasoning], gate: learned}}}}"


@pytest.fixture
def sections() -> str:
    return "policy: {weights: {cost: 0.02}}\ncache: {enabled: false}\njudging: {audit_share: 0}"


def says(router: Router, arm: str, text: str) -> None:
    router.upstreams[arm].find = lambda _: Reply(text, 1.0, 100, 50)


async def arms(router: Router, texts: Iterator[str], count: int, right: str = "") -> list[str]:
    """right: feedback is given, 1 for the answers that hold this; "" for none."""
    served = []
    for _ in range(count):
        done = await router.complete(next(texts))
        served.append(done.receipt.arm)
        if right:
            quality = float(right in done.answer.text)
            await router.feedback(done.receipt.decision_id, quality)
    return served


async def test_a_first_answer_that_proves_right_is_served_in_the_end(
    router: Router, texts: Iterator[str]
) -> None:
    """All escalate at first; equal answers give the one not served the label of the served one."""
    for arm in ("cheap", "reasoning"):
        says(router, arm, "The answer is 42.")
    before = await arms(router, texts, LEARN, right="42")
    assert before[:10] == ["reasoning"] * 10
    await learned(router, texts)
    assert (await arms(router, texts, 20)).count("cheap") >= 15


async def test_a_first_answer_that_proves_wrong_is_not(
    router: Router, texts: Iterator[str]
) -> None:
    says(router, "cheap", "The answer is 41.")
    says(router, "reasoning", "The answer is 42.")
    await arms(router, texts, LEARN, right="42")
    await learned(router, texts)
    assert (await arms(router, texts, 20)).count("reasoning") >= 15


async def test_one_snapshot_holds_policy_and_gates(router: Router, texts: Iterator[str]) -> None:
    done = await router.complete(next(texts))
    await router.feedback(done.receipt.decision_id, 1.0)
    await learned(router, texts)
    stored = await router.storage.snapshots.load()
    assert stored is not None
    name, payload = split(stored.payload).gates[PLAN]
    assert name == "learned"
    assert payload
    decision = await router.decision(done.receipt.decision_id)
    assert decision.judgement.steps[0].step == router_pb2.STEP_ESCALATE
