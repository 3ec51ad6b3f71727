"""Replays of changing streams under one policy."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from bandit.types import Vector
from bench.experiments.drift.adaptation import Adaptation, Served, adaptation
from bench.experiments.drift.changes import ChangingStream, Scenario, changing
from bench.lab.jobs import Job, ReplayFactory, judged
from bench.lab.replay import ANY_WEIGHTS, Replay
from bench.lab.streams import Split, draw
from router.domain.catalog import Plan
from router.domain.requests import WeightOverrides


@dataclass(frozen=True, slots=True)
class Feedback:
    """delay: requests until an outcome is learned. share: of requests that get feedback at all."""

    name: str
    delay: int = 0
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class DriftJob(Job):
    scenario: Scenario
    feedback: Feedback

    @property
    def panel(self) -> tuple[str, str, str]:
        """Runs of one panel differ in policy and seed only."""
        return self.stream, self.scenario.name, self.feedback.name


class DriftReplays(ReplayFactory):
    """Runs one job after the other."""

    def run(self, job: DriftJob) -> Adaptation:
        given, vectors = self.material.streams[job.stream], self.material.embeddings[job.stream]
        split, goal = draw(given, job.seed), job.scenario.goal
        made = changing(
            job.scenario, given, split, vectors, cost_weight=job.cost_weight, seed=job.seed
        )
        twin: Vector = np.zeros(0)
        if goal in {"found", "fair"}:
            calm = replace(made, stream=given, late=False)
            twin = self._served(job, calm, split).share[:, made.target].astype(np.float64)
        return adaptation(goal, made, self._served(job, made, split), job.cost_weight, twin)

    def _served(self, job: DriftJob, made: ChangingStream, split: Split) -> Served:
        replay = self.build(job, split, made.stream, by_choice=True)
        return asyncio.run(_through(replay, made, split, job))


async def _through(replay: Replay, made: ChangingStream, split: Split, job: DriftJob) -> Served:
    """Serve up to the change, and on with what is known of it."""
    told, delay = judged(split, job.seed, job.feedback.share), job.feedback.delay
    plans, target = replay.catalog.plans, made.stream.data.arms[made.target]
    replay.change(_without(plans, target) if made.late else plans, ANY_WEIGHTS)
    first = await replay.run(made.rows[: made.start], told[: made.start], delay)
    weights = WeightOverrides(cost=job.cost_weight * made.weight_factor)
    replay.change(_repriced(plans, target, made.price_factor), weights)
    second = await replay.run(made.rows[made.start :], told[made.start :], delay)
    arm = np.concatenate([first.arm, second.arm])
    return Served(arm, np.concatenate([first.worth, second.worth]))


def _without(plans: Mapping[str, Plan], name: str) -> dict[str, Plan]:
    return {plan.name: plan for plan in plans.values() if plan.name != name}


def _repriced(plans: Mapping[str, Plan], name: str, factor: float) -> dict[str, Plan]:
    dearer = replace(plans[name], prior_cost_usd=plans[name].prior_cost_usd * factor)
    return {**plans, name: dearer}
