"""A replica that follows the snapshots of a learner, against the real store."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from bandit.snapshots.codec import pack, unpack
from router.adapters.storage import Storage
from router.app.learner import build_learner
from router.app.learner_state_factory import LearnerStateFactory
from router.app.wiring import build_decider, build_follower
from router.config import Config
from router.config.values import catalog_of
from router.domain.errors import SnapshotRefused
from router.learning.learner_state import split
from router.ports.observer import Observer
from router.ports.state import StoredSnapshot
from router.serving.decider import Decider
from router.serving.snapshot_follower import SnapshotFollower
from tests.router.tools.train.test_replay import write

LEASE_MS = 10_000


class Watching(Observer):
    def __init__(self) -> None:
        self.refused: list[str] = []
        self.behind = (-1, -1.0)
        self.backlog = -1

    def snapshot_refused(self, reason: str) -> None:
        self.refused.append(reason)

    def staleness(self, events: int, seconds: float) -> None:
        self.behind = (events, seconds)

    def learned(self, events: int, backlog: int) -> None:
        del events
        self.backlog = backlog


@pytest.fixture
def watching() -> Watching:
    return Watching()


@pytest.fixture
def decider(loaded: Config) -> Decider:
    return build_decider(loaded, LearnerStateFactory(loaded, catalog_of(loaded)))


@pytest.fixture
def follower(
    loaded: Config, storage: Storage, decider: Decider, watching: Watching
) -> SnapshotFollower:
    return build_follower(
        LearnerStateFactory(loaded, catalog_of(loaded)), storage, decider, watching
    )


async def learned(config: Config, storage: Storage, watching: Watching) -> StoredSnapshot:
    """One snapshot of everything in the log."""
    catalog = catalog_of(config)
    eager = config.learning.model_copy(update={"publish_every_ms": 1})
    tuned = config.model_copy(update={"learning": eager})
    learner = build_learner(tuned, catalog, LearnerStateFactory(config, catalog), storage, watching)
    while True:
        await learner.step()
        stored = await storage.snapshots.load()
        if stored is not None and await storage.events.backlog(stored.position) == 0:
            return stored


async def test_follower_reports_how_far_it_is_behind(
    loaded: Config, storage: Storage, follower: SnapshotFollower, watching: Watching
) -> None:
    await follower.measure()
    assert watching.behind == (0, 0.0)
    await write(storage, 0, 5)
    await follower.measure()
    began_s = time.time()
    assert watching.behind[0] == 11
    await follower.measure()
    assert 0 <= watching.behind[1] <= time.time() - began_s + 1
    await learned(loaded, storage, watching)
    assert watching.backlog == 0
    await follower.measure()
    assert watching.behind[0] == 11  # the snapshot is there, and does not serve yet
    await follower.step()
    await follower.measure()
    assert watching.behind == (0, 0.0)


def _scaled(payload: bytes, factor: float) -> bytes:
    """Every number the head of quality has learned, so many times as large; the policy alone."""
    snapshot = unpack(split(payload).policy)
    arrays = dict(snapshot.arrays)
    for name in ("quality.moment", "quality.square"):
        arrays[name] = arrays[name] * factor
    return pack(replace(snapshot, arrays=arrays))


@pytest.fixture
async def good(loaded: Config, storage: Storage, watching: Watching) -> StoredSnapshot:
    await write(storage, 0, 20)
    return await learned(loaded, storage, watching)


async def publish(storage: Storage, good: StoredSnapshot, factor: float) -> int:
    """The version of the good snapshot, scaled."""
    fence = int(await storage.client.call("GET", "ar:fence"))
    version = await storage.snapshots.latest_version() + 1
    scaled = replace(good, version=version, payload=_scaled(good.payload, factor))
    assert await storage.snapshots.publish(scaled, fence)
    return version


async def test_follower_refuses_a_snapshot_with_absurd_values(
    good: StoredSnapshot,
    storage: Storage,
    follower: SnapshotFollower,
    decider: Decider,
    watching: Watching,
) -> None:
    await follower.step()
    assert decider.version == good.version
    await publish(storage, good, 1e6)
    await follower.step()
    assert decider.version == good.version
    assert watching.refused == ["AbsurdSnapshot"]
    with pytest.raises(SnapshotRefused):
        await follower.check()
    same = await publish(storage, good, 1.0)
    await follower.step()
    assert decider.version == same


async def test_follower_logs_a_refusal_as_an_error(
    good: StoredSnapshot,
    storage: Storage,
    follower: SnapshotFollower,
    caplog: pytest.LogCaptureFixture,
) -> None:
    version = await publish(storage, good, 1e6)
    await follower.step()
    (line,) = [r for r in caplog.records if r.levelname == "ERROR"]
    assert line.getMessage() == f"snapshot {version} is refused: AbsurdSnapshot"
