"""Builds the service that answers requests: every part is handed what it needs."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from random import SystemRandom

from router.adapters.storage import Storage
from router.app.learner_state_factory import LearnerStateFactory, example_contexts
from router.config import Config
from router.config.values import (
    catalog_of,
    context_map_of,
    promise_settings_of,
    request_prices_of,
    units_of,
    weights_of,
)
from router.degraded.stores import Stores, build_stores
from router.domain import MS_PER_S
from router.domain.catalog import Catalog
from router.domain.events import EvidenceSource
from router.domain.records import RANDOM_BITS, new_decision_id
from router.gates.gate_session import GateSessions
from router.gates.verifier_breaker import VerifierBreaker
from router.ports.observer import NO_TRACER, Observer, Stopwatch, Tracer
from router.ports.spool import Spool
from router.ports.upstream import Embedder, Provider
from router.runtime.background import Background
from router.runtime.fair_queue import CheckPool
from router.serving.admission import (
    Admission,
    AdmissionSettings,
    IdempotencyGuard,
    IdempotencySettings,
)
from router.serving.attempts import DeploymentCaller
from router.serving.audits import Auditor, FeedbackRate
from router.serving.cascade import Cascade
from router.serving.coalescing import Followers
from router.serving.decider import Decider, PlanSelector
from router.serving.deployment_stats import StatsBook
from router.serving.earlier_answers import ResponseCache
from router.serving.evidence.buyer import EvidenceBuyer
from router.serving.evidence.scorers import (
    AnswerScorer,
    AskedVerifier,
    ClosedMajority,
    GradingArm,
)
from router.serving.evidence.settings import EvidenceSettings
from router.serving.feedback import FeedbackService
from router.serving.finalize import Finalizer, KnownTurns
from router.serving.leases import Held, LeaseKeeper
from router.serving.pipeline import Pipeline
from router.serving.rephrase import RephraseDetector
from router.serving.sampling import PromptSampler
from router.serving.snapshot_follower import SnapshotFollower


@dataclass(frozen=True, slots=True)
class Adapters:
    """The parts that outlive a service when the config is read anew.

    providers: makes the providers of a config by name; raises ConfigInvalid where it lacks a key.
    stores: the storage as requests use it, which goes on while it is away; None for one that does
    not. checks: runs those of prompts and answers that take time.
    """

    storage: Storage
    embedder: Embedder
    providers: Callable[[Config], Mapping[str, Provider]]
    observer: Observer
    background: Background
    verifier: VerifierBreaker | None = None
    checks: CheckPool = field(default_factory=CheckPool)
    held: Held = field(default_factory=Held)
    stats: StatsBook = field(default_factory=StatsBook)
    stores: Stores | None = None
    tracer: Tracer = NO_TRACER


def steady_stores(config: Config, adapters: Adapters, spool: Spool | None = None) -> Stores:
    """Wraps the storage. spool: None where nothing is to be served without it."""
    return build_stores(
        adapters.storage,
        spool,
        adapters.observer,
        settings=config.degraded,
        health=config.health,
        join_window_s=config.learning.join_window_s,
    )


class RouterService:
    """Implements `router.domain.requests.Service` by the parts that carry out each use case.

    follower: keeps the policy of this service on the newest snapshot. deployments: their names.
    """

    def __init__(
        self,
        admission: Admission,
        pipeline: Pipeline,
        feedback: FeedbackService,
        follower: SnapshotFollower,
    ) -> None:
        self.authenticate = admission.authenticate
        self.complete = pipeline.complete
        self.stream = pipeline.stream
        self.decide = pipeline.decide
        self.report_outcome = feedback.report_outcome
        self.feedback = feedback.feedback
        self.session_feedback = feedback.session_feedback
        self.decision = feedback.decision
        self.follower = follower
        self.catalog = pipeline.catalog
        self.deployments = pipeline.catalog.names()


async def prepare_service(config: Config, adapters: Adapters) -> RouterService:
    """Builds a service beside requests that are being answered.

    Raises:
        ConfigInvalid: The key of a provider is missing.
        RouterError: An example of the config cannot be embedded.

    """
    catalog = catalog_of(config)
    examples = await example_contexts(config, adapters.embedder, context_map_of(config))
    factory = await asyncio.to_thread(LearnerStateFactory, config, catalog, examples)
    return build_service(config, catalog, adapters, factory)


def build_service(
    config: Config, catalog: Catalog, adapters: Adapters, factory: LearnerStateFactory
) -> RouterService:
    """Builds a service that has learned nothing yet."""
    decider = build_decider(config, factory)
    adapters.observer.deployments({d.name: d.provider for d in catalog.deployments()})
    wiring = _Wiring(config, catalog, adapters, decider)
    return RouterService(
        wiring.admission,
        wiring.pipeline(),
        wiring.feedback(),
        build_follower(factory, adapters.storage, decider, adapters.observer),
    )


def build_decider(config: Config, factory: LearnerStateFactory) -> Decider:
    """Returns a decider that has learned nothing yet."""
    learned = factory.fresh()
    return Decider(
        factory.context_map,
        learned.policy,
        weights_of(config),
        gates=learned.gates,
        promises=learned.promises,
    )


def build_follower(
    factory: LearnerStateFactory, storage: Storage, decider: Decider, observer: Observer
) -> SnapshotFollower:
    return SnapshotFollower(
        snapshots=storage.snapshots,
        events=storage.events,
        decider=decider,
        load=factory.restore_to_serve,
        observer=observer,
        clock=time.time,
    )


def _new_id() -> str:
    return new_decision_id(int(time.time() * MS_PER_S), secrets.randbits(RANDOM_BITS))


def build_lease_keeper(adapters: Adapters) -> LeaseKeeper:
    stores = adapters.stores or adapters.storage
    return LeaseKeeper(
        quota=stores.quota,
        idempotency=stores.idempotency,
        held=adapters.held,
        observer=adapters.observer,
        clock=time.monotonic,
        cache=adapters.storage.cache,
    )


class _Wiring:
    """Makes each part once, and shares those that several others need."""

    def __init__(
        self, config: Config, catalog: Catalog, adapters: Adapters, decider: Decider
    ) -> None:
        self._config = config
        self._catalog = catalog
        self._adapters = adapters
        self._decider = decider
        self._stores = adapters.stores or steady_stores(config, adapters)
        self._feedback_rate = FeedbackRate()
        self._stopwatch = Stopwatch(adapters.observer, time.time, adapters.tracer)

    def pipeline(self) -> Pipeline:
        adapters, stores = self._adapters, self._stores
        return Pipeline(
            catalog=self._catalog,
            selector=self._selector(),
            cascade=self._cascade,
            auditor=self._auditor(),
            embedder=adapters.embedder,
            health=stores.health,
            turns=self._turns,
            admission=self.admission,
            cache=self._cache,
            followers=self._followers(),
            rephrases=self._rephrases(),
            idempotency=self._idempotency(),
            finalizer=self._finalizer(),
            room=stores.decisions.admit,
            background=adapters.background,
            observer=adapters.observer,
            stopwatch=self._stopwatch,
            clock=time.time,
            ids=_new_id,
            observe=self._config.policy.observe,
            checks=adapters.checks,
            evidence=self._evidence(),
        )

    def feedback(self) -> FeedbackService:
        return FeedbackService(
            catalog=self._catalog,
            decisions=self._stores.decisions,
            admission=self.admission,
            cache=self._cache,
            rate=self._feedback_rate,
            background=self._adapters.background,
            observer=self._adapters.observer,
            turns=self._turns,
        )

    @cached_property
    def _turns(self) -> KnownTurns:
        return KnownTurns(
            conversations=self._adapters.storage.conversations,
            deployments=self._catalog.names(),
            remember_s=self._config.sessions.remember_s,
            background=self._adapters.background,
            observer=self._adapters.observer,
        )

    @cached_property
    def admission(self) -> Admission:
        return Admission(
            tenants=self._stores.tenants,
            quota=self._stores.quota,
            held=self._adapters.held,
            background=self._adapters.background,
            clock=time.time,
            settings=AdmissionSettings(required=self._config.auth.required),
        )

    @cached_property
    def _cache(self) -> ResponseCache:
        return ResponseCache(
            cache=self._adapters.storage.cache,
            observer=self._adapters.observer,
            settings=self._config.cache,
            held=self._adapters.held,
        )

    def _followers(self) -> Followers:
        return Followers(
            cache=self._cache,
            background=self._adapters.background,
            observer=self._adapters.observer,
            clock=time.time,
        )

    @cached_property
    def _cascade(self) -> Cascade:
        return Cascade(
            catalog=self._catalog,
            caller=self._caller(),
            clock=time.time,
            settings=self._config.attempts,
            second_timeout_ms=self._config.judging.second_timeout_ms,
            tracer=self._adapters.tracer,
        )

    def _caller(self) -> DeploymentCaller:
        adapters = self._adapters
        return DeploymentCaller(
            providers=adapters.providers(self._config),
            health=self._stores.health,
            background=adapters.background,
            observer=adapters.observer,
            clock=time.time,
            gate=self._config.gate,
            checks=adapters.checks,
            stats=adapters.stats,
            tracer=adapters.tracer,
        )

    def _selector(self) -> PlanSelector:
        adapters = self._adapters
        return PlanSelector(
            catalog=self._catalog,
            decider=self._decider,
            gate_sessions=GateSessions(
                catalog=self._catalog,
                embed=adapters.embedder.embed,
                observer=adapters.observer,
                verifier=adapters.verifier,
            ),
            embedder=adapters.embedder,
            observer=adapters.observer,
            stopwatch=self._stopwatch,
            lock_tool_loops=self._config.sessions.tool_loops == "locked",
            prices=request_prices_of(self._config, self._catalog),
        )

    def _finalizer(self) -> Finalizer:
        adapters = self._adapters
        return Finalizer(
            catalog=self._catalog,
            decisions=self._stores.decisions,
            admission=self.admission,
            cache=self._cache,
            background=adapters.background,
            observer=adapters.observer,
            continuity=self._stores.continuity,
            turns=self._turns,
            sampler=self._sampler(),
        )

    def _auditor(self) -> Auditor:
        adapters = self._adapters
        return Auditor(
            catalog=self._catalog,
            cascade=self._cascade,
            admission=self.admission,
            decisions=self._stores.decisions,
            cache=self._cache,
            background=adapters.background,
            observer=adapters.observer,
            draw=SystemRandom().random,
            feedback_rate=self._feedback_rate,
            settings=self._config.judging,
            always=bool(promise_settings_of(self._config)),
            tracer=adapters.tracer,
        )

    def _evidence(self) -> EvidenceBuyer | None:
        settings, adapters = self._config.evidence, self._adapters
        scorer = None if settings is None else self._scorer(settings)
        if settings is None or scorer is None:
            return None
        return EvidenceBuyer(
            catalog=self._catalog,
            cascade=self._cascade,
            admission=self.admission,
            decisions=self._stores.decisions,
            decider=self._decider,
            scorer=scorer,
            background=adapters.background,
            observer=adapters.observer,
            clock=time.time,
            units=units_of(self._config, self._catalog),
            settings=settings,
        )

    def _scorer(self, settings: EvidenceSettings) -> AnswerScorer | None:
        match EvidenceSource(settings.source):
            case EvidenceSource.JUDGE:
                return GradingArm(self._catalog, settings.judge)
            case EvidenceSource.VERIFIER:
                verifier = self._adapters.verifier
                return None if verifier is None else AskedVerifier(verifier)
            case EvidenceSource.AGREEMENT:
                return ClosedMajority()

    def _sampler(self) -> PromptSampler | None:
        if not self._config.map.wanted:
            return None
        adapters = self._adapters
        return PromptSampler(
            survey=adapters.storage.survey,
            background=adapters.background,
            draw=SystemRandom().random,
            settings=self._config.map,
        )

    def _rephrases(self) -> RephraseDetector:
        adapters = self._adapters
        return RephraseDetector(
            sessions=adapters.storage.sessions,
            decisions=self._stores.decisions,
            cache=self._cache,
            background=adapters.background,
            observer=adapters.observer,
            settings=self._config.learning.reask,
        )

    def _idempotency(self) -> IdempotencyGuard:
        return IdempotencyGuard(
            idempotency=self._stores.idempotency,
            held=self._adapters.held,
            settings=IdempotencySettings(),
        )
