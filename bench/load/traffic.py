"""A log as routers leave it: decisions of the service's own decider, and feedback on each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from uuid import UUID

import numpy as np

from bandit import ContextMap, PromptFacts, make_policy
from router.adapters.storage import Storage
from router.config import Config
from router.config.values import catalog_of, settings_of, weights_of
from router.domain.catalog import Catalog
from router.domain.chat import Usage
from router.domain.errors import RouterError
from router.domain.records import (
    Attempt,
    AttemptOutcome,
    Choice,
    DecisionRecord,
    FeedbackReport,
    Mode,
)
from router.domain.requests import WeightOverrides
from router.serving.decider import Bounds, Decider

TENANT = "bench"
AT_ONCE = 64
ESCALATED = 0.3
DIMENSIONS = 384
ID_BYTES = 16


async def fill(storage: Storage, config: Config, decisions: int, seed: int) -> None:
    """Two events for each decision, one after the other."""
    made = records(config, decisions, np.random.default_rng(seed))
    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(_write(storage, made))


async def _write(storage: Storage, made: Iterator[tuple[DecisionRecord, float]]) -> None:
    for record, quality in made:
        await storage.decisions.record(record)
        await storage.decisions.feedback(TENANT, record.id, FeedbackReport(quality=quality))


def records(
    config: Config, decisions: int, rng: np.random.Generator
) -> Iterator[tuple[DecisionRecord, float]]:
    """With the quality that is told of each."""
    catalog, context_map = catalog_of(config), ContextMap.default()
    settings = settings_of(config, catalog, context_map)
    policy = make_policy(config.policy.name, settings, context_map.version, rng)
    decider = Decider(context_map, policy, weights_of(config))
    plans = tuple(catalog.plans.values())
    for _ in range(decisions):
        embedding = rng.normal(size=DIMENSIONS).astype(np.float32)
        facts = PromptFacts(text="x" * int(rng.integers(20, 400)))
        context = context_map.build(embedding / np.linalg.norm(embedding), facts)
        choice = decider.choose(context, plans, WeightOverrides(), Bounds())
        if choice is None:
            raise RouterError("without bounds a plan is always chosen")
        yield _record(choice, catalog, rng), float(rng.integers(2))


def _record(choice: Choice, catalog: Catalog, rng: np.random.Generator) -> DecisionRecord:
    rungs = catalog.plans[choice.plan].rungs
    called = rungs[: 1 + (len(rungs) > 1 and rng.random() < ESCALATED)]
    attempts = tuple(_attempt(catalog, arm, rng, served=arm == called[-1]) for arm in called)
    last = attempts[-1]
    return DecisionRecord(
        id=UUID(bytes=rng.bytes(ID_BYTES)).hex,
        tenant=TENANT,
        created_ms=int(time.time() * 1_000),
        mode=Mode.COMPLETE,
        choice=choice,
        attempts=attempts,
        arm=last.arm,
        deployment=last.deployment,
        model=last.model,
    )


def _attempt(catalog: Catalog, arm: str, rng: np.random.Generator, *, served: bool) -> Attempt:
    deployment = catalog.arms[arm].deployments[0]
    usage = Usage(int(rng.integers(50, 800)), int(rng.integers(20, 600)))
    return Attempt(
        arm=arm,
        deployment=deployment.name,
        model=deployment.model,
        outcome=AttemptOutcome.ACCEPTED if served else AttemptOutcome.ESCALATED,
        why="" if served else "refusal",
        latency_ms=float(rng.lognormal(6, 0.5)),
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cost_usd=deployment.price.cost_usd(usage),
    )
