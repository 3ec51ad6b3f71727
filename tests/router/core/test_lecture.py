"""What a learner does with plans it has not heard of."""

from __future__ import annotations

from dataclasses import replace

import pytest

from router.core.arms import Plan
from router.core.events import Decided, Event, FeedbackGiven
from router.core.lecture import Lecture
from router.core.observer import NullObserver
from router.core.reward import RewardSettings
from tests.router.core.test_remapped import record

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
def test_a_young_decision_on_an_unknown_plan_waits_with_all_behind_it(
    plan: str, created_ms: int, kept: int
) -> None:
    lecture = Lecture(no_records, PLANS, RewardSettings(), NullObserver(), ignored={"gone"})
    events = [decided("a", 2_000), decided(plan, created_ms), FeedbackGiven("x", 1.0)]
    batch = [(f"0-{index}", event) for index, event in enumerate(events)]
    assert len(lecture.known(batch, 1_000)) == kept
