"""`train`, composed: an archive learned from nothing, and handed over as calibration does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bandit.adaptive.policy import AdaptivePolicy
from router.app.learner_state_factory import LearnerStateFactory
from router.app.process import opened_storage
from router.config import Config
from router.config.values import catalog_of, today_of
from router.domain.errors import RouterError
from router.learning.batches import BatchTrainer
from router.learning.replay import replay
from router.learning.rewards import RewardSettings
from router.ports.observer import Observer
from router.tools.archive.reading import verify
from router.tools.archive.rows import Entry
from router.tools.archive.tables import entries_in
from router.tools.handover import Targets, check_targets, hand_over
from router.tools.train.replay import Archive


class PriorUnbounded(RouterError):
    """Only some policies can be told how much what they learned is worth."""

    reason = "PRIOR_UNBOUNDED"


@dataclass(frozen=True, slots=True)
class Training:
    """prior_strength: outcomes that each action's past counts for at most; None for all of them."""

    archive: Path
    prior_strength: float | None = None
    replace: bool = False
    out: Path | None = None


@dataclass(frozen=True, slots=True)
class Trained:
    """said: where the snapshot went, in words."""

    events: int
    said: str


async def trained(config: Config, env: Mapping[str, str], wanted: Training) -> Trained:
    """Raises RouterError."""
    targets = Targets(wanted.out, replace=wanted.replace)
    manifest = verify(wanted.archive)
    catalog = catalog_of(config)
    learned = LearnerStateFactory(config, catalog).fresh()
    if wanted.prior_strength is not None and not isinstance(learned.policy, AdaptivePolicy):
        raise PriorUnbounded(
            f"policy {learned.policy.name} can't bound its past: leave --prior-strength out, or "
            "set `policy: {name: adaptive}`"
        )
    await check_targets(config, env, targets)
    archive = Archive(wanted.archive, today_of(config))
    rewards = RewardSettings(config.learning.implicit_weight)
    lecture = BatchTrainer(archive.find, catalog.plans, rewards, Observer())
    done = await replay(archive.batches(), learned, lecture, whole=False)
    payload = done.payload
    if wanted.prior_strength is not None and isinstance(learned.policy, AdaptivePolicy):
        learned.policy.limit(wanted.prior_strength)
        payload = learned.save()
    *_, last = entries_in(wanted.archive / manifest.parts[-1].file)
    learned_to = None
    if wanted.out is None and await _holds(config, env, last):
        learned_to = done.position
    said = await hand_over(config, env, targets, payload, learned_to)
    return Trained(done.events, said)


async def _holds(config: Config, env: Mapping[str, str], last: Entry) -> bool:
    """Whether the archive is of this very store, whose events are then not learned again."""
    position, _ = last
    before = int(position.rpartition("-")[2]) - 1
    async with opened_storage(config, env) as storage:
        return list(await storage.events.read(f"0-{before}", 1, 0)) == [last]
