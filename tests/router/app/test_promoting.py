"""Challengers, promotions and their audit through a real learner, and the same in a replay."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from bandit import ContextMap, PromptFacts
from router.adapters.storage import EmbeddedRedis, Storage
from router.app.learner import build_learner
from router.app.learner_state_factory import LearnerStateFactory
from router.app.wiring import build_decider, build_follower
from router.cli import main
from router.config import Config, load_config
from router.config.values import catalog_of
from router.domain.events import FeedbackGiven, Move, Mover, PolicyChanged, PolicyCommand
from router.domain.logged_context import action_of, log_context
from router.domain.records import Choice, DecisionRecord, FeedbackReport, WeightSet
from router.learning.learner import Learner
from router.learning.learner_state import split
from router.ports.observer import Observer
from router.ports.state import StoredSnapshot
from router.serving.decider import Decider
from router.tools.archive.export import export
from router.tools.train.run import replayed
from tests.contract.samples import ATTEMPT, RECORD

MEMBERS = """\
policy: {name: random-mix, random_mix: {cheap: 4, reasoning: 1}, exploration_floor: 0.05}
challengers:
  dear: {random_mix: {cheap: 1, reasoning: 4}}
  lin: {name: linucb}
  wide: {name: adaptive, draw_width: 1}
promotion: {automatic: yes, min_events: 60, margin: 0.001}
plans: {cheap: [cheap], reasoning: [reasoning]}
learning: {default_quality: 0.5}
"""
GOOD = {"cheap": 0.2, "reasoning": 0.9}


@pytest.fixture
async def loaded(tmp_path: Path, write_config: Callable[[str], Path]) -> AsyncIterator[Config]:
    server = EmbeddedRedis(tmp_path / "redis", appendfsync="everysec")
    await server.start()
    yield load_config(write_config(MEMBERS), {})
    await server.stop()


def learner(config: Config, storage: Storage) -> Learner:
    catalog = catalog_of(config)
    eager = config.model_copy(
        update={"learning": config.learning.model_copy(update={"publish_every_ms": 1})}
    )
    return build_learner(eager, catalog, LearnerStateFactory(config, catalog), storage, Observer())


async def caught_up(learner: Learner, storage: Storage) -> StoredSnapshot:
    while True:
        await learner.step()
        stored = await storage.snapshots.load()
        if stored and await storage.events.backlog(stored.position) == 0:
            return stored


class Site:
    """Decisions as a router that serves `member` logs them, each with feedback."""

    def __init__(self, config: Config, storage: Storage) -> None:
        self._config, self._storage = config, storage
        self._map, self._rng = ContextMap.default(), np.random.default_rng(5)
        self._plans = catalog_of(config).plans
        self._count = 0

    async def serve(self, decisions: int, member: str, shares: dict[str, float]) -> None:
        for _ in range(decisions):
            record = await self.decide(member, shares)
            quality = float(self._rng.random() < GOOD[record.arm])
            await self._storage.decisions.feedback("acme", record.id, FeedbackReport(quality))

    async def decide(
        self, member: str, shares: dict[str, float], *, ago_s: float = 0
    ) -> DecisionRecord:
        vector = self._rng.normal(size=384).astype(np.float32)
        context = self._map.build(vector / np.linalg.norm(vector), PromptFacts("some words"))
        plan = str(self._rng.choice(list(shares), p=list(shares.values())))
        choice = Choice(
            plan=plan,
            propensity=shares[plan],
            explored=False,
            probabilities=tuple(shares.items()),
            policy="random-mix",
            policy_version=1,
            weights=WeightSet(1.0, 0.0, 0.0, 0.0),
            context=log_context(context),
            expected=tuple((action_of(p).name, 0.5, 0.0, 0.5) for p in self._plans.values()),
            member=member,
        )
        record = replace(
            RECORD,
            id=f"d-{self._count}",
            created_ms=int((time.time() - ago_s) * 1_000),
            choice=choice,
            attempts=(replace(ATTEMPT, arm=plan),),
            arm=plan,
        )
        self._count += 1
        await self._storage.decisions.record(record)
        return record


FRUGAL, LAVISH = {"cheap": 0.75, "reasoning": 0.25}, {"cheap": 0.25, "reasoning": 0.75}


async def test_promotion_by_evidence_is_served_audited_and_replayed(
    loaded: Config, storage: Storage, tmp_path: Path
) -> None:
    site = Site(loaded, storage)
    for part in (50, 30, 100):
        await site.serve(part, "policy", FRUGAL)
        stored = await caught_up(learner(loaded, storage), storage)
        await storage.client.call("DEL", "ar:lease")  # as if its holder had been killed
    (change,) = await storage.policies.changes()
    assert (change.move, change.by, change.before) == (Move.PROMOTED, Mover.EVIDENCE, "policy")
    assert change.found is not None
    assert change.found.low is not None
    assert change.found.low > 0.001
    state = split(stored.payload).state
    assert (state.champion, state.previous) == (change.champion, "policy")
    assert await served(loaded, storage) == change.champion
    await site.serve(20, change.champion, LAVISH)
    stored = await caught_up(learner(loaded, storage), storage)
    done = await replayed(loaded, {}, None, verify=True)
    assert done.payload == stored.payload
    await export(storage.events, tmp_path / "log")
    again = await replayed(loaded, {}, tmp_path / "log", verify=True)
    assert again.payload == stored.payload
    assert len(await storage.policies.changes()) == 1


async def served(config: Config, storage: Storage) -> str:
    """Who a router that starts now serves, by what it logs."""
    brain = LearnerStateFactory(config, catalog_of(config))
    decider: Decider = build_decider(config, brain)
    await build_follower(brain, storage, decider, Observer()).step()
    return decider.member


async def test_replay_repeats_corrections_and_defaults(loaded: Config, storage: Storage) -> None:
    """Late ones: of decisions that were counted, whose challengers learned them already."""
    site = Site(loaded, storage)
    await site.serve(80, "policy", FRUGAL)
    await caught_up(learner(loaded, storage), storage)
    await storage.client.call("DEL", "ar:lease")
    for decision_id, quality in (("d-3", 0.25), ("d-3", 0.75), ("d-70", 0.5)):
        report = FeedbackReport(quality, correction=True)
        assert await storage.decisions.feedback("acme", decision_id, report)
    for _ in range(3):
        await site.decide("policy", FRUGAL, ago_s=2 * loaded.learning.join_window_s)
    stored = await caught_up(learner(loaded, storage), storage)
    told = [event for _, event in await storage.events.read("0", 1_000, 0)]
    given = [event for event in told if isinstance(event, FeedbackGiven)]
    assert [event.quality for event in given if event.by_default] == [0.5] * 3
    assert sum(event.replaces is not None for event in given) == 3
    assert (await replayed(loaded, {}, None, verify=True)).payload == stored.payload


async def test_learner_logs_a_change_once_when_killed_before_publishing(
    loaded: Config, storage: Storage
) -> None:
    await Site(loaded, storage).serve(3, "policy", FRUGAL)
    before = await caught_up(learner(loaded, storage), storage)
    await storage.policies.command(PolicyCommand(Move.PROMOTED, "lin"))
    await storage.client.call("DEL", "ar:lease")
    after = await caught_up(learner(loaded, storage), storage)
    lost = [f"{version}:payload" for version in range(before.version + 1, after.version + 1)]
    await storage.client.call("HDEL", "ar:snapshots", *lost)
    await storage.client.call("DEL", "ar:lease")
    await storage.policies.command(PolicyCommand(Move.ROLLED_BACK))
    stored = await caught_up(learner(loaded, storage), storage)
    events = [event for _, event in await storage.events.read("0", 100, 0)]
    told = [event.champion for event in events if isinstance(event, PolicyChanged)]
    assert told == ["lin", "policy"]
    assert split(stored.payload).state.champion == "policy"


async def test_administration_commands_reach_the_learner(
    loaded: Config, storage: Storage, tmp_path: Path
) -> None:
    await Site(loaded, storage).serve(3, "policy", FRUGAL)
    await caught_up(learner(loaded, storage), storage)
    await storage.client.call("DEL", "ar:lease")
    assert await served(loaded, storage) == "policy"
    config = tmp_path / "router.yaml"
    promoted = await answered(loaded, storage, "promote", "lin", "--config", config)
    assert promoted.exit_code == 0, promoted.output
    assert "by hand: promoted: lin serves instead of policy" in promoted.stdout
    assert await served(loaded, storage) == "lin"
    listing = await asyncio.to_thread(run, "list", "--config", config)
    assert "| lin | linucb | serves |" in listing.stdout
    assert "| policy | random-mix | served before | +0.0000 | too few | 0 | 0 |" in listing.stdout
    assert "promoted: lin serves" in listing.stdout
    back = await answered(loaded, storage, "rollback", "--config", config)
    assert "rolled_back: policy serves instead of lin" in back.stdout
    again = await answered(loaded, storage, "rollback", "--config", config)
    assert again.exit_code == 1
    assert "nothing was promoted since the last rollback" in again.stdout
    stored = await caught_up(learner(loaded, storage), storage)
    assert (await replayed(loaded, {}, None, verify=True)).payload == stored.payload


async def answered(config: Config, storage: Storage, *words: object) -> Result:
    """Return what the command prints while a learner runs beside it."""
    stop = asyncio.Event()
    running = asyncio.create_task(learner(config, storage).run(stop))
    result = await asyncio.to_thread(run, *words, "--wait", 60)
    stop.set()
    await running
    return result


async def test_administration_refuses_to_promote_an_unknown_member(
    loaded: Config, storage: Storage, tmp_path: Path
) -> None:
    del loaded
    config = tmp_path / "router.yaml"
    wrong = await asyncio.to_thread(run, "promote", "linn", "--config", config)
    assert wrong.exit_code == 1
    assert "did you mean lin?" in wrong.stderr
    assert await storage.events.read("0", 10, 0) == []
    asked = await asyncio.to_thread(run, "promote", "lin", "--config", config, "--wait", 0)
    assert "asked for at event 0-1; no learner has come to it yet" in asked.stdout


async def test_factory_restores_a_snapshot_without_challengers(
    loaded: Config, storage: Storage
) -> None:
    alone = loaded.model_copy(update={"challengers": {}})
    await Site(alone, storage).serve(5, "policy", FRUGAL)
    before = await caught_up(learner(alone, storage), storage)
    brain = LearnerStateFactory(loaded, catalog_of(loaded))
    learned = brain.restore(before.payload)
    assert learned.policy.learned == 10
    assert learned.contest is not None
    assert [learned.contest.policies[n].learned for n in ("dear", "lin", "wide")] == [0, 0, 0]
    back = LearnerStateFactory(alone, catalog_of(alone)).restore(learned.save())
    assert back.contest is None
    assert back.save() == before.payload


async def test_factory_restores_a_champion_that_became_the_policy_section(
    loaded: Config, storage: Storage
) -> None:
    await Site(loaded, storage).serve(5, "policy", FRUGAL)
    await storage.policies.command(PolicyCommand(Move.PROMOTED, "lin"))
    stored = await caught_up(learner(loaded, storage), storage)
    written = loaded.policy.model_copy(update={"name": "linucb"})
    adopted = loaded.model_copy(update={"policy": written, "challengers": {}})
    learned = LearnerStateFactory(adopted, catalog_of(adopted)).restore_to_serve(stored.payload)
    assert (learned.champion, learned.policy.name) == ("policy", "linucb")
    assert learned.policy.learned == 10


def run(*words: object) -> Result:
    return CliRunner().invoke(main, ["policy", *map(str, words)])
