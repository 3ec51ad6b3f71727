"""The parts of a service that answers requests, each handed what it needs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from random import SystemRandom
from uuid import uuid4

from router.adapters.storage import Storage
from router.config import Config
from router.config.values import promise_settings_of
from router.domain.catalog import Catalog
from router.gates.format_checks import GateSettings
from router.gates.gate_session import Judging
from router.gates.verifier_breaker import VerifierBreaker
from router.ports.observer import Observer, Stopwatch
from router.ports.ports import Embedder, Provider
from router.runtime.background import Background
from router.serving.admission import Admission, AdmissionSettings
from router.serving.attempts import DeploymentCaller
from router.serving.audits import Auditor, AuditSettings
from router.serving.cascade import Cascade, CascadeSettings
from router.serving.decider import Decider
from router.serving.feedback import FeedbackService
from router.serving.feedback_rate import FeedbackRate
from router.serving.finalize import Finalizer
from router.serving.idempotency import IdempotencyGuard, IdempotencySettings
from router.serving.pipeline import Parts, Pipeline
from router.serving.plan_selection import PlanSelector
from router.serving.rephrase import RephraseDetector, RephraseSettings
from router.serving.response_cache import ResponseCache, ResponseCacheSettings
from router.serving.sampling import PromptSampler, PromptSamplerSettings
from router.serving.service import RouterService


@dataclass(frozen=True, slots=True)
class Seams:
    """The adapters, and who watches."""

    storage: Storage
    embedder: Embedder
    providers: Mapping[str, Provider]
    observer: Observer
    background: Background
    verifying: VerifierBreaker | None = None


def build_service(
    config: Config, catalog: Catalog, seams: Seams, decider: Decider
) -> RouterService:
    return _Parts(config, catalog, seams, decider).service()


class _Parts:
    """Those that several others share are made once."""

    def __init__(self, config: Config, catalog: Catalog, seams: Seams, decider: Decider) -> None:
        self._config = config
        self._catalog = catalog
        self._seams = seams
        self._decider = decider
        self._telling = FeedbackRate()
        self._watch = Stopwatch(seams.observer, time.time)

    def service(self) -> RouterService:
        return RouterService(self._admission, Pipeline(self._pipeline()), self._reporting())

    def _pipeline(self) -> Parts:
        config, seams = self._config, self._seams
        return Parts(
            catalog=self._catalog,
            chooser=self._chooser(),
            cascade=self._cascade,
            auditor=self._auditor(),
            embedder=seams.embedder,
            health=seams.storage.health,
            admission=self._admission,
            shelf=self._shelf,
            reask=self._reask(),
            once=IdempotencyGuard(idempotency=seams.storage.idempotency, settings=self._once()),
            closing=self._closing(),
            decisions=seams.storage.decisions,
            background=seams.background,
            observer=seams.observer,
            watch=self._watch,
            clock=time.time,
            ids=lambda: uuid4().hex,
            observe=config.policy.observe,
        )

    @cached_property
    def _admission(self) -> Admission:
        storage = self._seams.storage
        return Admission(
            tenants=storage.tenants,
            quota=storage.quota,
            clock=time.time,
            settings=AdmissionSettings(required=self._config.auth.required),
        )

    @cached_property
    def _shelf(self) -> ResponseCache:
        cache = self._config.cache
        return ResponseCache(
            cache=self._seams.storage.cache,
            observer=self._seams.observer,
            settings=ResponseCacheSettings(cache.enabled, cache.ttl_s, cache.semantic_threshold),
        )

    @cached_property
    def _cascade(self) -> Cascade:
        attempts = self._config.attempts
        return Cascade(
            catalog=self._catalog,
            caller=self._caller(),
            clock=time.time,
            settings=CascadeSettings(
                attempts.max_per_request,
                attempts.min_remaining_ms,
                self._config.judging.second_timeout_ms,
            ),
        )

    def _caller(self) -> DeploymentCaller:
        gate, seams = self._config.gate, self._seams
        return DeploymentCaller(
            providers=seams.providers,
            health=seams.storage.health,
            background=seams.background,
            observer=seams.observer,
            clock=time.time,
            gate=GateSettings(gate.refusals, gate.min_mean_logprob),
        )

    def _chooser(self) -> PlanSelector:
        seams = self._seams
        return PlanSelector(
            catalog=self._catalog,
            decider=self._decider,
            judging=Judging(
                catalog=self._catalog,
                embed=seams.embedder.embed,
                observer=seams.observer,
                verifier=seams.verifying,
            ),
            embedder=seams.embedder,
            observer=seams.observer,
            watch=self._watch,
        )

    def _closing(self) -> Finalizer:
        seams = self._seams
        return Finalizer(
            catalog=self._catalog,
            decisions=seams.storage.decisions,
            admission=self._admission,
            shelf=self._shelf,
            background=seams.background,
            observer=seams.observer,
            surveyor=self._surveyor(),
        )

    def _auditor(self) -> Auditor:
        seams = self._seams
        return Auditor(
            catalog=self._catalog,
            cascade=self._cascade,
            admission=self._admission,
            decisions=seams.storage.decisions,
            background=seams.background,
            observer=seams.observer,
            draw=SystemRandom().random,
            telling=self._telling,
            settings=self._audits(),
        )

    def _reporting(self) -> FeedbackService:
        seams = self._seams
        return FeedbackService(
            catalog=self._catalog,
            decisions=seams.storage.decisions,
            admission=self._admission,
            shelf=self._shelf,
            telling=self._telling,
            observer=seams.observer,
        )

    def _surveyor(self) -> PromptSampler:
        section, seams = self._config.map, self._seams
        return PromptSampler(
            survey=seams.storage.survey,
            background=seams.background,
            draw=SystemRandom().random,
            settings=PromptSamplerSettings(
                section.terms, section.sample_embeddings, section.sample_prompts
            ),
        )

    def _reask(self) -> RephraseDetector:
        reask, seams = self._config.learning.reask, self._seams
        return RephraseDetector(
            sessions=seams.storage.sessions,
            decisions=seams.storage.decisions,
            observer=seams.observer,
            settings=RephraseSettings(reask.window_s, reask.similarity),
        )

    def _audits(self) -> AuditSettings:
        section, always = self._config.judging, bool(promise_settings_of(self._config))
        return AuditSettings(section.audit_share, section.audit_usd_per_day, section.judge, always)

    def _once(self) -> IdempotencySettings:
        """No request runs longer than every attempt at its limit, with a minute for the rest."""
        longest_ms = max(d.timeout_ms for d in self._catalog.deployments())
        return IdempotencySettings(60 + self._config.attempts.max_per_request * longest_ms // 1_000)
