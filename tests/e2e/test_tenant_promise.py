"""One tenant is promised something, by evidence of its own; the others are not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from demo.world import Reply
from router.learning.learner_state import split
from tests.e2e.conftest import Router, learned

ENOUGH = 70


@pytest.fixture
def plans() -> str:
    return "{checked: {rungs: [cheap, reasoning], second: fallback, gate: agreement}}"


@pytest.fixture
def sections() -> str:
    promise = "tenant_promises: {strict: {max_bad_accept: 0.2, confidence: 0.8}}"
    return f"policy: {{{promise}}}\ncache: {{enabled: false}}\njudging: {{audit_share: 0}}"


@pytest.mark.slow
async def test_only_its_own_requests_wait_for_evidence_and_give_it(
    router: Router, texts: Iterator[str]
) -> None:
    for upstream in router.upstreams.values():
        upstream.find = lambda _: Reply("The answer is 42.", 1.0, 100, 50)
    free, strict = router.metadata, await router.tenant("strict")
    for _ in range(ENOUGH):
        assert (await router.complete(next(texts))).receipt.arm == "cheap"
    await learned(router, texts)
    router.metadata = strict
    assert (await router.complete(next(texts))).receipt.arm == "reasoning"
    for _ in range(ENOUGH):
        await router.complete(next(texts))
    await learned(router, texts)
    assert (await router.complete(next(texts))).receipt.arm == "cheap"
    stored = await router.storage.snapshots.load()
    assert stored is not None
    assert set(split(stored.payload).promises) == {"checked/strict"}
    router.metadata = free
    assert (await router.complete(next(texts))).receipt.arm == "cheap"
