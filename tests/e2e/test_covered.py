"""An arm that a plan with a learned gate calls is left to that plan while it may be had."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from adaptive_router.v1 import router_pb2

from tests.e2e.conftest import Router, chat, request

CHECKED = "checked: {rungs: [cheap, reasoning], second: fallback}"


@pytest.fixture
def plans() -> str:
    return f"{{cheap: [cheap], reasoning: [reasoning], {CHECKED}}}"


@pytest.fixture
def sections() -> str:
    return "judging: {audit_share: 0}"


@pytest.fixture
def learns() -> bool:
    return False


async def offered(router: Router, text: str, **routing: object) -> set[str]:
    asked = request(text, **routing)
    done = await router.stub.Complete(asked, metadata=router.metadata)
    told = await router.decision(done.receipt.decision_id)
    return {estimate.plan for estimate in told.plans}


async def test_only_the_plan_is_chosen_among(router: Router, texts: Iterator[str]) -> None:
    assert await offered(router, next(texts)) == {"checked"}


async def test_arms_stand_alone_where_the_plan_may_not_be_had(
    router: Router, texts: Iterator[str]
) -> None:
    assert await offered(router, next(texts), arm="reasoning") == {"reasoning"}
    said = router_pb2.DecideRequest(chat=chat(next(texts)))
    decided = await router.stub.Decide(said, metadata=router.metadata)
    told = await router.decision(decided.receipt.decision_id)
    assert {estimate.plan for estimate in told.plans} == {"cheap", "reasoning"}


async def test_an_ill_arm_brings_another_back(router: Router, texts: Iterator[str]) -> None:
    for _ in range(2):
        await router.storage.health.failed("reasoning-1")
    assert await offered(router, next(texts)) == {"cheap"}


class TestOffered:
    @pytest.fixture
    def sections(self) -> str:
        return "policy: {covered_arms: offered}"

    async def test_they_are_offered_on_request(self, router: Router, texts: Iterator[str]) -> None:
        assert await offered(router, next(texts)) == {"cheap", "reasoning", "checked"}


class TestNamed:
    @pytest.fixture
    def sections(self) -> str:
        return "policy: {name: fixed, fixed: reasoning}"

    async def test_what_the_policy_is_told_to_choose_stays(
        self, router: Router, texts: Iterator[str]
    ) -> None:
        assert await offered(router, next(texts)) == {"reasoning", "checked"}
        done = await router.complete(next(texts))
        assert done.receipt.arm == "reasoning"
