"""Stand-ins of a replay: recorded answers as a provider, clocks, audits, a strict observer."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bandit.gates import Chosen, Gate, GateInput, Prices, Step
from bandit.types import Weights
from bench.lab.recorded import Recorded
from router.domain.catalog import Deployment, Price
from router.domain.chat import (
    Answer,
    ChatRequest,
    Delta,
    FinishReason,
    Message,
    Role,
    Sampling,
    TextPart,
    Usage,
)
from router.domain.events import Audited
from router.gates.gate_session import GateSession
from router.ports.observer import Observer
from router.serving.audits import FeedbackRate

STAGES: Final = ("decide", "call", "learn")
TOKENS_PER_USD: Final = 2**80
"""A power of two: scaling a recorded cost to whole tokens loses nothing."""
PRICE: Final = Price(0.0, 1e6 / TOKENS_PER_USD)
TEXT: Final = "recorded"
CALL_S: Final = 1.0

Answers = Mapping[str, tuple[str, ...]]
"""Texts by arm, in the order of the rows; "" where nothing was said."""


class ReplayClock:
    """Seconds that pass only while a model answers."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class RecordedProvider:
    """Implements `router.ports.upstream.Provider`; a request's sampling seed names its row.

    cost_usd: (n, k), k in the order of `arms`, which are also the models' names.
    """

    def __init__(
        self,
        arms: Sequence[str],
        cost_usd: NDArray[np.float64],
        clock: ReplayClock,
        answers: Answers = MappingProxyType({}),
    ) -> None:
        self._columns = {arm: column for column, arm in enumerate(arms)}
        self._cost_usd = cost_usd
        self._clock = clock
        self._answers = answers

    async def complete(
        self, deployment: Deployment, request: ChatRequest, timeout_ms: float
    ) -> Answer:
        _ = timeout_ms
        self._clock.now_s += CALL_S
        model, row = deployment.model, request.sampling.seed or 0
        usage = Usage(0, int(self._cost_usd[row, self._columns[model]] * TOKENS_PER_USD))
        text = self._answers[model][row] if model in self._answers else TEXT
        return Answer(text, FinishReason.STOP, usage, model)

    async def stream(
        self, deployment: Deployment, request: ChatRequest, timeout_ms: float
    ) -> AsyncGenerator[Delta | Answer]:
        yield await self.complete(deployment, request, timeout_ms)


def chat_of(prompt: str, row: int) -> ChatRequest:
    message = Message(Role.USER, (TextPart(prompt),))
    return ChatRequest((message,), sampling=Sampling(seed=row))


class StrictObserver(Observer):
    """Raises where the service would only count a loss."""

    def degraded(self, what: str) -> None:
        raise RuntimeError(f"the replay lost something: {what}")


class StageTimer:
    """Adds up the time of each stage."""

    def __init__(self) -> None:
        self._spent_ns: Counter[str] = Counter()
        self._entered: Counter[str] = Counter()

    @contextmanager
    def of(self, stage: str) -> Iterator[None]:
        began_ns = time.perf_counter_ns()
        yield
        self._spent_ns[stage] += time.perf_counter_ns() - began_ns
        self._entered[stage] += 1

    def means_us(self, requests: int) -> tuple[float, ...]:
        """Returns means per request of `STAGES`, and the mean of one choice of a gate."""
        each = (self._spent_ns[stage] / requests / 1_000 for stage in STAGES)
        return (*each, self._spent_ns["gate"] / max(1, self._entered["gate"]) / 1_000)


class TimedGate:
    """A gate whose choices are timed."""

    def __init__(self, gate: Gate, watch: StageTimer) -> None:
        self._gate = gate
        self._watch = watch

    def choose(self, seen: GateInput, prices: Prices, weights: Weights) -> Chosen:
        with self._watch.of("gate"):
            return self._gate.choose(seen, prices, weights)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._gate, name)


@dataclass(frozen=True, slots=True)
class ReplayAuditor:
    """The service's auditor without a judge: closed answers are compared, open ones left out.

    share: of the first answers that a gate accepted. chance: (rows,), uniform in [0, 1). always:
    audit answers that get feedback too.
    """

    data: Recorded
    answers: Answers
    chance: NDArray[np.float64]
    share: float
    always: bool
    feedback: FeedbackRate = field(default_factory=FeedbackRate)

    def check(
        self, decision_id: str, row: int, gate_session: GateSession | None
    ) -> tuple[float, Audited | None] | None:
        """Returns cost and event, which is None where answers cannot be compared, or no audit."""
        worth = self.feedback.count_answer("")
        share = self.share * (1.0 if self.always else worth)
        judged = gate_session.judged if gate_session else None
        if gate_session is None or judged is None or self.chance[row] >= share:
            return None
        plan, last = gate_session.plan, judged.steps[-1]
        if last.step != Step.ACCEPT or not gate_session.is_closed(plan.rungs[0]):
            return None
        strong = plan.rungs[1]
        cost_usd = float(self.data.cost_usd[row, self.data.arms.index(strong)])
        said = Answer(self.answers[strong][row], FinishReason.STOP, Usage(), strong)
        quality = gate_session.confirms(said)
        if quality is None:
            return cost_usd, None
        return cost_usd, Audited(decision_id, quality, share, cost_usd)
