"""A doctor reads the state of learning off the log, the snapshot and the changes of a store."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from router.adapters.storage import Storage
from router.app.learner import running_learner
from router.app.process import opened_storage
from router.config import load_config
from router.domain.events import Audited, GainFound, Move, Mover, PolicyChanged
from router.domain.records import FeedbackReport
from router.ports.state import StoredSnapshot
from router.tools.doctor.findings import Finding, State
from router.tools.doctor.learning import look_at_learning
from router.tools.doctor.recent import read_recent
from tests.contract.samples import RECORD
from tests.e2e.conftest import until

Write = Callable[[str], Path]
HOUR_MS = 3_600_000


async def found(config: Path, storage: Storage) -> dict[str, Finding]:
    findings = await look_at_learning(load_config(config, {}), storage)
    return {finding.check: finding for finding in findings}


async def decided(storage: Storage, name: str, ago_ms: int = 0) -> None:
    at_ms = int(time.time() * 1_000) - ago_ms
    await storage.decisions.record(replace(RECORD, id=name, created_ms=at_ms))


async def test_the_log_is_added_up_by_arm_and_plan(storage: Storage) -> None:
    for name in ("a", "b", "c", "d"):
        await decided(storage, name)
    await storage.decisions.feedback("acme", "a", FeedbackReport(quality=1.0))
    for quality in (0.5, 0.25):
        report = FeedbackReport(quality=quality, correction=True)
        await storage.decisions.feedback("acme", "b", report)
    audited_ms = int(time.time() * 1_000) + 50
    await storage.decisions.audited(Audited("c", 0.5, 0.1, at_ms=audited_ms))
    recent = await read_recent(storage.events, "0-2")
    assert recent.answers == {RECORD.arm: 4}
    assert recent.judged == {RECORD.arm: 3}
    assert recent.judged_plans == {"cheap": 3}
    assert recent.feedback_ms == audited_ms
    assert recent.whole
    assert abs(recent.waiting_ms - time.time() * 1_000) < 60_000


async def test_an_old_event_that_nobody_learns_fails(config: Path, storage: Storage) -> None:
    await decided(storage, "a", ago_ms=2 * HOUR_MS)
    seen = await found(config, storage)
    assert seen["learning.learner"].state is State.FAIL
    lag = seen["learning.lag"]
    assert (lag.state, lag.facts["events"]) == (State.WARN, 1)
    assert lag.facts["seconds"] == pytest.approx(7_200, abs=60)
    assert seen["learning.snapshot"].state is State.WARN


async def test_a_log_that_is_nearly_full_fails(write_config: Write, storage: Storage) -> None:
    tight = write_config("")
    tight.write_text(tight.read_text().replace("redis: {", "redis: {max_events: 5, "))
    for name in "abcd":
        await decided(storage, name)
    lag = (await found(tight, storage))["learning.lag"]
    assert (lag.state, lag.text) == (
        State.FAIL,
        "4 events wait, of 5 at which requests are refused",
    )


async def test_feedback_of_long_ago_is_no_feedback(config: Path, storage: Storage) -> None:
    await decided(storage, "a")
    await storage.decisions.feedback("acme", "a", FeedbackReport(quality=1.0))
    assert (await found(config, storage))["learning.feedback"].state is State.OK
    await storage.client.call("DEL", storage.keys.events)
    await decided(storage, "b")
    ago_ms = int(time.time() * 1_000) - 50 * HOUR_MS
    await storage.decisions.feedback("acme", "b", FeedbackReport(quality=1.0), ago_ms)
    late = (await found(config, storage))["learning.feedback"]
    assert late.state is State.WARN
    assert late.text.startswith("no feedback for 2.1 days: these plans are chosen on priors: cheap")


async def test_a_router_whose_clock_is_ahead(config: Path, storage: Storage) -> None:
    await decided(storage, "a", ago_ms=-60_000)
    ahead = (await found(config, storage))["clock.routers"]
    assert (ahead.state, "ahead of the store's" in ahead.text) == (State.WARN, True)


async def test_a_snapshot_that_does_not_fit(config: Path, storage: Storage) -> None:
    fence = await storage.lease.acquire("me", 60_000)
    assert fence is not None
    (mark,) = await storage.events.marks(["0-0"])
    assert await storage.snapshots.publish(StoredSnapshot(1, "0-0", b"nonsense", mark), fence)
    seen = await found(config, storage)
    assert seen["learning.learner"].state is State.OK
    assert (seen["learning.snapshot"].state, seen["learning.snapshot"].facts) == (
        State.FAIL,
        {"version": 1},
    )
    assert seen["learning.evidence"].state is State.WARN


@pytest.mark.parametrize(("by", "state"), [(Mover.EVIDENCE, State.OK), (Mover.GUARD, State.WARN)])
async def test_the_last_promotion(
    write_config: Write, storage: Storage, by: Mover, state: State
) -> None:
    config = write_config("challengers: {lin: {name: linucb}}\n")
    assert (await found(config, storage))["learning.promotion"].text == "nothing was promoted yet"
    fence = await storage.lease.acquire("me", 60_000)
    assert fence is not None
    change = PolicyChanged("0-7", Move.PROMOTED, by, "policy", "lin", GainFound("lin"))
    assert await storage.policies.changed(change, fence)
    refused = replace(change, cause="0-9", champion="policy", refused="no evidence")
    assert await storage.policies.changed(refused, fence)
    last = (await found(config, storage))["learning.promotion"]
    assert (last.state, last.facts["champion"]) == (state, "lin")
    assert last.text.startswith("lin serves instead of policy since 20")


async def test_a_policy_that_keeps_no_count_is_judged_by_the_log(
    write_config: Write, storage: Storage
) -> None:
    path = write_config("policy: {name: linucb}\nlearning: {publish_every_ms: 50}\n")
    for n in range(12):
        await decided(storage, f"d{n}")
        await storage.decisions.feedback("acme", f"d{n}", FeedbackReport(quality=1.0))
    config = load_config(path, {})
    async with running_learner(config, {}), opened_storage(config, {}) as same:

        async def is_learned() -> bool:
            return await same.snapshots.latest_version() > 0

        await until(is_learned)
        evidence = (await found(path, storage))["learning.evidence"]
        seen = await found(path, storage)
    assert 0 <= seen["learning.learner"].facts["seconds"] < 600
    assert seen["learning.snapshot"].facts["learned_to"].startswith("20")
    assert evidence.facts["outcomes"]["cheap"] == 12
    assert evidence.text.startswith("these plans are chosen on priors: reasoning")
