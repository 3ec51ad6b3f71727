"""Which part gets which: the config's values handed to constructors, nothing started."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from uuid import uuid4

from router.adapters.storage import CacheBounds, Storage, StorageSettings
from router.app.learner_state_factory import LearnerStateFactory
from router.config import Config
from router.config.judging_schema import VerifierSection
from router.config.values import trainer_of, upgrade_of, weights_of
from router.domain.catalog import Catalog
from router.gates.verifier_breaker import VerifierBreaker, VerifierBreakerSettings
from router.learning.learner import Learner, LearnerSettings
from router.learning.training import BatchTrainer
from router.learning.upgrades import UpgradedEvents
from router.ports.observer import Observer
from router.ports.ports import HealthPolicy, Verifier
from router.serving.decider import Decider
from router.serving.snapshot_follower import SnapshotFollower


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


def decider_of(config: Config, brain: LearnerStateFactory) -> Decider:
    """One that has learned nothing yet."""
    learned = brain.fresh()
    return Decider(
        brain.context_map,
        learned.policy,
        weights_of(config),
        gates=learned.gates,
        promises=learned.promises,
    )


def build_verifying(
    section: VerifierSection, verifier: Verifier, observer: Observer
) -> VerifierBreaker:
    settings = VerifierBreakerSettings(
        timeout_ms=section.timeout_ms,
        accept_at=section.accept_at,
        max_failures=section.max_failures,
        cooldown_ms=section.cooldown_ms,
        tenants=frozenset(section.tenants),
    )
    return VerifierBreaker(verifier, observer, time.time, settings)


def build_follower(
    brain: LearnerStateFactory, storage: Storage, decider: Decider, observer: Observer
) -> SnapshotFollower:
    return SnapshotFollower(
        snapshots=storage.snapshots,
        events=storage.events,
        decider=decider,
        load=brain.restore_to_serve,
        observer=observer,
        clock=time.time,
    )


def build_learner(
    config: Config,
    catalog: Catalog,
    brain: LearnerStateFactory,
    storage: Storage,
    observer: Observer,
    *,
    retired: Iterable[str] = (),
) -> Learner:
    """retired: plans of an earlier config."""
    learning = config.learning
    events = UpgradedEvents(storage.events, upgrade_of(config))
    return Learner(
        owner=uuid4().hex,
        lease=storage.lease,
        events=events,
        defaults=storage.defaults,
        snapshots=storage.snapshots,
        policies=storage.policies,
        trainer=BatchTrainer(
            find=events.records,
            trainer=trainer_of(config, catalog, observer),
            # A pinned arm need have no plan.
            ignored={*catalog.arms, *retired},
        ),
        fresh=brain.fresh,
        load=brain.restore,
        observer=observer,
        clock=time.time,
        settings=LearnerSettings(publish_ms=learning.publish_every_ms),
    )
