"""Which part gets which: the config's values handed to constructors, nothing started."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from random import SystemRandom
from uuid import uuid4

from bandit.errors import TrainerMissing
from bandit.training import check_trainer
from router.adapters.storage import CacheBounds, Storage, StorageSettings
from router.app.brain import Brain
from router.config import Config
from router.config.judging_schema import VerifierSection
from router.config.values import members_of, promise_settings_of, refit_of, weights_of
from router.core.admission import Admission, AdmissionSettings
from router.core.arms import Catalogue
from router.core.attempt import Caller
from router.core.background import Background
from router.core.cascade import Cascade, CascadeSettings
from router.core.choosing import Chooser
from router.core.closing import Closing, ClosingSettings
from router.core.deciding import Decider
from router.core.errors import ConfigInvalid, ConfigProblem
from router.core.follower import Follower
from router.core.gate import GateSettings
from router.core.judging.auditing import Auditor, AuditSettings
from router.core.judging.stepping import Judging
from router.core.judging.telling import Telling
from router.core.judging.verifying import Verifying, VerifyingSettings
from router.core.learner import Learner, LearnerSettings
from router.core.lecture import Lecture
from router.core.observer import Observer, Stopwatch
from router.core.once import Once, OnceSettings
from router.core.pipeline import Parts, Pipeline
from router.core.ports import Embedder, HealthPolicy, Provider, Verifier
from router.core.reask import ReaskSettings, ReaskWatch
from router.core.remapped import RemappedEvents
from router.core.reporting import Reporting
from router.core.reward import RewardSettings
from router.core.service import RouterService
from router.core.shelf import Shelf, ShelfSettings
from router.core.surveying import Surveyor, SurveySettings


@dataclass(frozen=True, slots=True)
class Seams:
    """The adapters, and who watches."""

    storage: Storage
    embedder: Embedder
    providers: Mapping[str, Provider]
    observer: Observer
    background: Background
    verifying: Verifying | None = None


def storage_settings(config: Config, env: Mapping[str, str]) -> StorageSettings:
    redis, cache, health = config.redis, config.cache, config.health
    return StorageSettings(
        url=env.get(redis.url_env, "") if redis.url_env else redis.url,
        data_dir=redis.embedded.data_dir,
        appendfsync=redis.embedded.appendfsync,
        pool_size=redis.pool_size,
        timeout_ms=redis.timeout_ms,
        max_events=redis.max_events,
        keep_events=redis.keep_events,
        join_window_s=config.learning.join_window_s,
        default_quality=config.learning.default_quality,
        cache=CacheBounds(max_entries_per_partition=cache.max_entries_per_partition),
        health=HealthPolicy(**health.model_dump()),
    )


def decider_of(config: Config, brain: Brain) -> Decider:
    """One that has learned nothing yet."""
    learned = brain.fresh()
    return Decider(
        brain.context_map,
        learned.policy,
        weights_of(config),
        gates=learned.gates,
        promises=learned.promises,
    )


def build_verifying(section: VerifierSection, verifier: Verifier, observer: Observer) -> Verifying:
    settings = VerifyingSettings(
        timeout_ms=section.timeout_ms,
        accept_at=section.accept_at,
        max_failures=section.max_failures,
        cooldown_ms=section.cooldown_ms,
        tenants=frozenset(section.tenants),
    )
    return Verifying(verifier, observer, time.time, settings)


def build_service(
    config: Config, catalogue: Catalogue, seams: Seams, decider: Decider
) -> RouterService:
    storage, observer, background = seams.storage, seams.observer, seams.background
    admission = Admission(
        tenants=storage.tenants,
        quota=storage.quota,
        clock=time.time,
        settings=AdmissionSettings(required=config.auth.required),
    )
    cache = config.cache
    shelf = Shelf(
        cache=storage.cache,
        observer=observer,
        settings=ShelfSettings(cache.enabled, cache.ttl_s, cache.semantic_threshold),
    )
    closing = Closing(
        catalogue=catalogue,
        decisions=storage.decisions,
        admission=admission,
        shelf=shelf,
        background=background,
        observer=observer,
        settings=ClosingSettings(),
        surveyor=_surveyor(config, seams),
    )
    cascade = _cascade(config, catalogue, seams)
    telling = Telling()
    auditor = Auditor(
        catalogue=catalogue,
        cascade=cascade,
        admission=admission,
        decisions=storage.decisions,
        background=background,
        observer=observer,
        draw=SystemRandom().random,
        telling=telling,
        settings=_audits(config),
    )
    watch = Stopwatch(observer, time.time)
    parts = Parts(
        catalogue=catalogue,
        chooser=Chooser(
            catalogue=catalogue,
            decider=decider,
            judging=Judging(
                catalogue=catalogue,
                embed=seams.embedder.embed,
                observer=observer,
                verifier=seams.verifying,
            ),
            embedder=seams.embedder,
            observer=observer,
            watch=watch,
        ),
        cascade=cascade,
        auditor=auditor,
        embedder=seams.embedder,
        health=storage.health,
        admission=admission,
        shelf=shelf,
        reask=_reask(config, seams),
        once=Once(idempotency=storage.idempotency, settings=_once(config, catalogue)),
        closing=closing,
        decisions=storage.decisions,
        background=background,
        observer=observer,
        watch=watch,
        clock=time.time,
        ids=lambda: uuid4().hex,
        observe=config.policy.observe,
    )
    reporting = Reporting(
        catalogue=catalogue,
        decisions=storage.decisions,
        admission=admission,
        shelf=shelf,
        telling=telling,
        observer=observer,
    )
    return RouterService(admission, Pipeline(parts), reporting)


def _surveyor(config: Config, seams: Seams) -> Surveyor:
    section = config.map
    return Surveyor(
        survey=seams.storage.survey,
        background=seams.background,
        draw=SystemRandom().random,
        settings=SurveySettings(section.terms, section.sample_embeddings, section.sample_prompts),
    )


def _audits(config: Config) -> AuditSettings:
    section, always = config.judging, bool(promise_settings_of(config))
    return AuditSettings(section.audit_share, section.audit_usd_per_day, section.judge, always)


def _once(config: Config, catalogue: Catalogue) -> OnceSettings:
    """No request runs longer than every attempt at its limit, with a minute for the rest."""
    longest_ms = max(d.timeout_ms for d in catalogue.deployments())
    return OnceSettings(60 + config.attempts.max_per_request * longest_ms // 1_000)


def _cascade(config: Config, catalogue: Catalogue, seams: Seams) -> Cascade:
    caller = Caller(
        providers=seams.providers,
        health=seams.storage.health,
        background=seams.background,
        observer=seams.observer,
        clock=time.time,
        gate=GateSettings(config.gate.refusals, config.gate.min_mean_logprob),
    )
    attempts = config.attempts
    return Cascade(
        catalogue=catalogue,
        caller=caller,
        clock=time.time,
        settings=CascadeSettings(
            attempts.max_per_request,
            attempts.min_remaining_ms,
            config.judging.second_timeout_ms,
        ),
    )


def _reask(config: Config, seams: Seams) -> ReaskWatch:
    reask = config.learning.reask
    return ReaskWatch(
        sessions=seams.storage.sessions,
        decisions=seams.storage.decisions,
        observer=seams.observer,
        settings=ReaskSettings(reask.window_s, reask.similarity),
    )


def build_follower(
    brain: Brain, storage: Storage, decider: Decider, observer: Observer
) -> Follower:
    return Follower(
        snapshots=storage.snapshots,
        events=storage.events,
        decider=decider,
        load=brain.restore_to_serve,
        observer=observer,
        clock=time.time,
    )


def build_learner(
    config: Config,
    catalogue: Catalogue,
    brain: Brain,
    storage: Storage,
    observer: Observer,
    *,
    retired: Iterable[str] = (),
) -> Learner:
    """retired: plans of an earlier config.

    Raises ConfigInvalid when the policy can't learn in this environment.
    """
    check_can_learn(config)
    learning = config.learning
    events = RemappedEvents(storage.events, refit_of(config).remap, config.renamed)
    return Learner(
        owner=uuid4().hex,
        lease=storage.lease,
        events=events,
        defaults=storage.defaults,
        snapshots=storage.snapshots,
        policies=storage.policies,
        lecture=Lecture(
            find=events.records,
            plans=catalogue.plans,
            rewards=RewardSettings(learning.implicit_weight),
            observer=observer,
            # A pinned arm need have no plan.
            ignored={*catalogue.arms, *retired},
        ),
        fresh=brain.fresh,
        load=brain.restore,
        observer=observer,
        clock=time.time,
        settings=LearnerSettings(publish_ms=learning.publish_every_ms),
    )


def check_can_learn(config: Config) -> None:
    """Now rather than once per outcome: a learner that can't learn looks well.

    Raises ConfigInvalid.
    """
    if all(member.name != "pair-classifier" for member in members_of(config).values()):
        return
    try:
        check_trainer()
    except TrainerMissing as error:
        raise ConfigInvalid(ConfigProblem("", 0, "policy.name", str(error))) from None
