"""Replay of a log against a learner that was stopped, killed or given a bad snapshot."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray

from bandit import ContextMap, PromptFacts
from bandit.context.remap import Refit, bridge_from
from router.adapters.storage import Storage
from router.app.learner import build_learner
from router.app.learner_state_factory import LearnerStateFactory
from router.app.process import opened_storage
from router.cli import main
from router.config import Config
from router.config.values import catalog_of
from router.domain.events import FeedbackGiven
from router.domain.logged_context import log_context
from router.domain.records import FeedbackReport, LoggedContext, session_digest
from router.learning.learner import Learner
from router.learning.replay import LogIncomplete, ReplayDiffers
from router.ports.observer import Observer
from router.ports.state import StoredSnapshot
from router.tools.archive.export import export
from router.tools.train.run import replayed
from tests.contract.samples import ATTEMPT, CHOICE, RECORD

LEASE_MS = 10_000
MAP_ARRAYS = ("centroids", "centre", "axes", "feature_means", "feature_scales")


class Watching(Observer):
    def __init__(self) -> None:
        self.refused: list[str] = []

    def snapshot_refused(self, reason: str) -> None:
        self.refused.append(reason)


@pytest.fixture
def watching() -> Watching:
    return Watching()


def learner(config: Config, storage: Storage, watching: Watching) -> Learner:
    catalog = catalog_of(config)
    eager = config.model_copy(
        update={"learning": config.learning.model_copy(update={"publish_every_ms": 1})}
    )
    return build_learner(eager, catalog, LearnerStateFactory(config, catalog), storage, watching)


def contexts(count: int) -> list[LoggedContext]:
    made = ContextMap.default()
    return [log_context(made.build(v, PromptFacts("some words"))) for v in embeddings(count)]


def embeddings(count: int) -> NDArray[np.float32]:
    vectors = np.random.default_rng(0).normal(size=(count, 384)).astype(np.float32)
    unit: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


async def write(storage: Storage, start: int, count: int, tenants: str = "acme") -> None:
    """Decisions, each with feedback, every fifth asked again before it.

    tenants: in turn, by comma.
    """
    names = tenants.split(",")
    for n, context in enumerate(contexts(start + count)[start:], start):
        plan = ("cheap", "reasoning")[n % 2]
        choice = replace(CHOICE, plan=plan, context=context)
        tenant = names[n % len(names)]
        record = replace(
            RECORD,
            id=f"d-{n}",
            tenant=tenant,
            created_ms=int(time.time() * 1_000),
            choice=choice,
            attempts=(replace(ATTEMPT, arm=plan),),
            arm=plan,
        )
        await storage.decisions.record(record)
        if n % 5 == 0:
            await storage.decisions.reasked(record.id, 0.95, 0.3)
        await storage.decisions.feedback(tenant, record.id, FeedbackReport(quality=n % 3 / 2))


async def caught_up(learner: Learner, storage: Storage) -> StoredSnapshot:
    while True:
        await learner.step()
        stored = await storage.snapshots.load()
        if stored and await storage.events.backlog(stored.position) == 0:
            return stored


async def test_replay_equals_a_snapshot_learned_with_pauses(
    loaded: Config, storage: Storage, watching: Watching, tmp_path: Path
) -> None:
    for start in (0, 7, 20):
        await write(storage, start, 20)
        stored = await caught_up(learner(loaded, storage, watching), storage)
        await storage.client.call("DEL", "ar:lease")  # as if its holder had been killed
    assert stored.version >= 3
    done = await replayed(loaded, {}, None, verify=True)
    assert done.position == stored.position
    await export(storage.events, tmp_path / "log")
    again = await replayed(loaded, {}, tmp_path / "log", verify=True)
    assert again.payload == stored.payload


async def test_replay_of_an_archive_and_of_the_store_upgrade_earlier_decisions_alike(
    loaded: Config, storage: Storage, tmp_path: Path
) -> None:
    await write(storage, 0, 20)
    await export(storage.events, tmp_path / "log")
    earlier, made = ContextMap.default(), tmp_path / "context.npz"
    later = ContextMap.of({name: 0.75 * getattr(earlier, name) for name in MAP_ARRAYS})
    made.write_bytes(Refit(later, (bridge_from(earlier, embeddings(50)),)).to_bytes())
    policy = loaded.policy.model_copy(update={"context_map": made})
    refitted = loaded.model_copy(update={"policy": policy})
    done = await replayed(refitted, {}, None, verify=False)
    assert (
        LearnerStateFactory(refitted, catalog_of(refitted)).restore(done.payload).policy.learned > 0
    )
    assert await replayed(refitted, {}, tmp_path / "log", verify=False) == done


async def test_replay_restores_tenant_weights(
    loaded: Config, storage: Storage, watching: Watching
) -> None:
    """The loud one is bound once the others have said enough, and remembered as loud."""
    section = loaded.learning.model_copy(update={"max_tenant_share": 0.2})
    bounded = loaded.model_copy(update={"learning": section})
    for start in (0, 90):
        await write(storage, start, 90, "loud,loud,acme")
        stored = await caught_up(learner(bounded, storage, watching), storage)
        await storage.client.call("DEL", "ar:lease")
    assert (await replayed(bounded, {}, None, verify=True)).payload == stored.payload
    influence = LearnerStateFactory(bounded, catalog_of(bounded)).restore(stored.payload).tenant_cap
    assert influence is not None
    assert influence.weigh("loud") < 0.3
    with pytest.raises(ReplayDiffers):
        await replayed(loaded, {}, None, verify=True)


async def test_replay_learns_corrections_and_default_feedback(
    loaded: Config, tmp_path: Path
) -> None:
    section = loaded.learning.model_copy(update={"default_quality": 0.8})
    loaded = loaded.model_copy(update={"learning": section})
    async with opened_storage(loaded, {}) as storage:
        await write(storage, 0, 12)
        correction = FeedbackReport(quality=0.25, correction=True)
        assert await storage.decisions.feedback("acme", "d-3", correction)
        (known,) = await storage.events.records(["d-4"])
        assert known is not None
        silent = replace(known, id="silent", feedback=None, created_ms=0)
        await storage.decisions.record(silent)
        stored = await caught_up(learner(loaded, storage, Watching()), storage)
        corrected, _, defaulted = [e for _, e in await storage.events.read("0", 100, 0)][-3:]
        assert isinstance(corrected, FeedbackGiven)
        assert isinstance(defaulted, FeedbackGiven)
        assert (corrected.quality, corrected.replaces) == (0.25, 0.0)
        assert (defaulted.decision_id, defaulted.quality) == ("silent", 0.8)
        assert defaulted.by_default
        await export(storage.events, tmp_path / "log")
    again = await replayed(loaded, {}, tmp_path / "log", verify=True)
    assert again.payload == stored.payload


async def test_replay_learns_what_sessions_were_credited_with(
    loaded: Config, storage: Storage, watching: Watching, tmp_path: Path
) -> None:
    session = session_digest("acme", "s")
    section = loaded.learning.model_copy(update={"max_tenant_share": 0.2})
    loaded = loaded.model_copy(update={"learning": section})
    await write(storage, 0, 30, "loud,loud,acme")
    for n in range(4):
        (known,) = await storage.events.records([f"d-{n}"])
        assert known is not None
        turn = replace(known, id=f"s-{n}", tenant="acme", session_id=session, feedback=None)
        await storage.decisions.record(turn)
    told = FeedbackReport(quality=0.75)
    await storage.decisions.session_feedback("acme", session, told)
    await caught_up(learner(loaded, storage, watching), storage)
    await storage.client.call("DEL", "ar:lease")
    right = FeedbackReport(quality=0.25, correction=True)
    await storage.decisions.session_feedback("acme", session, right)
    await storage.decisions.feedback("acme", "s-1", FeedbackReport(quality=1.0))
    stored = await caught_up(learner(loaded, storage, watching), storage)
    assert (await replayed(loaded, {}, None, verify=True)).payload == stored.payload
    await export(storage.events, tmp_path / "log")
    again = await replayed(loaded, {}, tmp_path / "log", verify=True)
    assert again.payload == stored.payload


async def test_replay_finds_a_snapshot_that_is_not_of_its_log(
    loaded: Config, storage: Storage, watching: Watching
) -> None:
    await write(storage, 0, 12)
    stored = await caught_up(learner(loaded, storage, watching), storage)
    await write(storage, 12, 1)
    fence = int(await storage.client.call("GET", "ar:fence"))
    ahead = replace(stored, version=stored.version + 1, position="0-29", mark="")
    assert await storage.snapshots.publish(ahead, fence)
    with pytest.raises(ReplayDiffers, match="is not what events up to 0-29 teach"):
        await replayed(loaded, {}, None, verify=True)


async def test_replay_refuses_a_log_without_its_beginning(
    loaded: Config, storage: Storage, watching: Watching
) -> None:
    await write(storage, 0, 4)
    await caught_up(learner(loaded, storage, watching), storage)
    await storage.client.call("XTRIM", "ar:events", "MINID", "0-3")
    with pytest.raises(LogIncomplete, match="first events"):
        await replayed(loaded, {}, None, verify=True)
    await storage.client.call("XTRIM", "ar:events", "MAXLEN", 0)
    with pytest.raises(LogIncomplete, match="the log ends"):
        await replayed(loaded, {}, None, verify=True)


async def test_a_learner_continues_from_the_last_good_snapshot(
    loaded: Config, storage: Storage, watching: Watching
) -> None:
    await write(storage, 0, 10)
    good = await caught_up(learner(loaded, storage, watching), storage)
    fence = int(await storage.client.call("GET", "ar:fence"))
    assert await storage.snapshots.publish(StoredSnapshot(99, "0-15", b"rubbish"), fence)
    await storage.client.call("DEL", "ar:lease")
    await write(storage, 10, 5)
    stored = await caught_up(learner(loaded, storage, watching), storage)
    assert stored.version >= 100 > good.version
    assert watching.refused == ["CorruptSnapshot"]
    assert (await replayed(loaded, {}, None, verify=True)).payload == stored.payload


async def test_a_learner_without_a_good_snapshot_learns_the_kept_log_again(
    loaded: Config, storage: Storage, watching: Watching
) -> None:
    await write(storage, 0, 10)
    fence = await storage.lease.acquire("somebody", LEASE_MS)
    assert fence is not None
    assert await storage.snapshots.publish(StoredSnapshot(3, "0-9", b"rubbish"), fence)
    await storage.lease.release("somebody")
    stored = await caught_up(learner(loaded, storage, watching), storage)
    assert stored.version == 4
    assert (await replayed(loaded, {}, None, verify=True)).payload == stored.payload


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def test_replay_reports_what_it_found(config: Path, tmp_path: Path) -> None:
    nothing = run("learner", "replay", "--config", config, "--verify")
    assert nothing.exit_code == 1
    assert "no snapshot yet" in nothing.stderr
    out = tmp_path / "snapshot"
    empty = run("learner", "replay", "--config", config, "--out", out)
    assert empty.exit_code == 0
    assert "0 events learned" in empty.stdout
    assert out.stat().st_size > 0
    assert run("learner").exit_code == 2
