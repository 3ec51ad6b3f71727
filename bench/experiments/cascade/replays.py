"""Replays of plans with a gate on recorded answers, their calibration and their figures."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit.gates import Gate
from bench.experiments.cascade.plans import PERFECT, SINGLE
from bench.lab.figures import Figures, Outcomes, figures, outcomes
from bench.lab.jobs import Job, ReplayFactory, judged
from bench.lab.provider import Answers, StrictObserver
from bench.lab.recorded import BenchError, Recorded, Rows
from bench.lab.replay import REWARDS, Replay, ReplayRun
from bench.lab.setup import config_of, gates_of, typical_usd
from bench.lab.streams import Split, Stream, draw
from router.config import Config
from router.domain.catalog import Plan
from router.domain.events import Decided, Event, FeedbackGiven
from router.domain.records import Choice, DecisionRecord
from router.gates.agreement import compare
from router.gates.gate_session import MOST_COMPARED_CHARS
from router.gates.signals import traits_of
from router.learning.cross_fit import CrossFitted, GateCrossFit
from router.learning.training import Trainer, join, train_policy

BAD_BELOW: Final = 0.5
"""A served answer of a lower quality counts as bad."""
MEASURES: Final = ("escalated", "asked", "cheap_served", "bad", "audited", "audit_cost")
"""Shares of requests, but for `bad`, of cheap answers served, and `audit_cost`, in reward."""
FRESH_GATES = 10
"""Draws from here on are those of the folds' gates."""
TEXT, SHORT = "text_", "ans_"


@dataclass(frozen=True, slots=True)
class RecordedTrial:
    """Implements `router.learning.cross_fit.PromptTrial`."""

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

    cross_fit = GateCrossFit(made.plans, fresh, observer)
    trials = [RecordedTrial(replay, row, replay.choose(row)) for row in rows.tolist()]
    fitted = await cross_fit.fit(decider.gates, trials)
    # The outcome of a plan depends on the answers its promise permits: that first.
    await cross_fit.fit_promises(decider.promises, fitted)
    for one in fitted:
        await _teach_outcomes(replay, one, observer)
    await replay.settle()


async def _teach_outcomes(
    replay: Replay, one: CrossFitted[RecordedTrial], observer: StrictObserver
) -> None:
    plans = replay.catalog.plans
    for plan in plans.values():
        record = await one.trial.call(plan, one.gates)
        events: list[Event] = [Decided(record), FeedbackGiven("", one.trial.quality(record.arm))]
        found = Trainer(plans, REWARDS, observer).outcomes(join(events, {"": record}))
        # A ladder's first rung was learned alone already.
        whole = [outcome for outcome in found if outcome.action.name == plan.name]
        train_policy(replay.decider.policy, whole, observer)


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


def single_arm(known: Outcomes, arm: int, name: str) -> ReplayRun:
    n = len(known.quality)
    return _unreplayed(name, np.full(n, arm), known.cost_usd[:, arm], np.zeros(n, dtype=bool))


def perfect_gate(known: Outcomes, first: int, strong: int, name: str) -> ReplayRun:
    """Accept the first answer exactly where it is right."""
    right = known.quality[:, first] >= BAD_BELOW
    above_usd = np.where(right, 0.0, known.cost_usd[:, strong])
    arm = np.where(right, first, strong)
    return _unreplayed(name, arm, known.cost_usd[:, first] + above_usd, ~right)


def _unreplayed(
    plan: str,
    arm: NDArray[np.intp],
    cost_usd: NDArray[np.float64],
    escalated: NDArray[np.bool_],
) -> ReplayRun:
    n = len(arm)
    never, nothing = np.zeros(n, dtype=bool), np.zeros(n)
    return ReplayRun(
        plan=(plan,) * n,
        arm=arm.astype(np.int8),
        worth=np.zeros((n, 0), dtype=np.float32),
        cost_usd=cost_usd,
        audit_usd=nothing,
        escalated=escalated,
        asked=never,
        audited=never,
        us=(0.0,) * 4,
    )


def cascade_figures(
    known: Outcomes, run: ReplayRun, gated: Collection[str], rate: float
) -> Figures:
    """Audits are charged; gated: plans with a gate; rate: reward lost per USD."""
    n, cost_usd = len(run.plan), run.cost_usd + run.audit_usd
    quality = known.quality[np.arange(n), run.arm]
    kept = np.array([name in gated for name in run.plan]) & ~run.escalated
    cheap = quality[kept]
    measures = (
        float(run.escalated.mean()),
        float(run.asked.mean()),
        float(kept.mean()),
        float((cheap < BAD_BELOW).mean()) if len(cheap) else None,
        float(run.audited.mean()),
        rate * float(run.audit_usd.mean()),
    )
    return figures(
        known,
        Outcomes(quality, cost_usd, quality - rate * cost_usd),
        {name: run.plan.count(name) / n for name in dict.fromkeys(run.plan)},
        run.us,
        dict(zip(MEASURES, measures, strict=True)),
    )


def answers_of(data: Recorded, name: str) -> Answers:
    """Returns the answers of every arm; raises BenchError where the file `name` has none."""
    return {arm: _texts(data, arm, name) for arm in data.arms}


def _texts(data: Recorded, arm: str, name: str) -> tuple[str, ...]:
    there = [p + arm for p in (TEXT, SHORT) if p + arm in data.columns.column_names]
    if not there:
        raise BenchError(
            f"{name} has no column {TEXT}{arm} or {SHORT}{arm}; choose arms whose answers were "
            "recorded, or --no-answers to replay outcomes alone"
        )
    columns = [data.columns.column(column).to_pylist() for column in there]
    odd = next((v for c in columns for v in c if v is not None and not isinstance(v, str)), None)
    if odd is not None:
        raise BenchError(f"{name} has answers of {arm} that are no text; write them as strings")
    return tuple(next((text for text in row if text), "") for row in zip(*columns, strict=True))


def open_texts(data: Recorded, answers: Answers, pairs: Sequence[tuple[str, str]]) -> list[str]:
    """Returns the texts that gates compare by their embeddings, cut as the service cuts them."""
    found: dict[str, None] = {}
    for one, other in pairs:
        rows = zip(data.prompts, answers[one], answers[other], strict=True)
        for prompt, first, second in rows:
            told = first.strip() and second.strip()
            if told and compare(first, second, traits_of(prompt).asked) is None:
                found |= dict.fromkeys(text[:MOST_COMPARED_CHARS] for text in (first, second))
    return list(found)
