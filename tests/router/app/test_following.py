"""A replica that follows the snapshots of a learner, against the real store."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from router.adapters.storage import Storage
from router.app import opened_storage
from router.app.brain import Brain
from router.app.build import build_follower, build_learner, decider_of
from router.config import Config, load_config
from router.config.values import catalogue_of
from router.core.deciding import Decider
from router.core.follower import Follower
from router.core.observer import NullObserver
from router.core.ports import StoredSnapshot
from tests.router.app.test_replaying import write

LEASE_MS = 10_000


class Watching(NullObserver):
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
def loaded(config: Path) -> Config:
    return load_config(config, {})


@pytest.fixture
async def storage(loaded: Config) -> AsyncIterator[Storage]:
    async with opened_storage(loaded, {}) as opened:
        yield opened


@pytest.fixture
def watching() -> Watching:
    return Watching()


@pytest.fixture
def decider(loaded: Config) -> Decider:
    return decider_of(loaded, Brain(loaded, catalogue_of(loaded)))


@pytest.fixture
def follower(loaded: Config, storage: Storage, decider: Decider, watching: Watching) -> Follower:
    return build_follower(loaded, Brain(loaded, catalogue_of(loaded)), storage, decider, watching)


async def learned(config: Config, storage: Storage, watching: Watching) -> StoredSnapshot:
    """One snapshot of everything in the log."""
    catalogue = catalogue_of(config)
    eager = config.learning.model_copy(update={"publish_every_ms": 1})
    tuned = config.model_copy(update={"learning": eager})
    learner = build_learner(tuned, catalogue, Brain(config, catalogue), storage, watching)
    while True:
        await learner.step()
        stored = await storage.snapshots.load()
        if stored is not None and await storage.events.backlog(stored.position) == 0:
            return stored


async def test_it_tells_how_far_it_is_behind(
    loaded: Config, storage: Storage, follower: Follower, watching: Watching
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
