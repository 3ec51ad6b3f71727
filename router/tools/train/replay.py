"""`learner replay`, composed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from router.app.learner_state_factory import LearnerStateFactory
from router.app.process import opened_storage
from router.config import Config
from router.config.values import catalog_of, today_of
from router.domain.errors import SnapshotRefused
from router.domain.events import Decided
from router.domain.records import DecisionRecord
from router.learning.batches import BatchTrainer, Find
from router.learning.replay import BATCH, Batch, Replayed, check_same, replay, stream
from router.learning.rewards import RewardSettings
from router.learning.upgraded_events import Today, UpgradedEvents
from router.ports.observer import Observer
from router.tools.archive.reading import read


class Archive:
    """An archive as a source of batches, and of the decisions it has told of so far."""

    def __init__(self, folder: Path, today: Today) -> None:
        self._entries = read(folder)
        self._today = today
        self._records: dict[str, DecisionRecord] = {}

    async def batches(self) -> AsyncIterator[Batch]:
        while found := list(islice(self._entries, BATCH)):
            batch = [(position, self._today.event(event)) for position, event in found]
            decided = [event.record for _, event in batch if isinstance(event, Decided)]
            self._records |= {record.id: record for record in decided}
            yield batch

    async def find(self, decision_ids: Sequence[str]) -> list[DecisionRecord | None]:
        return [self._records.get(decision_id) for decision_id in decision_ids]


async def replayed(
    config: Config, env: Mapping[str, str], archive: Path | None, *, verify: bool
) -> Replayed:
    """The log learned from nothing, with verify up to the newest snapshot, and held against it.

    archive: a folder of `log export`; None for what the store still holds, which nothing else but
    verify needs. Raises RouterError.
    """
    today = today_of(config)
    kept = Archive(archive, today) if archive else None
    if kept and not verify:
        return await _learned(config, kept.batches(), kept.find)
    async with opened_storage(config, env, begun=True) as storage:
        stored = await storage.snapshots.load() if verify else None
        if verify and stored is None:
            raise SnapshotRefused("there is no snapshot yet: nothing to verify")
        events = UpgradedEvents(storage.events, today)
        batches, find = (kept.batches(), kept.find) if kept else (stream(events), events.records)
        done = await _learned(config, batches, find, stored.position if stored else None)
    if stored is not None:
        check_same(done, stored)
    return done


async def _learned(
    config: Config, batches: AsyncIterator[Batch], find: Find, upto: str | None = None
) -> Replayed:
    catalog = catalog_of(config)
    rewards = RewardSettings(config.learning.implicit_weight)
    lecture = BatchTrainer(find, catalog.plans, rewards, Observer())
    return await replay(batches, LearnerStateFactory(config, catalog).fresh(), lecture, upto)
