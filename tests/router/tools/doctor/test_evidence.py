"""A doctor says what evidence a real store holds, with snapshots as calibration leaves them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bandit.types import Context, Outcome
from router.adapters.storage import Storage
from router.app.learner_state_factory import LearnerStateFactory
from router.config import load_config
from router.config.values import catalog_of
from router.domain.events import ArmAnswer, EvidenceBought, EvidenceSource
from router.domain.logged_context import action_of
from router.learning.evidence import KnownPrompt
from router.learning.learner_state import LearnerState
from router.ports.state import StoredSnapshot
from router.serving.evidence.purchase import terms_of
from router.tools.doctor.findings import Finding, State
from router.tools.doctor.learning import look_at_learning
from tests.contract.samples import RECORD

Write = Callable[[str], Path]
DAY_MS = 86_400_000
SECTION = "evidence: {budget_usd_per_day: 2, source: agreement}\n"


async def found(config: Path, storage: Storage) -> dict[str, Finding]:
    findings = await look_at_learning(load_config(config, {}), storage)
    return {f.check: f for f in findings if f.check.startswith("evidence.")}


async def calibrated(path: Path, storage: Storage, count: int, ago_ms: int = 0) -> LearnerState:
    """Publish what so many prompts teach, as `calibrate` does."""
    config = load_config(path, {})
    catalog, factory = catalog_of(config), LearnerStateFactory(config, catalog_of(config))
    state, land, rng = factory.fresh(), factory.context_map, np.random.default_rng(0)
    known = []
    for number in range(1, count + 1):
        membership = rng.dirichlet(np.ones(land.shape.clusters))
        blank = np.zeros(land.shape.axes), np.zeros(land.shape.features)
        context = Context(membership, *blank, land.version)
        plans = list(catalog.plans.values())
        state.policy.learn(
            [
                Outcome(
                    action=action_of(plan),
                    context=context,
                    quality=float(rng.random()),
                    cost_usd=0.001,
                    prompt=number,
                    of=len(plans),
                )
                for plan in plans
            ]
        )
        known.append(KnownPrompt(dict.fromkeys(catalog.arms, 0.5), tuple(membership.tolist())))
    terms = {name: terms_of(arm) for name, arm in catalog.arms.items()}
    now_ms = await storage.tenants.now_ms()
    state.evidence.calibrate(known, terms, 0.25, now_ms - ago_ms)
    fence = await storage.lease.acquire("me", 60_000)
    assert fence is not None
    assert await storage.snapshots.publish(StoredSnapshot(1, "0-0", state.save()), fence)
    return state


async def test_without_evidence_it_says_how_to_get_some(config: Path, storage: Storage) -> None:
    (seen,) = (await found(config, storage)).values()
    assert (seen.check, seen.state) == ("evidence.prompts", State.WARN)
    assert seen.fix.startswith("run `adaptive-router calibrate` with 100 prompts or more, or set")
    assert (seen.facts["prompts"], seen.facts["in_force"]) == (0, False)


@pytest.mark.parametrize(
    ("known", "state", "words"),
    [
        ((40, 0), State.WARN, "they are in force from 100 on"),
        ((120, 3 * DAY_MS), State.OK, "the newest 3.0 days ago; they are in force"),
        ((120, 100 * DAY_MS), State.WARN, "models and traffic may be others by now"),
    ],
)
async def test_what_calibration_left_is_told_with_age_and_cost(
    config: Path, storage: Storage, known: tuple[int, int], state: State, words: str
) -> None:
    count, ago_ms = known
    await calibrated(config, storage, count, ago_ms)
    seen = (await found(config, storage))["evidence.prompts"]
    assert (seen.state, words in seen.text) == (state, True)
    assert f"of {count} prompts every arm is known: {count} calibrated for $0.2500" in seen.text
    facts: dict[str, Any] = dict(seen.facts)
    assert (facts["prompts"], facts["calibrated"], facts["bought"]) == (count, count, 0)
    assert facts["in_force"] == (count >= 100)


async def decided(storage: Storage, name: str, share: float) -> None:
    now_ms = int(time.time() * 1_000)
    record = replace(RECORD, id=name, created_ms=now_ms, evidence_share=share)
    await storage.decisions.record(record)


async def test_a_section_that_buys_nothing_says_why(write_config: Write, storage: Storage) -> None:
    path = write_config(SECTION)
    seen = await found(path, storage)
    assert set(seen) == {"evidence.prompts", "evidence.bought"}
    assert "no request was answered yet" in seen["evidence.bought"].text
    await decided(storage, "a", 0.0)
    assert "no snapshot tells" in (await found(path, storage))["evidence.bought"].text
    await calibrated(path, storage, 20)
    told = (await found(path, storage))["evidence.bought"]
    assert (told.state, "no request was one to buy of" in told.text) == (State.WARN, True)
    assert "source agreement takes 3 arms" in told.text
    await decided(storage, "b", 0.5)
    told = (await found(path, storage))["evidence.bought"]
    assert "none was drawn yet" in told.text
    assert told.facts["drawable"] == 1
    alone = (ArmAnswer("cheap", None, 0.001),)
    bought = EvidenceBought("b", EvidenceSource.AGREEMENT, 0.5, alone, at_ms=int(time.time() * 1e3))
    await storage.decisions.evidence(bought)
    told = (await found(path, storage))["evidence.bought"]
    assert "source agreement scored no answers of two arms" in told.text
    assert (told.facts["events"], told.facts["events_in_full"]) == (1, 0)


async def test_purchases_in_full_are_well(write_config: Write, storage: Storage) -> None:
    path = write_config(SECTION)
    await calibrated(path, storage, 20)
    await decided(storage, "b", 0.5)
    arms = (ArmAnswer("cheap", 1.0, 0.001), ArmAnswer("reasoning", 0.0, 0.01))
    bought = EvidenceBought("b", EvidenceSource.AGREEMENT, 0.5, arms, at_ms=int(time.time() * 1e3))
    await storage.decisions.evidence(bought)
    told = (await found(path, storage))["evidence.bought"]
    assert (told.state, told.facts["events_in_full"]) == (State.OK, 1)
    assert told.text.startswith("1 purchases among the newest events")


async def test_a_judge_without_gold_is_told(write_config: Write, storage: Storage) -> None:
    path = write_config("evidence: {budget_usd_per_day: 2, source: judge, judge: reasoning}\n")
    gold = (await found(path, storage))["evidence.gold"]
    assert (gold.state, gold.facts["gold"]) == (State.WARN, 0)
    state = await calibrated(path, storage, 20)
    for _ in range(20):
        state.evidence.rectifier.compare("cheap", 0.5, 1.0)
    fence = await storage.lease.acquire("me", 60_000)
    assert fence is not None
    assert await storage.snapshots.publish(StoredSnapshot(2, "0-0", state.save()), fence)
    gold = (await found(path, storage))["evidence.gold"]
    assert (gold.state, gold.facts["gold"]) == (State.OK, 20)


async def test_another_policy_needs_no_such_prompts(write_config: Write, storage: Storage) -> None:
    path = write_config("policy: {name: linucb}\n")
    await calibrated(path, storage, 5)
    seen = (await found(path, storage))["evidence.prompts"]
    assert (seen.state, "policy linucb learns them answer by answer" in seen.text) == (
        State.OK,
        True,
    )
