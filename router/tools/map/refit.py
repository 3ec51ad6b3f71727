"""`map refit`, composed: sampled embeddings in, a context map out; old decisions teach under it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bandit.context.remap import Refit
from router.app.learner_state_factory import LearnerStateFactory
from router.app.process import opened_storage
from router.config import Config
from router.config.values import catalog_of, refit_of
from router.domain.records import DecisionRecord
from router.learning.learner import START
from router.learning.map_refit import Taught, as_before, refit, taught_by
from router.learning.replay import stream
from router.learning.rewards import RewardSettings
from router.learning.training import teach, teach_gates
from router.ports.observer import Observer
from router.ports.survey import EmbeddingSample
from router.runtime.files import write_file
from router.tools.handover import Targets, check_targets, hand_over


@dataclass(frozen=True, slots=True)
class Wanted:
    """snapshot: a file for what kept decisions teach, None for none. publish: put it in the store.

    most: decisions read; others teach nothing. seed: of the fit.
    """

    out: Path
    snapshot: Path | None = None
    publish: bool = False
    most: int = 20_000
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Done:
    """said: what came of the snapshot, "" for none wanted."""

    made: Refit
    samples: int
    outcomes: int = 0
    passed_over: int = 0
    said: str = ""


@dataclass(frozen=True, slots=True)
class _Read:
    """learned_to: the end of the log that the records tell of; None for an empty log."""

    samples: Sequence[EmbeddingSample]
    records: Sequence[DecisionRecord] = ()
    learned_to: str | None = None


def run_refit(config: Config, wanted: Wanted, env: Mapping[str, str]) -> Done:
    """Raises RouterError."""
    teaches = wanted.publish or wanted.snapshot is not None
    before = refit_of(config)
    if wanted.publish:
        asyncio.run(check_targets(config, env, Targets(replace=True)))
    read = asyncio.run(_read(config, env, wanted.most if teaches else 0))
    made = refit(read.samples, before, wanted.seed)
    write_file(wanted.out, made.to_bytes())
    if not teaches:
        return Done(made, len(read.samples))
    payload, taught = _taught(_with_map(config, wanted.out), made, read.records)
    target = Targets(None if wanted.publish else wanted.snapshot, replace=True)
    said = asyncio.run(hand_over(config, env, target, payload, read.learned_to))
    return Done(made, len(read.samples), len(taught.outcomes), taught.passed_over, said)


async def _read(config: Config, env: Mapping[str, str], most: int) -> _Read:
    async with opened_storage(config, env, begun=True) as storage:
        samples = await storage.survey.embeddings()
        if not most:
            return _Read(samples)
        # Routers write on meanwhile: what comes after this end is the learner's to learn.
        end = await storage.events.end()
        records = [record async for record in storage.kept.each(most)]
        batches = [batch async for batch in stream(storage.events, end or START)]
        later = [event for batch in batches for _, event in batch]
        return _Read(samples, as_before(records, later), end)


def _taught(config: Config, made: Refit, records: Sequence[DecisionRecord]) -> tuple[bytes, Taught]:
    catalog = catalog_of(config)
    fresh = LearnerStateFactory(config, catalog).fresh()
    rewards = RewardSettings(config.learning.implicit_weight)
    taught = taught_by(records, made.remap, catalog.plans, rewards)
    teach(fresh.policy, taught.outcomes, Observer())
    teach_gates(fresh.gates, taught.lessons, Observer())
    return fresh.save(), taught


def _with_map(config: Config, path: Path) -> Config:
    policy = config.policy.model_copy(update={"context_map": path})
    return config.model_copy(update={"policy": policy})
