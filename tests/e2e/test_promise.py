"""Few accepted first answers are bad: nothing is served before there is evidence for that."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from adaptive_router.v1 import router_pb2

from demo.world import Reply
from router.learning.learner_state import split
from tests.e2e.conftest import Router, learned

ENOUGH = 70


@pytest.fixture
def plans() -> str:
    return "{checked: {rungs: [cheap, reasoning], second: fallback, gate: agreement}}"


@pytest.fixture
def sections() -> str:
    promise = "promise: {max_bad_accept: 0.2, confidence: 0.8}"
    return f"policy: {{{promise}}}\ncache: {{enabled: false}}\njudging: {{audit_share: 0}}"


def say(router: Router, **texts: str) -> None:
    for arm, text in texts.items():
        router.upstreams[arm].find = lambda _, text=text: Reply(text, 1.0, 100, 50)


async def test_answers_that_the_strong_arm_confirms_are_served_once_that_is_certified(
    router: Router, texts: Iterator[str]
) -> None:
    for arm in router.upstreams:
        say(router, **{arm: "The answer is 42."})
    first = (await router.complete(next(texts))).receipt
    assert first.arm == "reasoning"
    judgement = (await router.decision(first.decision_id)).judgement
    last = judgement.steps[-1]
    assert (last.step, last.by) == (router_pb2.STEP_ESCALATE, "promise")
    for _ in range(ENOUGH):
        await router.complete(next(texts))
    await learned(router, texts)
    assert (await router.complete(next(texts))).receipt.arm == "cheap"
    stored = await router.storage.snapshots.load()
    assert stored is not None
    terms, arrays = split(stored.payload).promises["checked"]
    assert terms == (0.2, 0.8)
    assert arrays


@pytest.mark.slow
async def test_answers_that_it_does_not_confirm_are_not(
    router: Router, texts: Iterator[str]
) -> None:
    say(router, cheap="The answer is 42.", fallback="#### 42", reasoning="The answer is 41.")
    for _ in range(ENOUGH):
        await router.complete(next(texts))
    await learned(router, texts)
    assert (await router.complete(next(texts))).receipt.arm == "reasoning"
