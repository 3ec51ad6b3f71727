"""One variant on one stream: decide, call, step, learn, with the service's own classes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandit.gates import Gate
from bandit.types import Context
from bench.cascade.answers import Answers
from bench.cascade.audits import Auditor
from bench.cascade.provider import AnsweringProvider, KnownTexts, Vectors
from bench.cascade.steps import TimedGate
from bench.routing.provider import RecordedProvider, ReplayClock, StrictObserver, chat_of
from bench.routing.recorded import Recorded, Rows
from router.domain.catalog import Catalog
from router.domain.chat import ChatRequest
from router.domain.eligibility import Requirements
from router.domain.events import Decided, Event, FeedbackGiven
from router.domain.records import Choice, DecisionRecord, Mode
from router.domain.requests import WeightOverrides
from router.gates.format_checks import FormatCheckSettings
from router.gates.gate_session import GateSession, GateSessions
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
REWARDS = RewardSettings()


@dataclass(frozen=True, slots=True)
class Scene:
    """What was recorded. embeddings: of the prompts, a row each. texts: of open answers.

    contexts: by row, filled in as they are built.
    """

    data: Recorded
    answers: Answers
    embeddings: NDArray[np.float32]
    texts: Vectors
    contexts: dict[int, Context]


@dataclass(frozen=True, slots=True)
class Ran:
    """A line per request, each (n,). plan: index in the catalog; arm: of the one that served.

    cost_usd: without audits, audit_usd: these alone. climbed: the plan's last rung answered,
    and is not its only one. asked: a second opinion was called for.
    us: mean microseconds of a decision, of the call through the cascade, of learning; and of one
    choice of a gate.
    """

    plan: NDArray[np.int8]
    arm: NDArray[np.int8]
    cost_usd: NDArray[np.float64]
    audit_usd: NDArray[np.float64]
    climbed: NDArray[np.bool_]
    asked: NDArray[np.bool_]
    audited: NDArray[np.bool_]
    us: tuple[float, float, float, float]


class Replay:
    """auditor: what is checked off the caller's path; None for nothing."""

    def __init__(
        self,
        scene: Scene,
        made: Catalog,
        decider: Decider,
        auditor: Auditor | None = None,
    ) -> None:
        self._scene = scene
        self._arms = scene.data.arms
        self._plans = made.plans
        self._model_of = made.model_of
        self._decider = decider
        self._auditor = auditor
        self._observer = StrictObserver()
        self._background = Background(self._observer)
        self._cascade = self._built(made)
        texts = KnownTexts(scene.texts)
        self._gate_sessions = GateSessions(catalog=made, embed=texts.embed, observer=self._observer)
        self._health = dict.fromkeys(made.names(), Health.CLOSED)
        self._spent_ns = np.zeros(3)

    async def run(self, rows: Rows, judged: NDArray[np.bool_], delay: int = 0) -> Ran:
        """judged: (n,), on which requests feedback is given. delay: requests until it arrives."""
        timed = {plan: TimedGate(gate) for plan, gate in self._decider.gates.items()}
        self._decider.gates = timed
        self._spent_ns[:] = 0
        records: list[DecisionRecord] = []
        audit_usd = np.full(len(rows), np.nan)
        waiting: deque[tuple[DecisionRecord, list[Event]]] = deque()
        for step, row in enumerate(rows.tolist()):
            record, gate_session = await self.call(
                str(step), row, self.choose(row), self._decider.gates
            )
            events = self._events(record, row, judged=bool(judged[step]))
            if self._auditor and (check := self._auditor.check(record.id, row, gate_session)):
                events += [check.told] if check.told else []
                audit_usd[step] = check.cost_usd
            records.append(record)
            waiting.append((record, events))
            if len(waiting) > delay:
                self._learn(*waiting.popleft())
            if step % DRAIN_EVERY == 0:
                await self._background.drain()
        await self._background.drain()
        return self._ran(records, audit_usd, list(timed.values()))

    def choose(self, row: int) -> Choice:
        context = self.context(row)
        began_ns = time.perf_counter_ns()
        choice = self._decider.choose(context, tuple(self._plans.values()), ANY_WEIGHTS, ANY_COST)
        self._spent_ns[0] += time.perf_counter_ns() - began_ns
        assert choice is not None  # noqa: S101 - there is no cost limit to exceed
        return choice

    async def call(
        self, decision_id: str, row: int, choice: Choice, gates: Mapping[str, Gate]
    ) -> tuple[DecisionRecord, GateSession | None]:
        """Through the cascade, with `gates` of the plans that have one."""
        began_ns = time.perf_counter_ns()
        chat, plan = self._chat(row), self._plans[choice.plan]
        run = PlanRun(
            chat,
            Requirements.of(chat),
            plan.rungs,
            health=self._health,
            gate_session=self._gate_sessions.open(
                chat,
                plan,
                gates,
                self.context(row),
                self._decider.weights,
                promises=self._decider.promises,
            ),
        )
        async for _ in self._cascade.run(run):
            pass
        self._spent_ns[1] += time.perf_counter_ns() - began_ns
        return self._record(decision_id, choice, run), run.gate_session

    def _record(self, decision_id: str, choice: Choice, run: PlanRun) -> DecisionRecord:
        return DecisionRecord(
            id=decision_id,
            tenant="replay",
            created_ms=0,
            mode=Mode.COMPLETE,
            choice=choice,
            attempts=tuple(run.attempts),
            arm=run.arm,
            deployment=run.deployment,
            model=self._model_of(run.deployment),
            judged=run.gate_session.judged if run.gate_session else None,
        )

    def quality(self, row: int, arm: str) -> float:
        return float(self._scene.data.quality[row, self._arms.index(arm)])

    def _events(self, record: DecisionRecord, row: int, *, judged: bool) -> list[Event]:
        """Nothing but the served answer's quality is looked at."""
        if not judged:
            return [Decided(record)]
        return [Decided(record), FeedbackGiven(record.id, self.quality(row, record.arm))]

    def _learn(self, record: DecisionRecord, events: list[Event]) -> None:
        if self._auditor and any(isinstance(event, FeedbackGiven) for event in events):
            self._auditor.telling.count_feedback("")
        began_ns = time.perf_counter_ns()
        trainer = Trainer(self._plans, REWARDS, self._observer)
        trainer.train(self._decider, join(events, {record.id: record}))
        self._spent_ns[2] += time.perf_counter_ns() - began_ns

    async def settle(self) -> None:
        await self._background.drain()

    def context(self, row: int) -> Context:
        contexts = self._scene.contexts
        if row not in contexts:
            contexts[row] = self._decider.context(self._chat(row), self._scene.embeddings[row])
        return contexts[row]

    def _chat(self, row: int) -> ChatRequest:
        return chat_of(self._scene.data.prompts[row], row)

    def _ran(
        self,
        records: list[DecisionRecord],
        audit_usd: NDArray[np.float64],
        timed: list[TimedGate],
    ) -> Ran:
        names = {plan: i for i, plan in enumerate(self._plans)}
        chosen = [r.choice.plan if r.choice else "" for r in records]
        each_us = (self._spent_ns / len(records) / 1_000).tolist()
        pairs = [(r, self._plans[plan]) for r, plan in zip(records, chosen, strict=True)]
        choices = sum(gate.choices for gate in timed)
        gate_us = sum(gate.spent_ns for gate in timed) / max(1, choices) / 1_000
        return Ran(
            plan=np.array([names[plan] for plan in chosen], dtype=np.int8),
            arm=np.array([self._arms.index(r.arm) for r in records], dtype=np.int8),
            cost_usd=np.array([r.cost_usd for r in records]),
            audit_usd=np.nan_to_num(audit_usd),
            climbed=np.array([len(p.rungs) > 1 and _called(r, p.rungs[-1]) for r, p in pairs]),
            asked=np.array([bool(p.second) and _called(r, p.second) for r, p in pairs]),
            audited=np.isfinite(audit_usd),
            us=(*each_us, gate_us),
        )

    def _built(self, made: Catalog) -> Cascade:
        clock, scene = ReplayClock(), self._scene
        outcomes = RecordedProvider(self._arms, scene.data.cost_usd, clock)
        caller = DeploymentCaller(
            providers={"openai": AnsweringProvider(outcomes, scene.answers)},
            health=HealthyBoard(),
            background=self._background,
            observer=self._observer,
            clock=clock,
            gate=FormatCheckSettings(),
        )
        return Cascade(catalog=made, caller=caller, clock=clock, settings=CascadeSettings())


def _called(record: DecisionRecord, arm: str) -> bool:
    return any(a.arm == arm for a in record.attempts)
