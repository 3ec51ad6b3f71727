"""One variant on one stream: decide, call, judge, learn, with the service's own classes."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

from bandit.gates import Gate
from bandit.types import Context, Outcome
from bench.lab.buying import ReplayBuyer
from bench.lab.provider import (
    Answers,
    RecordedProvider,
    ReplayAuditor,
    ReplayClock,
    StageTimer,
    StrictObserver,
    TimedGate,
    chat_of,
)
from bench.lab.recorded import Recorded, Rows
from bench.lab.setup import Texts, is_heuristic
from router.domain.catalog import Catalog, Plan
from router.domain.chat import ChatRequest
from router.domain.events import Decided, Event, FeedbackGiven
from router.domain.records import Choice, DecisionRecord
from router.domain.requests import WeightOverrides
from router.gates.gate_session import GateSession
from router.learning.rewards import RewardSettings
from router.learning.training import (
    Trainer,
    join,
    train_policy,
)
from router.serving.decider import Bounds, Decider
from router.tools.plan_runner import PlanRunner

DRAIN_EVERY: Final = 64
ANY_WEIGHTS, ANY_COST = WeightOverrides(), Bounds()
REWARDS: Final = RewardSettings()


@dataclass(frozen=True, slots=True)
class ReplayData:
    """Everything recorded that a replay may look at.

    embeddings: of the prompts, a row each. contexts: by row, filled in as they are built. texts:
    embeddings of open answers.
    """

    recorded: Recorded
    embeddings: NDArray[np.float32]
    contexts: dict[int, Context] = field(default_factory=dict)
    answers: Answers = field(default_factory=dict)
    texts: Texts = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReplayRun:
    """Everything done on n requests, in their order.

    plan: (n,) names. arm: (n,) index of the one that served. worth: (n, k) of each arm before the
    choice, 0 for one that could not be chosen. cost_usd, audit_usd, evidence_usd: (n,), audits and
    evidence apart. escalated,
    asked, audited: (n,) masks; a plan of one rung never escalates. us: mean microseconds of a
    decision, the call through the cascade, learning, and one choice of a gate.
    """

    plan: tuple[str, ...]
    arm: NDArray[np.int8]
    worth: NDArray[np.float32]
    cost_usd: NDArray[np.float64]
    audit_usd: NDArray[np.float64]
    escalated: NDArray[np.bool_]
    asked: NDArray[np.bool_]
    audited: NDArray[np.bool_]
    us: tuple[float, ...]
    evidence_usd: NDArray[np.float64] | float = 0.0


class Replay:
    """by_choice: an arm's worth is its probability, not its estimate. log: all learned events."""

    def __init__(
        self,
        data: ReplayData,
        catalog: Catalog,
        decider: Decider,
        *,
        by_choice: bool | None = None,
        auditor: ReplayAuditor | None = None,
        buyer: ReplayBuyer | None = None,
    ) -> None:
        self.catalog = catalog
        self.decider = decider
        self.log: list[Event] = []
        self._data = data
        self._arms = data.recorded.arms
        self._plans = catalog.plans
        self._by_choice = is_heuristic(decider.policy) if by_choice is None else by_choice
        self._auditor = auditor
        self._buyer = buyer
        self._observer = StrictObserver()
        clock, recorded = ReplayClock(), data.recorded
        self._runner = PlanRunner(
            catalog=catalog,
            provider=RecordedProvider(data.recorded.arms, recorded.cost_usd, clock, data.answers),
            clock=clock,
            embed=self._known,
            weights=decider.weights,
            promises=decider.promises,
            observer=self._observer,
        )
        self._watch = StageTimer()
        self._overrides = ANY_WEIGHTS
        self._waiting: deque[tuple[DecisionRecord, list[Event]]] = deque()

    def change(self, plans: Mapping[str, Plan], overrides: WeightOverrides) -> None:
        """Offer other plans, with their price priors, from the next request on."""
        self._plans, self._overrides = dict(plans), overrides

    async def run(self, rows: Rows, judged: NDArray[np.bool_], delay: int = 0) -> ReplayRun:
        """Serve rows one after the other and learn from them.

        judged: (n,), the requests that get feedback. delay: requests until feedback arrives; what
        has not arrived at the end does so while the next rows are run.
        """
        self._watch = watch = StageTimer()
        gates = self.decider.gates.items()
        self.decider.gates = {plan: cast(Gate, TimedGate(gate, watch)) for plan, gate in gates}
        records, audit_usd = [], np.full(len(rows), np.nan)
        evidence_usd = np.zeros(len(rows))
        for step, row in enumerate(rows.tolist()):
            record, gate_session = await self.call(
                str(step), row, self.choose(row), self.decider.gates
            )
            events = self._events(record, row, judged=bool(judged[step]))
            if self._auditor and (check := self._auditor.check(record.id, row, gate_session)):
                audit_usd[step], event = check
                events += [event] if event else []
            if self._buyer and (bought := self._buyer.check(record, row)):
                evidence_usd[step] = bought[0]
                events.append(bought[1])
            records.append(record)
            self._waiting.append((record, events))
            if len(self._waiting) > delay:
                self._learn(*self._waiting.popleft())
            if step % DRAIN_EVERY == 0:
                await self.settle()
        await self.settle()
        return self._summed(records, audit_usd, evidence_usd)

    async def calibrate(self, rows: Rows) -> None:
        """Learn every plan's outcome on held-out prompts, one after the other."""
        for row in rows.tolist():
            for plan in self._plans:
                choice = replace(self.choose(row), plan=plan, propensity=1.0)
                record, _ = await self.call("", row, choice, self.decider.gates)
                self._learn(record, self._events(record, row, judged=True), prompt=row + 1)
            await self.settle()

    async def settle(self) -> None:
        await self._runner.settle()

    def choose(self, row: int) -> Choice:
        context, plans = self.context(row), tuple(self._plans.values())
        with self._watch.of("decide"):
            choice = self.decider.choose(context, plans, self._overrides, ANY_COST)
        assert choice is not None  # noqa: S101 - there is no cost limit to exceed
        return choice

    async def call(
        self, decision_id: str, row: int, choice: Choice, gates: Mapping[str, Gate]
    ) -> tuple[DecisionRecord, GateSession | None]:
        """Call through the cascade, with `gates` of the plans that have one."""
        with self._watch.of("call"):
            plan, context = self._plans[choice.plan], self.context(row)
            chat = self._chat(row)
            return await self._runner.run(
                plan, chat, choice, context, gates, decision_id=decision_id
            )

    def quality(self, row: int, arm: str) -> float:
        return float(self._data.recorded.quality[row, self._arms.index(arm)])

    def context(self, row: int) -> Context:
        contexts = self._data.contexts
        if row not in contexts:
            contexts[row] = self.decider.context(self._chat(row), self._data.embeddings[row])
        return contexts[row]

    def _events(self, record: DecisionRecord, row: int, *, judged: bool) -> list[Event]:
        """Nothing but the served answer's quality is looked at."""
        if not judged:
            return [Decided(record)]
        return [Decided(record), FeedbackGiven(record.id, self.quality(row, record.arm))]

    def _learn(self, record: DecisionRecord, events: list[Event], prompt: int = 0) -> None:
        """prompt: a number of one on which every plan is judged; 0 for another."""
        self.log += events
        if self._buyer:
            self._buyer.learn(events, record)
        if self._auditor and any(isinstance(event, FeedbackGiven) for event in events):
            self._auditor.feedback.count_feedback("")
        trainer = Trainer(self._plans, REWARDS, self._observer)
        with self._watch.of("learn"):
            joined = join(events, {record.id: record})
            outcomes = [self._placed(one, record, prompt) for one in trainer.outcomes(joined)]
            train_policy(self.decider.policy, outcomes, self._observer)
            trainer.train_rest(self.decider, joined)

    def _placed(self, outcome: Outcome, record: DecisionRecord, prompt: int) -> Outcome:
        """Returns what is known of the plan itself as one of its prompt's outcomes."""
        whole = record.choice is not None and outcome.action.name == record.choice.plan
        if not prompt or not whole or outcome.quality is None or len(self._plans) == 1:
            return outcome
        return replace(outcome, prompt=prompt, of=len(self._plans))

    def _chat(self, row: int) -> ChatRequest:
        return chat_of(self._data.recorded.prompts[row], row)

    async def _known(self, text: str) -> NDArray[np.float32]:
        """Raises KeyError for a text that was not embedded: it would not be the service's."""
        return self._data.texts[text]

    def _summed(
        self,
        records: list[DecisionRecord],
        audit_usd: NDArray[np.float64],
        evidence_usd: NDArray[np.float64],
    ) -> ReplayRun:
        choices = [record.choice for record in records if record.choice]
        pairs = [(r, self._plans[c.plan]) for r, c in zip(records, choices, strict=True)]
        return ReplayRun(
            plan=tuple(choice.plan for choice in choices),
            arm=np.array([self._arms.index(r.arm) for r in records], dtype=np.int8),
            worth=np.array([self._worth(choice) for choice in choices], dtype=np.float32),
            cost_usd=np.array([r.cost_usd for r in records]),
            audit_usd=np.nan_to_num(audit_usd),
            escalated=np.array([len(p.rungs) > 1 and _called(r, p.rungs[-1]) for r, p in pairs]),
            asked=np.array([bool(p.second) and _called(r, p.second) for r, p in pairs]),
            audited=np.isfinite(audit_usd),
            us=self._watch.means_us(len(records)),
            evidence_usd=evidence_usd,
        )

    def _worth(self, choice: Choice) -> list[float]:
        known = {name: quality for name, quality, *_ in choice.expected}
        known = dict(choice.probabilities) if self._by_choice else known
        return [known.get(arm, 0.0) for arm in self._arms]


def _called(record: DecisionRecord, arm: str) -> bool:
    return any(attempt.arm == arm for attempt in record.attempts)
