"""`train` and `learner replay`, composed: a log learned again from nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from bandit.adaptive.policy import AdaptivePolicy
from router.app.learner_state_factory import LearnerStateFactory
from router.app.process import opened_storage
from router.config import Config
from router.config.values import catalog_of, trainer_of, upgrade_of
from router.domain.errors import RouterError, SnapshotRefused
from router.domain.events import Decided, number_of
from router.domain.records import DecisionRecord
from router.learning.learner_state import LearnerState
from router.learning.replay import BATCH, Replayed, check_same, replay, stream
from router.learning.training import Batch, BatchTrainer, FindRecords
from router.learning.upgrades import Upgrade, UpgradedEvents
from router.ports.observer import Observer
from router.tools.archive.tables import Entry, entries_in, read, verify
from router.tools.publishing import SnapshotTarget, check_target, hand_over


class PriorUnbounded(RouterError):
    """Only some policies can limit how much what they learned counts."""

    reason = "PRIOR_UNBOUNDED"


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """prior_strength: outcomes that each action's past counts for at most; None for all of them."""

    archive: Path
    prior_strength: float | None = None
    replace: bool = False
    out: Path | None = None


@dataclass(frozen=True, slots=True)
class Trained:
    """message: where the snapshot went."""

    events: int
    message: str


class ArchivedLog:
    """An archive as a source of batches, and of the decisions in the batches so far."""

    def __init__(self, folder: Path, upgrade: Upgrade) -> None:
        self._entries = read(folder)
        self._upgrade = upgrade
        self._records: dict[str, DecisionRecord] = {}

    async def batches(self) -> AsyncIterator[Batch]:
        while found := list(islice(self._entries, BATCH)):
            batch = [(position, self._upgrade.event(event)) for position, event in found]
            decided = [event.record for _, event in batch if isinstance(event, Decided)]
            self._records |= {record.id: record for record in decided}
            yield batch

    async def find(self, decision_ids: Sequence[str]) -> list[DecisionRecord | None]:
        return [self._records.get(decision_id) for decision_id in decision_ids]


async def trained(config: Config, env: Mapping[str, str], options: TrainOptions) -> Trained:
    """Learn an archive from nothing and hand the snapshot over. Raises RouterError."""
    target = SnapshotTarget(options.out, replace=options.replace)
    manifest = verify(options.archive)
    state = LearnerStateFactory(config, catalog_of(config)).fresh()
    _check_prior(state, options)
    await check_target(config, env, target)
    archive = ArchivedLog(options.archive, upgrade_of(config))
    done = await replay(archive.batches(), state, _trainer(config, archive.find), whole=False)
    payload = done.payload
    if options.prior_strength is not None and isinstance(state.policy, AdaptivePolicy):
        state.policy.limit(options.prior_strength)
        payload = state.save()
    *_, last = entries_in(options.archive / manifest.parts[-1].file)
    is_own = options.out is None and await _holds(config, env, last)
    learned_to = done.position if is_own else None
    return Trained(done.events, await hand_over(config, env, target, payload, learned_to))


def _check_prior(state: LearnerState, options: TrainOptions) -> None:
    if options.prior_strength is not None and not isinstance(state.policy, AdaptivePolicy):
        raise PriorUnbounded(
            f"policy {state.policy.name} can't bound its past: leave --prior-strength out, or "
            "set `policy: {name: adaptive}`"
        )


async def _holds(config: Config, env: Mapping[str, str], last: Entry) -> bool:
    """Returns whether the archive is of this very store: its events are not learned again then."""
    position, _ = last
    before = number_of(position) - 1
    async with opened_storage(config, env) as storage:
        return list(await storage.events.read(f"0-{before}", 1, 0)) == [last]


async def replayed(
    config: Config, env: Mapping[str, str], archive: Path | None, *, verify: bool
) -> Replayed:
    """Learn the log from nothing, with `verify` up to the newest snapshot, and compare them.

    archive: a folder of `log export`; None for what the store still holds. Raises RouterError.
    """
    upgrade = upgrade_of(config)
    kept = ArchivedLog(archive, upgrade) if archive else None
    if kept and not verify:
        return await _replayed(config, kept.batches(), kept.find)
    async with opened_storage(config, env, begun=True) as storage:
        stored = await storage.snapshots.load() if verify else None
        if verify and stored is None:
            raise SnapshotRefused("there is no snapshot yet: nothing to verify")
        events = UpgradedEvents(storage.events, upgrade)
        batches, find = (kept.batches(), kept.find) if kept else (stream(events), events.records)
        done = await _replayed(config, batches, find, stored.position if stored else None)
    if stored is not None:
        check_same(done, stored)
    return done


async def _replayed(
    config: Config, batches: AsyncIterator[Batch], find: FindRecords, upto: str | None = None
) -> Replayed:
    state = LearnerStateFactory(config, catalog_of(config)).fresh()
    return await replay(batches, state, _trainer(config, find), upto)


def _trainer(config: Config, find: FindRecords) -> BatchTrainer:
    return BatchTrainer(find, trainer_of(config, catalog_of(config), Observer()))
