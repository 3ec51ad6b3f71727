"""What a learner does with plans it has not heard of."""

from __future__ import annotations

from dataclasses import replace

import pytest

from router.domain.catalog import Plan
from router.domain.events import Decided, Event, FeedbackGiven
from router.learning.rewards import RewardSettings
from router.learning.training import BatchTrainer, Trainer
from router.ports.observer import NullObserver
from tests.router.learning.test_upgrades import record

PLANS = {"a": Plan("a", ("a",), 1.0)}


def decided(plan: str, created_ms: int) -> Event:
    made = record("x")
    assert made.choice is not None
    return Decided(replace(made, created_ms=created_ms, choice=replace(made.choice, plan=plan)))


async def no_records(_: object) -> list[None]:
    return []


@pytest.mark.parametrize(
    ("plan", "created_ms", "kept"),
    [("a", 2_000, 3), ("new", 2_000, 1), ("new", 500, 3), ("gone", 2_000, 3)],
)
def test_a_young_decision_on_an_unknown_plan_ends_the_known_prefix(
    plan: str, created_ms: int, kept: int
) -> None:
    trainer = BatchTrainer(
        no_records, Trainer(PLANS, RewardSettings(), NullObserver()), ignored={"gone"}
    )
    events = [decided("a", 2_000), decided(plan, created_ms), FeedbackGiven("x", 1.0)]
    batch = [(f"0-{index}", event) for index, event in enumerate(events)]
    assert len(trainer.known_prefix(batch, 1_000)) == kept
