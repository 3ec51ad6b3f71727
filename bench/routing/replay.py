"""One policy on one stream: decide, call, learn, with the service's own classes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bandit.types import Context
from bench.routing.provider import RecordedProvider, ReplayClock, StrictObserver, chat_of
from bench.routing.recorded import Rows
from bench.routing.streams import Stream
from router.domain.catalog import Catalog, Plan
from router.domain.chat import ChatRequest
from router.domain.eligibility import Requirements
from router.domain.events import Decided, Event, FeedbackGiven
from router.domain.records import Choice, DecisionRecord, Mode
from router.domain.requests import WeightOverrides
from router.gates.format_checks import FormatCheckSettings
from router.learning.rewards import RewardSettings
from router.learning.training import Trainer, join
from router.ports.state import Health
from router.runtime.background import Background
from router.serving.attempts import DeploymentCaller, PlanRun
from router.serving.cascade import Cascade, CascadeSettings
from router.serving.decider import Bounds, Decider
from router.tools.plan_runner import HealthyBoard

DRAIN_EVERY = 64
ANY_WEIGHTS, ANY_COST = WeightOverrides(), Bounds()


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of a run.

    chosen: (n,) index of the arm. worth: (n, k) what each arm was held worth before the choice, 0
    for one that could not be chosen.
    us: mean microseconds of a decision, of the call through the cascade, of learning its outcome.
    """

    chosen: NDArray[np.int8]
    worth: NDArray[np.float32]
    us: tuple[float, float, float]


class Replay:
    """embeddings: (n, d), a row per recorded prompt. contexts: filled in as they are built.

    by_choice: an arm's worth is its probability; otherwise its estimated quality. log: every event
    that was learned.
    """

    def __init__(
        self,
        stream: Stream,
        embeddings: NDArray[np.float32],
        contexts: dict[int, Context],
        catalog: Catalog,
        decider: Decider,
        *,
        by_choice: bool = False,
    ) -> None:
        self._by_choice = by_choice
        self._data = stream.data
        self._embeddings = embeddings
        self._contexts = contexts
        self._plans = catalog.plans
        self._model_of = catalog.model_of
        self._decider = decider
        self._observer = StrictObserver()
        self._background = Background(self._observer)
        self._cascade = self._built(catalog)
        self._health = dict.fromkeys(catalog.names(), Health.CLOSED)
        self._spent_ns = np.zeros(3)
        self._overrides = ANY_WEIGHTS
        self._waiting: deque[tuple[DecisionRecord, list[Event]]] = deque()
        self.log: list[Event] = []

    def change(self, plans: Mapping[str, Plan], overrides: WeightOverrides) -> None:
        """From the next request on. plans: those that may be chosen, with their price priors."""
        self._plans, self._overrides = dict(plans), overrides

    async def run(self, rows: Rows, judged: NDArray[np.bool_], delay: int) -> Ran:
        """judged: (n,), on which requests feedback is given. delay: requests until it arrives.

        What has not arrived at the end does so while the next rows are run.
        """
        columns = {arm: column for column, arm in enumerate(self._data.arms)}
        chosen = np.zeros(len(rows), dtype=np.int8)
        worth = np.zeros((len(rows), len(columns)), dtype=np.float32)
        for step, row in enumerate(rows.tolist()):
            choice = self._choose(row)
            chosen[step] = columns[choice.plan]
            known = self._worth(choice)
            worth[step] = [known.get(arm, 0.0) for arm in columns]
            record = await self._call(str(step), row, choice)
            self._waiting.append((record, self._events(record, row, judged=bool(judged[step]))))
            if len(self._waiting) > delay:
                self._learn(*self._waiting.popleft())
            if step % DRAIN_EVERY == 0:
                await self._background.drain()
        await self._background.drain()
        decide_us, call_us, learn_us = (self._spent_ns / len(rows) / 1_000).tolist()
        return Ran(chosen, worth, (decide_us, call_us, learn_us))

    def _worth(self, choice: Choice) -> dict[str, float]:
        if self._by_choice:
            return dict(choice.probabilities)
        return {name: quality for name, quality, *_ in choice.expected}

    async def calibrate(self, rows: Rows) -> None:
        """Every arm's outcome on prompts outside the stream, one after the other."""
        for row in rows.tolist():
            for plan in self._plans:
                choice = replace(self._choose(row), plan=plan, propensity=1.0)
                record = await self._call("", row, choice)
                self._learn(record, self._events(record, row, judged=True))
            await self._background.drain()
        self._spent_ns[:] = 0

    def _choose(self, row: int) -> Choice:
        context = self._context(row)
        began_ns = time.perf_counter_ns()
        choice = self._decider.choose(
            context, tuple(self._plans.values()), self._overrides, ANY_COST
        )
        self._spent_ns[0] += time.perf_counter_ns() - began_ns
        assert choice is not None  # noqa: S101 - there is no cost limit to exceed
        return choice

    async def _call(self, decision_id: str, row: int, choice: Choice) -> DecisionRecord:
        began_ns = time.perf_counter_ns()
        chat, rungs = self._chat(row), self._plans[choice.plan].rungs
        run = PlanRun(chat, Requirements.of(chat), rungs, health=self._health)
        async for _ in self._cascade.run(run):
            pass
        record = DecisionRecord(
            id=decision_id,
            tenant="replay",
            created_ms=0,
            mode=Mode.COMPLETE,
            choice=choice,
            attempts=tuple(run.attempts),
            arm=run.arm,
            deployment=run.deployment,
            model=self._model_of(run.deployment),
        )
        self._spent_ns[1] += time.perf_counter_ns() - began_ns
        return record

    def _events(self, record: DecisionRecord, row: int, *, judged: bool) -> list[Event]:
        """Nothing but the chosen arm's outcome is looked at."""
        if not judged:
            return [Decided(record)]
        quality = float(self._data.quality[row, self._data.arms.index(record.arm)])
        return [Decided(record), FeedbackGiven(record.id, quality)]

    def _learn(self, record: DecisionRecord, events: list[Event]) -> None:
        self.log += events
        began_ns = time.perf_counter_ns()
        trainer = Trainer(self._plans, RewardSettings(), self._observer)
        trainer.train(self._decider, join(events, {record.id: record}))
        self._spent_ns[2] += time.perf_counter_ns() - began_ns

    def _context(self, row: int) -> Context:
        if row not in self._contexts:
            made = self._decider.context(self._chat(row), self._embeddings[row])
            self._contexts[row] = made
        return self._contexts[row]

    def _chat(self, row: int) -> ChatRequest:
        return chat_of(self._data.prompts[row], row)

    def _built(self, catalog: Catalog) -> Cascade:
        clock = ReplayClock()
        provider = RecordedProvider(self._data.arms, self._data.cost_usd, clock)
        caller = DeploymentCaller(
            providers={"openai": provider},
            health=HealthyBoard(),
            background=self._background,
            observer=self._observer,
            clock=clock,
            gate=FormatCheckSettings(),
        )
        return Cascade(catalog=catalog, caller=caller, clock=clock, settings=CascadeSettings())
