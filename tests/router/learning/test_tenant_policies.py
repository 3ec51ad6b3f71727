"""A tenant's own policy: how it begins, learns and is saved."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest

from bandit import Action, Context, Policy, Weights
from router.app.learner_state_factory import LearnerStateFactory
from router.config import Config, parse_config
from router.config.values import catalog_of
from router.domain.events import Decided, Event, FeedbackGiven
from router.domain.records import BASE, OWN, DecisionRecord
from router.domain.requests import WeightOverrides
from router.learning.learner_state import LearnerState
from router.learning.rewards import RewardSettings
from router.learning.training import BatchTrainer, Trainer
from router.ports.observer import Observer
from router.serving.decider import Bounds, Decider
from tests.router.learning.test_training import record

ODD = "odd"
CONFIG = """
learning: {{own_policies: [{owners}], own_strength: 20, max_tenant_share: {share}}}
challengers: {challengers}
arms:
  good: {{deployments: [{good}]}}
  fair: {{deployments: [{fair}]}}
"""
DEPLOYMENT = (
    "{name: NAME, provider: openai, model: m, base_url: 'http://127.0.0.1:9/v1',"
    " price: {input_usd_per_mtok: 1, output_usd_per_mtok: 1}}"
)
TRUTH = {"good": 0.9, "fair": 0.2}


def config(owners: str = ODD, challengers: str = "{}", share: float = 1) -> Config:
    deployments = {name: DEPLOYMENT.replace("NAME", name) for name in TRUTH}
    text = CONFIG.format(owners=owners, challengers=challengers, share=share, **deployments)
    return parse_config(text, "test", {})


def told(context: Context, count: int, odd_from: int) -> Iterator[tuple[DecisionRecord, float]]:
    """Every third request from then on is the odd tenant's, for whom all is the other way round."""
    rng = np.random.default_rng(1)
    for n in range(count):
        odd, plan = n >= odd_from and n % 3 == 0, ("good", "fair")[n % 2]
        made = record(str(n), context)
        assert made.choice is not None
        choice = replace(made.choice, plan=plan, probabilities=((plan, 0.5),))
        attempt = replace(made.attempts[0], arm=plan)
        tenant = ODD if odd else "even"
        made = replace(made, tenant=tenant, choice=choice, arm=plan, attempts=(attempt,))
        yield made, float(rng.random() < (1.1 - TRUTH[plan] if odd else TRUTH[plan]))


class School:
    def __init__(self, wanted: Config) -> None:
        self.brain = LearnerStateFactory(wanted, catalog_of(wanted))
        self.records: dict[str, DecisionRecord] = {}
        plans = catalog_of(wanted).plans
        self.trainer = BatchTrainer(self.find, Trainer(plans, RewardSettings(), Observer()))
        width = self.brain.context_map.shape
        self.context = Context(
            np.full(width.clusters, 1 / width.clusters),
            np.zeros(width.axes),
            np.zeros(width.features),
            self.brain.context_map.version,
        )

    async def find(self, names: Sequence[str]) -> list[DecisionRecord | None]:
        return [self.records.get(name) for name in names]

    def taught(self, count: int = 300, odd_from: int = 0, batch: int = 1_000) -> LearnerState:
        learned = self.brain.fresh()
        events: list[tuple[str, Event]] = []
        for made, quality in told(self.context, count, odd_from):
            self.records[made.id] = made
            events += [("0-1", Decided(made)), ("0-1", FeedbackGiven(made.id, quality))]
        for start in range(0, len(events), batch):
            asyncio.run(self.trainer.train(learned, events[start : start + batch]))
        return learned

    def expected(self, policy: Policy) -> dict[str, float]:
        decided = policy.decide(self.context, [Action(n, 0.001) for n in TRUTH], Weights())
        return {name: estimate.quality for name, estimate in decided.estimates.items()}


def own(learned: LearnerState) -> Policy:
    assert learned.own_policies is not None
    return learned.own_policies.policies[ODD]


@pytest.mark.parametrize("challengers", ["{}", "{bold: {draw_width: 1.0}}"])
def test_a_tenants_policy_learns_what_is_true_of_its_tenant(challengers: str) -> None:
    school = School(config(challengers=challengers, share=0.3))
    learned = school.taught()
    shared, alone = school.expected(learned.policy), school.expected(own(learned))
    assert shared["good"] > shared["fair"] + 0.1
    assert alone["fair"] > alone["good"] + 0.2


def test_a_tenants_policy_begins_as_a_copy_of_the_shared_one() -> None:
    school = School(config())
    before = school.expected(school.taught(200, odd_from=200).policy)
    fresh = school.taught(202, odd_from=198)  # one outcome of its own: the plan `good`
    began = school.expected(own(fresh))
    assert began["fair"] == pytest.approx(before["fair"], abs=0.05)
    assert own(fresh).learned > 190


def test_tenants_not_named_have_no_policy() -> None:
    learned = School(config(owners="")).taught(30)
    assert learned.own_policies is None
    assert School(config(owners="other")).taught(30).own_policies.policies == {}  # type: ignore[union-attr]


@pytest.mark.parametrize("challengers", ["{}", "{bold: {draw_width: 1.0}}"])
def test_a_snapshot_holds_tenant_policies_however_events_are_batched(challengers: str) -> None:
    wanted = config(challengers=challengers)
    payload = School(wanted).taught(90).save()
    assert School(wanted).taught(90, batch=7).save() == payload
    school = School(wanted)
    restored = school.brain.restore(payload)
    assert restored.save() == payload
    assert school.expected(own(school.brain.restore_to_serve(payload))) == school.expected(
        own(restored)
    )


def test_a_tenant_no_longer_named_is_served_by_the_shared_policy() -> None:
    payload = School(config()).taught(60).save()
    assert School(config(owners="")).brain.restore(payload).own_policies is None
    other = School(config(owners="other")).brain.restore_to_serve(payload)
    assert other.own_policies is not None
    assert not other.own_policies.policies


def test_a_tenants_policy_chooses_for_its_tenant_only() -> None:
    school = School(config())
    learned = school.taught()
    decider = Decider(school.brain.context_map, school.brain.fresh().policy, Weights())
    decider.swap(school.brain.restore_to_serve(learned.save()), 3)
    plans = tuple(catalog_of(config()).plans.values())
    for tenant, member, best in ((ODD, OWN, "fair"), ("even", BASE, "good")):
        choice = decider.choose(school.context, plans, WeightOverrides(), Bounds(), tenant)
        assert choice is not None
        assert choice.member == member
        assert dict(choice.probabilities)[best] > 0.9
