"""Upgrades of decisions made under earlier maps."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bandit import ContextMap
from bandit.context.remap import Remap, bridge_from
from bandit.types import Action, PromptFacts
from router.domain.catalog import Plan
from router.domain.events import Decided, Event, FeedbackGiven
from router.domain.logged_context import action_of, log_context
from router.domain.records import Choice, DecisionRecord, Mode, WeightSet
from router.learning.upgrades import Upgrade, UpgradedEvents, moved_record

OLD = ContextMap.default()
ROWS = np.random.default_rng(0).normal(size=(50, 384)).astype(np.float32)
ROWS /= np.linalg.norm(ROWS, axis=1)[:, None]
ARRAYS = ("centroids", "centre", "axes", "feature_means", "feature_scales")
NEW = ContextMap.of({name: getattr(OLD, name) * np.float32(0.75) for name in ARRAYS})
REMAP = Remap(NEW, {OLD.version: bridge_from(OLD, ROWS)})
CONTEXT = log_context(OLD.build(ROWS[0], PromptFacts("What is it?")))


def record(name: str, version: str = OLD.version) -> DecisionRecord:
    context = replace(CONTEXT, version=version)
    weights = WeightSet(1.0, 0.1, 0.0, 0.5)
    choice = Choice("cheap", 1.0, False, (("cheap", 1.0),), "adaptive", 1, weights, context)  # noqa: FBT003 - explored
    return DecisionRecord(name, "t", 1, Mode.COMPLETE, choice=choice)


@dataclass
class ListEvents:
    """A `router.ports.learning_log.EventLog` over lists."""

    events: Sequence[tuple[str, Event]]
    kept: dict[str, DecisionRecord]
    trimmed: str = ""

    async def read(self, after: str, max_events: int, wait_ms: int) -> Sequence[tuple[str, Event]]:
        _ = after, wait_ms
        return self.events[:max_events]

    async def records(self, decision_ids: Sequence[str]) -> Sequence[DecisionRecord | None]:
        return [self.kept.get(name) for name in decision_ids]

    async def marks(self, positions: Sequence[str]) -> Sequence[str]:
        return [f"e:{position}" for position in positions]

    async def renew(self, position: str, fence: int) -> bool:
        return bool(position and fence)

    async def end(self) -> str | None:
        return self.events[-1][0] if self.events else None

    async def trim(self, position: str) -> None:
        self.trimmed = position

    async def backlog(self, after: str) -> int:
        return len(after)


def test_upgraded_events_move_decisions_and_records() -> None:
    told = FeedbackGiven("a", 1.0)
    inner = ListEvents([("0-1", Decided(record("a"))), ("0-2", told)], {"a": record("a")})
    log = UpgradedEvents(inner, Upgrade(REMAP, {}))

    async def read() -> tuple[list[tuple[str, Event]], Sequence[DecisionRecord | None]]:
        await log.trim("0-1")
        return list(await log.read("0", 9, 0)), await log.records(["a", "gone"])

    events, (kept, gone) = asyncio.run(read())
    assert [position for position, _ in events] == ["0-1", "0-2"]
    assert isinstance(events[0][1], Decided)
    for moved in (events[0][1].record, kept):
        assert moved is not None
        assert moved.choice is not None
        assert moved.choice.context.version == NEW.version
        assert moved.id == "a"
    assert events[1][1] is told
    assert gone is None
    assert inner.trimmed == "0-1"
    assert asyncio.run(log.backlog("12345")) == 5
    assert asyncio.run(log.end()) == "0-2"


def test_decisions_of_an_unknown_map_stay_as_they_are() -> None:
    strange = record("a", "unknown")
    log = UpgradedEvents(ListEvents([("0-1", Decided(strange))], {}), Upgrade(REMAP, {}))
    assert asyncio.run(log.read("0", 9, 0)) == [("0-1", Decided(strange))]
    assert moved_record(strange, REMAP) is None
    assert moved_record(replace(strange, choice=None), REMAP) is None


def test_decisions_of_the_map_in_use_stay_as_they_are() -> None:
    mine = record("a", NEW.version)
    assert moved_record(mine, REMAP) is mine


def test_a_renamed_plan_keeps_the_price_of_its_request() -> None:
    old = record("a")
    assert old.choice is not None
    priced = replace(old, choice=replace(old.choice, prices=(("cheap", 0.02, 0.01, 0.005),)))
    renamed = Upgrade(REMAP, {"cheap": "small"}).record(priced).choice
    assert renamed is not None
    assert action_of(Plan("small", ("small",), 0.001), renamed.prices) == Action(
        "small", 0.02, 0.01, 0.005
    )
