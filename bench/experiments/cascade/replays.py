"""Replays of plans with a gate, calibrated by the answers of single arms on held-out prompts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace

from bandit.gates import Gate
from bench.experiments.cascade.figures import cascade_figures, perfect_gate, single_arm
from bench.experiments.cascade.plans import PERFECT, SINGLE
from bench.lab.figures import Figures, Outcomes, outcomes
from bench.lab.jobs import Job, ReplayFactory, judged
from bench.lab.provider import StrictObserver
from bench.lab.recorded import Rows
from bench.lab.replay import REWARDS, Replay, ReplayRun
from bench.lab.setup import config_of, gates_of, typical_usd
from bench.lab.streams import Split, Stream, draw
from router.config import Config
from router.domain.catalog import Plan
from router.domain.events import Decided, Event, FeedbackGiven
from router.domain.records import Choice, DecisionRecord
from router.learning.cross_fit import School, Schooled
from router.learning.training import joined, teach

FRESH_GATES = 10
"""Draws from here on are those of the folds' gates."""


@dataclass(frozen=True, slots=True)
class RecordedTrial:
    """Implements `router.learning.cross_fit.Trial`."""

    replay: Replay
    row: int
    choice: Choice

    def knows(self, plan: Plan) -> bool:
        _ = plan
        return True

    async def call(self, plan: Plan, gates: Mapping[str, Gate]) -> DecisionRecord:
        choice = replace(self.choice, propensity=1.0, plan=plan.name)
        record, _ = await self.replay.call("", self.row, choice, gates)
        return record

    def quality(self, arm: str) -> float:
        return self.replay.quality(self.row, arm)


async def calibrate(replay: Replay, rows: Rows, config: Config, seed: int) -> None:
    """Teach policy and gates the outcome of every plan on `rows`."""
    made, decider, observer = replay.catalog, replay.decider, StrictObserver()

    def fresh(number: int) -> dict[str, Gate]:
        return gates_of(config, made, decider.context_map, [seed, FRESH_GATES + number])

    school = School(made.plans, fresh, observer)
    trials = [RecordedTrial(replay, row, replay.choose(row)) for row in rows.tolist()]
    schooled = await school.teach(decider.gates, trials)
    # The outcome of a plan depends on the answers its promise permits: that first.
    await school.promise(decider.promises, schooled)
    for one in schooled:
        await _teach_outcomes(replay, one, observer)
    await replay.settle()


async def _teach_outcomes(
    replay: Replay, one: Schooled[RecordedTrial], observer: StrictObserver
) -> None:
    plans = replay.catalog.plans
    for plan in plans.values():
        record = await one.trial.call(plan, one.gates)
        events: list[Event] = [Decided(record), FeedbackGiven("", one.trial.quality(record.arm))]
        found = joined(events, {"": record}, plans, REWARDS)
        # A ladder's first rung was learned alone already.
        whole = [outcome for outcome in found if outcome.action.name == plan.name]
        teach(replay.decider.policy, whole, observer)


class CascadeReplays(ReplayFactory):
    """Runs one job after the other."""

    def run(self, job: Job) -> Figures:
        stream, variant = self.material.streams[job.stream], job.variant
        split = draw(stream, job.seed, self.material.terms.calibrate)
        known = outcomes(stream, split.rows, job.cost_weight)
        run = _without_replay(job, stream, known) or asyncio.run(self._replayed(job, split))
        names = {plan.name for plan in variant.plans}
        gated = {variant.name} if variant.policy == PERFECT else names
        return cascade_figures(known, run, gated, job.cost_weight / stream.unit_usd)

    async def _replayed(self, job: Job, split: Split) -> ReplayRun:
        terms, replay = self.material.terms, self.build(job, split)
        if terms.calibrate:
            stream = self.material.streams[job.stream]
            usd = list(typical_usd(stream, split).values())
            config = config_of(stream, job.variant, job.cost_weight, usd)
            await calibrate(replay, split.held_out[: terms.calibrate], config, job.seed)
        told = judged(split, job.seed, terms.feedback_share)
        return await replay.run(split.rows, told, terms.delay)


def _without_replay(job: Job, stream: Stream, known: Outcomes) -> ReplayRun | None:
    """Returns the run of a single arm or a perfect gate, None for a policy."""
    variant, arms = job.variant, stream.data.arms
    if variant.policy == SINGLE:
        return single_arm(known, arms.index(variant.name), variant.name)
    if variant.policy == PERFECT:
        first, strong = variant.plans[0].first, variant.plans[0].strong
        return perfect_gate(known, arms.index(first), arms.index(strong), variant.name)
    return None
