"""A policy warmed up by the archive of a log."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from bandit.snapshots.codec import unpack
from router.adapters.storage import Storage
from router.cli import main
from router.config import Config
from router.learning.learner_state import split
from router.tools.archive.export import export
from router.tools.archive.manifest import ArchiveUnusable
from router.tools.publishing import SnapshotExists
from router.tools.train.run import PriorUnbounded, TrainOptions, trained
from tests.contract.samples import RECORD
from tests.router.tools.train.test_replay import write


@pytest.fixture
async def archive(storage: Storage, tmp_path: Path) -> Path:
    await write(storage, 0, 60)
    folder = tmp_path / "log"
    await export(storage.events, folder)
    return folder


def counts(payload: bytes) -> np.ndarray:
    return unpack(split(payload).policy).arrays["quality.count"]


async def test_train_on_the_own_log_learns_no_event_twice(
    loaded: Config, storage: Storage, archive: Path
) -> None:
    done = await trained(loaded, {}, TrainOptions(archive))
    stored = await storage.snapshots.load()
    assert stored is not None
    newest = [position for position, _ in await storage.events.read("0", 1_000, 0)][-1]
    assert (stored.version, stored.position) == (1, newest)
    assert done.events == int(newest.removeprefix("0-"))
    with pytest.raises(SnapshotExists):
        await trained(loaded, {}, TrainOptions(archive))
    await trained(loaded, {}, TrainOptions(archive, replace=True))
    assert await storage.snapshots.latest_version() == 2


async def test_train_on_another_log_leaves_the_own_events_to_learn(
    loaded: Config, storage: Storage, archive: Path
) -> None:
    await storage.client.call("DEL", "ar:events")
    await storage.decisions.record(replace(RECORD, id="own"))
    await trained(loaded, {}, TrainOptions(archive))
    stored = await storage.snapshots.load()
    assert stored is not None
    assert await storage.events.backlog(stored.position) == 1


async def test_train_with_prior_strength_bounds_the_past(
    loaded: Config, archive: Path, tmp_path: Path
) -> None:
    whole, bounded = tmp_path / "whole", tmp_path / "bounded"
    await trained(loaded, {}, TrainOptions(archive, out=whole))
    await trained(loaded, {}, TrainOptions(archive, prior_strength=10, out=bounded))
    assert counts(whole.read_bytes()).min() > 20
    assert counts(bounded.read_bytes()) == pytest.approx([10, 10])


async def test_prior_strength_is_refused_for_other_policies(loaded: Config, archive: Path) -> None:
    policy = loaded.policy.model_copy(update={"name": "thompson"})
    other = loaded.model_copy(update={"policy": policy})
    with pytest.raises(PriorUnbounded, match="thompson"):
        await trained(other, {}, TrainOptions(archive, prior_strength=10))


async def test_train_without_an_archive_is_refused(loaded: Config, tmp_path: Path) -> None:
    with pytest.raises(ArchiveUnusable):
        await trained(loaded, {}, TrainOptions(tmp_path / "none"))


def test_train_reports_a_mistake_in_one_line(config: Path, tmp_path: Path) -> None:
    words = ["train", "--config", str(config), "--from", str(tmp_path / "none")]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 1
    assert "no archive" in done.stderr
