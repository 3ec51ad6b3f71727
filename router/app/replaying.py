"""`learner replay`, composed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from router.app import opened_storage
from router.app.brain import Brain
from router.archive.reading import read
from router.config import Config
from router.config.values import catalogue_of, refit_of
from router.core.errors import SnapshotRefused
from router.core.events import Decided
from router.core.lecture import Find, Lecture
from router.core.observer import NullObserver
from router.core.records import DecisionRecord
from router.core.remapped import RemappedEvents
from router.core.replaying import BATCH, Batch, Replayed, check_same, replay, stream
from router.core.reward import RewardSettings


class Archive:
    """An archive as a source of batches, and of the decisions it has told of so far."""

    def __init__(self, folder: Path) -> None:
        self._entries = read(folder)
        self._records: dict[str, DecisionRecord] = {}

    async def batches(self) -> AsyncIterator[Batch]:
        while batch := list(islice(self._entries, BATCH)):
            decided = [event.record for _, event in batch if isinstance(event, Decided)]
            self._records |= {record.id: record for record in decided}
            yield batch

    async def find(self, decision_ids: Sequence[str]) -> list[DecisionRecord | None]:
        return [self._records.get(decision_id) for decision_id in decision_ids]


async def replayed(
    config: Config, env: Mapping[str, str], archive: Path | None, *, verify: bool
) -> Replayed:
    """The log learned from nothing, with verify up to the newest snapshot, and held against it.

    archive: a folder of `log export`; None for what the store still holds. Raises RouterError.
    """
    async with opened_storage(config, env, begun=verify or archive is None) as storage:
        stored = await storage.snapshots.load() if verify else None
        if verify and stored is None:
            raise SnapshotRefused("there is no snapshot yet: nothing to verify")
        kept = Archive(archive) if archive else None
        events = RemappedEvents(storage.events, refit_of(config).remap, config.renamed)
        find: Find = kept.find if kept else events.records
        batches = kept.batches() if kept else stream(events)
        catalogue = catalogue_of(config)
        rewards = RewardSettings(config.learning.implicit_weight)
        lecture = Lecture(find, catalogue.plans, rewards, NullObserver())
        learned = Brain(config, catalogue).fresh()
        done = await replay(batches, learned, lecture, stored.position if stored else None)
        if stored is not None:
            check_same(done, stored)
        return done
