"""`evaluate`, composed: events from an archive or the store, candidates from the config."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bandit import POLICY_NAMES, BanditError
from router.app.learner_state_factory import LearnerStateFactory
from router.app.process import opened_storage
from router.config import Config
from router.config.values import catalog_of, trainer_of, units_of, upgrade_of
from router.domain.catalog import Catalog
from router.domain.errors import RouterError
from router.domain.events import Event
from router.learning.replay import stream
from router.learning.upgrades import UpgradedEvents
from router.ports.observer import Observer
from router.tools.archive.tables import read
from router.tools.evaluate.candidates import (
    FIXED,
    LOGGED,
    WATCHED,
    Candidate,
    FixedCandidate,
    LearningCandidate,
    LoggedCandidate,
    WatchedCandidate,
)
from router.tools.evaluate.evaluation import (
    Comparison,
    EvaluationSettings,
    NothingToEvaluate,
    WeightedValues,
    compare,
    weighted,
)


class CandidateUnknown(RouterError):
    """No policy or plan has the given name."""

    reason = "CANDIDATE_UNKNOWN"


@dataclass(frozen=True, slots=True)
class EvaluateOptions:
    """archive: a folder of `log export`; None for what the store still holds."""

    policy: str
    against: str
    since_ms: int = 0
    archive: Path | None = None


async def evaluated(
    config: Config, env: Mapping[str, str], options: EvaluateOptions
) -> tuple[Comparison, WeightedValues]:
    """Evaluate the policy on the log. Raises RouterError."""
    catalog = catalog_of(config)
    candidate = candidate_of(options.policy, config, catalog)
    against = candidate_of(options.against, config, catalog)
    events = await _events(config, env, options.archive)
    settings = EvaluationSettings(catalog.plans, units_of(config, catalog), options.since_ms)
    try:
        compared = compare(events, candidate, against, settings)
    except BanditError as error:
        raise NothingToEvaluate(f"the log can't be read with this config: {error}") from None
    return compared, weighted(compared.logged, compared.wanted)


def candidate_of(name: str, config: Config, catalog: Catalog) -> Candidate:
    """Returns the candidate `logged`, `watched`, `fixed:PLAN` or a policy by its name.

    Raises CandidateUnknown, which lists the names.
    """
    if name == LOGGED:
        return LoggedCandidate()
    if name == WATCHED:
        return WatchedCandidate()
    plan = name.removeprefix(FIXED)
    if plan != name:
        if plan not in catalog.plans:
            raise CandidateUnknown(f"no plan {plan!r}; choose {', '.join(catalog.plans)}")
        return FixedCandidate(plan)
    if name not in POLICY_NAMES:
        names = ", ".join(POLICY_NAMES)
        raise CandidateUnknown(
            f"no policy {name!r}; choose {LOGGED}, {WATCHED}, {FIXED}PLAN or {names}"
        )
    section = config.policy.model_copy(update={"name": name})
    policy = LearnerStateFactory(
        config.model_copy(update={"policy": section}), catalog
    ).fresh_policy()
    return LearningCandidate(policy, trainer_of(config, catalog, Observer()))


async def _events(config: Config, env: Mapping[str, str], archive: Path | None) -> list[Event]:
    upgrade = upgrade_of(config)
    if archive is not None:
        return [upgrade.event(event) for _, event in read(archive)]
    async with opened_storage(config, env, begun=True) as storage:
        batches = stream(UpgradedEvents(storage.events, upgrade))
        return [event async for batch in batches for _, event in batch]
