"""Replays of changing streams, and measures of how soon a policy followed."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bandit.types import Vector
from bench.experiments.drift.changes import ChangingStream, Scenario, changing
from bench.lab.jobs import Job, ReplayFactory, judged
from bench.lab.replay import ANY_WEIGHTS, Replay
from bench.lab.streams import Split, draw
from router.domain.requests import WeightOverrides

WINDOW: Final = 50
WITHIN: Final = 0.05
"""Share of the best arm's reward that an average may lack."""
GIVEN_UP: Final = 0.05
NOTICED: Final = 0.5
FAIR: Final = 0.8
"""Shares of the calls that the arm gets where nothing changes."""
SPARED_OVER: Final = 300


class Served(NamedTuple):
    """The arm that served each request, (n,), and the probability of every arm, (n, k)."""

    arm: NDArray[np.int8]
    share: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Adaptation:
    """Measures of one replay.

    taken: requests until the goal is met, infinite for never; for `spared` the share of calls.

    reward: mean over the stream. lost: summed reward that the best arm had more since the change.
    level: mean reward of that arm since.
    advantage: (n,) reward minus that of the arm that is best in the same part of the stream.
    share: (n,) probability of the arm that changes. start: step of the change that is followed.
    """

    taken: float
    reward: float
    lost: float
    level: float
    start: int
    target: str
    advantage: NDArray[np.float32]
    share: NDArray[np.float32]


def adaptation(
    goal: str, made: ChangingStream, served: Served, cost_weight: float, twin: Vector
) -> Adaptation:
    """Measure a replay; twin: (n,) share of the target without a change, where it is needed."""
    reward = rewards(made, cost_weight)
    got, best = reward[np.arange(len(reward)), served.arm], best_arm_rewards(made, reward)
    since = made.end or made.start
    later, felt = slice(since, None), made.concerned[since:]
    shares = served.share.astype(np.float64)
    share = shares[:, made.target]
    means = reward[later][felt].mean(axis=0)
    return Adaptation(
        taken=taken(goal, shares[later][felt] @ means / means.max(), share[later], twin[later]),
        reward=float(got.mean()),
        lost=float((best - got)[later][felt].sum()),
        level=float(best[later].mean()),
        start=since,
        target=made.stream.data.arms[made.target],
        advantage=(got - best).astype(np.float32),
        share=share.astype(np.float32),
    )


def taken(goal: str, reached: Vector, share: Vector, twin: Vector) -> float:
    """Returns the requests from which on the mean over a window meets the goal.

    All arguments begin with the change. reached: expected reward by the probabilities and each
    arm's mean, as a share of the best arm's: single rewards are far too noisy to tell 5 % over one
    window.
    """
    if goal == "back":
        return first(rolling(reached) >= 1 - WITHIN)
    if goal == "left":
        return first(rolling(share) <= GIVEN_UP)
    if goal in {"found", "fair"}:
        wanted = NOTICED if goal == "found" else FAIR
        return first(rolling(share) >= wanted * rolling(twin))
    return float(share[:SPARED_OVER].mean()) if goal == "spared" else 0.0


def first(met: NDArray[np.bool_]) -> float:
    return float(met.argmax()) if met.any() else math.inf


def rolling(values: Vector) -> Vector:
    """Returns means over the window that begins at each step, (n - WINDOW + 1,)."""
    width = min(WINDOW, len(values))
    means: Vector = np.convolve(values, np.full(width, 1 / width), mode="valid")
    return means


def rewards(made: ChangingStream, cost_weight: float) -> NDArray[np.float64]:
    """Returns rewards of every arm at every step, at the weights of that step, (n, k)."""
    data, rows = made.stream.data, made.rows
    weight = np.full(len(rows), cost_weight)
    weight[made.start :] *= made.weight_factor
    result: NDArray[np.float64] = (
        data.quality[rows] - weight[:, None] * data.cost_usd[rows] / made.stream.unit_usd
    )
    return result


def best_arm_rewards(made: ChangingStream, reward: NDArray[np.float64]) -> Vector:
    """Returns rewards of the arm that is best in the same part of the stream, (n,).

    Where a change is felt on some prompts only, the best arm for those and that for the others.
    """
    best = np.zeros(len(reward))
    for steps, barred in _parts(made):
        for where in (steps & made.concerned, steps & ~made.concerned):
            if where.any():
                means = reward[where].mean(axis=0)
                means[barred] = -np.inf
                best[where] = reward[where, means.argmax()]
    return best


def _parts(made: ChangingStream) -> Iterator[tuple[NDArray[np.bool_], list[int]]]:
    """Yield masks of steps, and the arms that cannot be chosen in them."""
    step = np.arange(len(made.rows))
    end = made.end or len(step)
    yield step < made.start, [made.target] if made.late else []
    yield (step >= made.start) & (step < end), []
    yield step >= end, []


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
    offered = {name: plan for name, plan in plans.items() if not made.late or name != target}
    replay.change(offered, ANY_WEIGHTS)
    first = await replay.run(made.rows[: made.start], told[: made.start], delay)
    weights = WeightOverrides(cost=job.cost_weight * made.weight_factor)
    prior_usd = plans[target].prior_cost_usd * made.price_factor
    dearer = replace(plans[target], prior_cost_usd=prior_usd)
    replay.change({**plans, target: dearer}, weights)
    second = await replay.run(made.rows[made.start :], told[made.start :], delay)
    arm = np.concatenate([first.arm, second.arm])
    return Served(arm, np.concatenate([first.worth, second.worth]))
