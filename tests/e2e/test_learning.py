"""Feedback in, a better next decision out."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest

from demo.world import Reply
from router.ports.state import StoredSnapshot
from tests.e2e.conftest import Router, health, until
from tests.e2e.details import reason

LEARN = 60


@pytest.fixture
def sections() -> str:
    return "policy: {weights: {cost: 0.05}, initial_pulls: 2}\ncache: {enabled: false}"


async def test_the_router_turns_to_the_arm_that_is_right(
    router: Router, texts: Iterator[str]
) -> None:
    """Only the reasoning arm answers well; nothing in the answers gives that away."""
    for arm, upstream in router.upstreams.items():
        upstream.find = lambda _, arm=arm: Reply(f"From {arm}.", 1.0, 100, 50)
    for _ in range(LEARN):
        done = await router.complete(next(texts))
        await router.feedback(done.receipt.decision_id, float(done.receipt.arm == "reasoning"))
    await learned(router)
    arms = [(await router.complete(next(texts))).receipt.arm for _ in range(20)]
    assert arms.count("reasoning") >= 15


async def learned(router: Router) -> None:
    async def is_done() -> bool:
        stored = await router.storage.snapshots.load()
        if stored is None:
            return False
        return await router.storage.events.backlog(stored.position) == 0

    await until(is_done)


async def test_snapshots_go_live_and_decisions_name_theirs(
    router: Router, texts: Iterator[str]
) -> None:
    first = (await router.complete(next(texts))).receipt
    assert (first.policy, first.policy_version) == ("adaptive", 0)

    async def is_newer() -> bool:
        return (await router.complete(next(texts))).receipt.policy_version > 0

    await until(is_newer)


async def test_feedback_counts_once(router: Router, texts: Iterator[str]) -> None:
    decision_id = (await router.complete(next(texts))).receipt.decision_id
    first = await router.feedback(decision_id, 0.5)
    again = await router.feedback(decision_id, 0.5)
    assert (first.already_recorded, again.already_recorded) == (False, True)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await router.feedback(decision_id, 0.9)
    assert caught.value.code() is grpc.StatusCode.ALREADY_EXISTS
    assert reason(caught.value) == "FEEDBACK_CONFLICT"
    assert (await router.decision(decision_id)).feedback_quality == 0.5


async def test_a_corrupt_snapshot_is_refused_and_the_last_good_one_serves(
    router: Router, texts: Iterator[str]
) -> None:
    await router.complete(next(texts))
    await learned(router)
    before = (await router.complete(next(texts))).receipt.policy_version
    await corrupt(router, before + 1_000)
    done = await router.complete(next(texts))
    assert done.receipt.policy_version < before + 1_000

    async def is_told() -> bool:
        return not await health(router, "snapshot")

    await until(is_told)
    assert await health(router, "")


async def corrupt(router: Router, version: int) -> None:
    """Publish rubbish behind the learner's back, with its own fence."""
    fence = int(await router.storage.client.call("GET", router.storage.keys.fence))
    await router.storage.snapshots.publish(StoredSnapshot(version, "0-1", b"rubbish"), fence)
