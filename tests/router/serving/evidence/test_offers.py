"""The worth of evidence is read off what the policy knows of plans, whatever their names."""

from __future__ import annotations

import numpy as np

from bandit import Action, Context, ContextShape, Outcome, PolicySettings, Units, Weights
from bandit.registry import make_policy
from bandit.types import SeesChanges
from router.domain.catalog import Arm, Catalog, Deployment, Plan, Price
from router.learning.evidence import EvidenceLedger, KnownPrompt
from router.learning.learner_state import LearnerState
from router.serving.evidence.outlook import typical_offer
from router.serving.evidence.purchase import terms_of
from router.serving.evidence.settings import EvidenceSettings

SHAPE = ContextShape(clusters=4, axes=2, features=3)
PLAIN = Context(np.full(4, 0.25), np.zeros(2), np.zeros(3), "v1")
ROUNDS = 900
SETTINGS = EvidenceSettings(budget_usd_per_day=1.0, source="verifier")


def arm(name: str, usd: float) -> Arm:
    deployment = Deployment(f"{name}-1", "openai", "http://h", name, Price(usd, usd))
    return Arm(name, (deployment,), prior_cost_usd=usd / 1_000)


def catalog(dear_plan: str) -> Catalog:
    arms = {"cheap": arm("cheap", 0.1), "dear": arm("dear", 0.11)}
    plans = {"quick": Plan("quick", ("cheap",), 0.0001)}
    plans[dear_plan] = Plan(dear_plan, ("dear",), 0.00011)
    return Catalog(arms, plans)


def learned(dear_plan: str, falls_at: int) -> LearnerState:
    """Return a state whose policy has seen the dear arm fall from right to wrong, if ever."""
    settings = PolicySettings(units=Units(0.02), shape=SHAPE, vw=frozenset())
    policy = make_policy("adaptive", settings, "v1", np.random.default_rng(0))
    for number in range(ROUNDS):
        for name in ("quick", dear_plan):
            quality = 0.0 if name == dear_plan and number >= falls_at else 1.0
            policy.learn(
                [Outcome(Action(name, 0.0001), PLAIN, quality=quality, made_ms=number + 1.0)]
            )
    assert isinstance(policy, SeesChanges)
    assert (policy.changed_ms(dear_plan) > 500.0) is (falls_at < ROUNDS)
    ledger = EvidenceLedger()
    known = KnownPrompt({"cheap": 1.0, "dear": 1.0}, (0.25, 0.25, 0.25, 0.25))
    terms = {name: terms_of(each) for name, each in catalog(dear_plan).arms.items()}
    ledger.calibrate([known] * 400, terms, 0.0, 500.0)
    return LearnerState(policy, evidence=ledger)


def share(dear_plan: str, falls_at: int = 600) -> float:
    found = typical_offer(
        catalog(dear_plan), learned(dear_plan, falls_at), SETTINGS, Weights(cost=0.1), Units(0.02)
    )
    return found.share


def test_an_arm_that_changed_is_asked_again_whatever_its_plan_is_called() -> None:
    assert share("thorough", ROUNDS) < 0.5
    assert share("dear") == share("thorough") == 1.0
