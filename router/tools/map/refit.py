"""`map refit`, composed: sampled embeddings in, a context map out, trained on old decisions."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bandit.context.remap import Refit
from router.app.learner_state_factory import LearnerStateFactory
from router.app.process import opened_storage
from router.config import Config
from router.config.values import catalog_of, refit_of, trainer_of
from router.domain.records import DecisionRecord
from router.learning.learner import START
from router.learning.learner_state import LearnerState
from router.learning.map_refit import as_before, refit, remapped_events
from router.learning.replay import stream
from router.learning.training import JoinedEvent
from router.ports.observer import Observer
from router.ports.survey import EmbeddingSample
from router.runtime.files import write_file
from router.tools.publishing import SnapshotTarget, check_target, hand_over


@dataclass(frozen=True, slots=True)
class RefitOptions:
    """out: the map. snapshot: a file for what kept decisions teach, None for none.

    publish: put that snapshot into the store. most: decisions read. seed: of the fit.
    """

    out: Path
    snapshot: Path | None = None
    publish: bool = False
    most: int = 20_000
    seed: int = 0


@dataclass(frozen=True, slots=True)
class RefitResult:
    """samples: in the fit. outcomes: learned from kept decisions. skipped: unreadable ones.

    message: where the snapshot went, "" for none.
    """

    made: Refit
    samples: int
    outcomes: int = 0
    skipped: int = 0
    message: str = ""


@dataclass(frozen=True, slots=True)
class _StoredSamples:
    """learned_to: the end of the log that the records know; None for an empty log."""

    samples: Sequence[EmbeddingSample]
    records: Sequence[DecisionRecord] = ()
    learned_to: str | None = None


def run_refit(config: Config, options: RefitOptions, env: Mapping[str, str]) -> RefitResult:
    """Fit the map, write it, and train a snapshot under it if wanted. Raises RouterError."""
    teaches = options.publish or options.snapshot is not None
    before = refit_of(config)
    if options.publish:
        asyncio.run(check_target(config, env, SnapshotTarget(replace=True)))
    read = asyncio.run(_read(config, env, options.most if teaches else 0))
    made = refit(read.samples, before, options.seed)
    write_file(options.out, made.to_bytes())
    if not teaches:
        return RefitResult(made, len(read.samples))
    events, skipped = remapped_events(read.records, made.remap)
    payload, outcomes = _trained(_with_map(config, options.out), events)
    target = SnapshotTarget(None if options.publish else options.snapshot, replace=True)
    message = asyncio.run(hand_over(config, env, target, payload, read.learned_to))
    return RefitResult(made, len(read.samples), outcomes, skipped, message)


async def _read(config: Config, env: Mapping[str, str], most: int) -> _StoredSamples:
    async with opened_storage(config, env, begun=True) as storage:
        samples = await storage.survey.embeddings()
        if not most:
            return _StoredSamples(samples)
        # Routers write on meanwhile: the learner learns what comes after this end.
        end = await storage.events.end()
        records = [record async for record in storage.kept.each(most)]
        batches = [batch async for batch in stream(storage.events, end or START)]
        later = [event for batch in batches for _, event in batch]
        return _StoredSamples(samples, as_before(records, later), end)


def _trained(config: Config, events: Sequence[JoinedEvent]) -> tuple[bytes, int]:
    """Returns the snapshot and the number of outcomes in it."""
    catalog = catalog_of(config)
    state = LearnerStateFactory(config, catalog).fresh()
    trainer = trainer_of(config, catalog, Observer())
    # Promises stay blank: the records' scores are of gates that learned under another map.
    outcomes = trainer.train(LearnerState(state.policy, state.gates, rates=state.rates), events)
    return state.save(), outcomes


def _with_map(config: Config, path: Path) -> Config:
    policy = config.policy.model_copy(update={"context_map": path})
    return config.model_copy(update={"policy": policy})
