"""`evaluate`, composed: events from an archive or the store, candidates from the config."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bandit import POLICY_NAMES, BanditError
from router.app.learner_state_factory import LearnerStateFactory
from router.app.process import opened_storage
from router.config import Config
from router.config.values import catalog_of, today_of, units_of
from router.domain.catalog import Catalog
from router.domain.events import Event
from router.learning.replay import stream
from router.learning.rewards import RewardSettings
from router.learning.upgraded_events import UpgradedEvents
from router.ports.observer import Observer
from router.tools.archive.reading import read
from router.tools.evaluate.candidates import (
    FIXED,
    LOGGED,
    WATCHED,
    Candidate,
    Fixed,
    Learning,
    Logged,
    Watched,
)
from router.tools.evaluate.errors import CandidateUnknown, NothingToEvaluate
from router.tools.evaluate.evaluation import Compared, Terms, compare
from router.tools.evaluate.library import Weighted, weighted


@dataclass(frozen=True, slots=True)
class Question:
    """archive: a folder of `log export`; None for what the store still holds."""

    policy: str
    against: str
    since_ms: int = 0
    archive: Path | None = None


async def evaluated(
    config: Config, env: Mapping[str, str], question: Question
) -> tuple[Compared, Weighted]:
    """Raises RouterError."""
    catalog = catalog_of(config)
    candidate = candidate_of(question.policy, config, catalog)
    against = candidate_of(question.against, config, catalog)
    events = await _events(config, env, question.archive)
    terms = Terms(
        plans=catalog.plans,
        units=units_of(config, catalog),
        rewards=RewardSettings(config.learning.implicit_weight),
        since_ms=question.since_ms,
    )
    try:
        compared = compare(events, candidate, against, terms)
    except BanditError as error:
        raise NothingToEvaluate(f"the log can't be read with this config: {error}") from None
    return compared, weighted(compared.logged, compared.wanted)


def candidate_of(name: str, config: Config, catalog: Catalog) -> Candidate:
    """By `logged`, `watched`, `fixed:PLAN` or a policy's name. Raises CandidateUnknown."""
    if name == LOGGED:
        return Logged()
    if name == WATCHED:
        return Watched()
    plan = name.removeprefix(FIXED)
    if plan != name:
        if plan not in catalog.plans:
            raise CandidateUnknown(f"no plan {plan!r}; choose {', '.join(catalog.plans)}")
        return Fixed(plan)
    if name not in POLICY_NAMES:
        names = ", ".join(POLICY_NAMES)
        raise CandidateUnknown(
            f"no policy {name!r}; choose {LOGGED}, {WATCHED}, {FIXED}PLAN or {names}"
        )
    policy = config.policy.model_copy(update={"name": name})
    tried = config.model_copy(update={"policy": policy})
    return Learning(LearnerStateFactory(tried, catalog).fresh_policy(), Observer())


async def _events(config: Config, env: Mapping[str, str], archive: Path | None) -> list[Event]:
    today = today_of(config)
    if archive is not None:
        return [today.event(event) for _, event in read(archive)]
    async with opened_storage(config, env, begun=True) as storage:
        batches = stream(UpgradedEvents(storage.events, today))
        return [event async for batch in batches for _, event in batch]
