"""A step of a session depends on the promise and on whether the gate can judge."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bandit import Context, ContextShape, Weights
from bandit.gates import Gate, GateSettings, Prices, Step, make_gate
from router.domain.catalog import Arm, Catalog, Plan
from router.domain.chat import Answer, ChatRequest, FinishReason, Message, Role, TextPart, Usage
from router.domain.records import Judge
from router.gates.gate_session import AvailableSteps, GateSession, prices_of
from router.gates.signals import N_SIGNALS
from router.ports.observer import Observer
from router.ports.upstream import Embedding

SHAPE = ContextShape(clusters=4, axes=2, features=3)
CONTEXT = Context(np.full(4, 0.25), np.zeros(2), np.zeros(3), "v1")
PLAN = Plan("checked", ("cheap", "strong"), 0.01, "rules")
CHAT = ChatRequest((Message(Role.USER, (TextPart("How many are 2 and 2?"),)),))
ANSWER = Answer("The answer is 4.", FinishReason.STOP, Usage(10, 5), "m")
BOTH, NO_MORE = AvailableSteps(ask=False, escalate=True), AvailableSteps(ask=False, escalate=False)


class Counting(Observer):
    def __init__(self) -> None:
        self.seen: list[str] = []

    def degraded(self, what: str) -> None:
        self.seen.append(what)


class From:
    """A promise that permits scores from a threshold on."""

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold

    def permits(self, score: float) -> bool:
        return score >= self._threshold


async def embed(text: str) -> Embedding:
    raise AssertionError(text)


def gate_session(
    promise: From | None = None,
    version: str = "v1",
    observer: Observer | None = None,
) -> GateSession:
    settings = GateSettings(shape=SHAPE, signals=N_SIGNALS)
    gate: Gate = make_gate("rules", settings, version, np.random.default_rng(0))
    return GateSession(
        chat=CHAT,
        plan=PLAN,
        gate=gate,
        context=CONTEXT,
        weights=Weights(),
        prices=Prices(None, 0.01),
        embed=embed,
        observer=observer or Observer(),
        promise=promise,
    )


async def test_gate_session_escalates_when_the_promise_does_not_permit() -> None:
    made = gate_session(From(1.0))
    assert await made.judge_first(ANSWER, BOTH, 1_000) is Step.ESCALATE
    assert made.judged is not None
    (taken,) = made.judged.steps
    assert (taken.by, taken.instead) == (Judge.PROMISE, Step.ACCEPT)
    assert (taken.propensity, sum(p for _, p in taken.probabilities)) == (1.0, 1.0)
    assert Step.ACCEPT not in dict(taken.probabilities)


async def test_gate_session_accepts_when_the_promise_permits() -> None:
    made = gate_session(From(0.5))
    assert await made.judge_first(ANSWER, BOTH, 1_000) is Step.ACCEPT


async def test_gate_session_accepts_when_no_step_is_left() -> None:
    assert await gate_session(From(1.0)).judge_first(ANSWER, NO_MORE, 1_000) is Step.ACCEPT


async def test_gate_session_accepts_when_the_gate_has_another_version() -> None:
    observer = Counting()
    made = gate_session(version="v0", observer=observer)
    assert await made.judge_first(ANSWER, BOTH, 1_000) is Step.ACCEPT
    assert made.judged is None
    assert observer.seen == ["gate"]


class RequestPrices(dict[str, float]):
    """Prices of one request by arm, half of each for its input."""

    def total_usd(self, arm: str) -> float | None:
        return self.get(arm)

    def input_usd(self, arm: str) -> float:
        return self.get(arm, 0.0) / 2


def test_steps_cost_what_this_request_costs_there() -> None:
    """An arm without a price of its own costs what a typical request does."""
    priors_usd = {"a": 0.001, "b": 0.01, "c": 0.02}
    arms = {name: Arm(name, (), usd) for name, usd in priors_usd.items()}
    catalog, plan = Catalog(arms, {}), Plan("p", ("a", "c"), 0.01, "learned", second="b")
    assert prices_of(plan, catalog) == Prices(0.01, 0.02)
    assert prices_of(plan, catalog, RequestPrices(b=0.5)) == Prices(0.5, 0.02)
    assert prices_of(plan, catalog, RequestPrices(a=9.0, b=0.5, c=0.7)) == Prices(0.5, 0.7, 0.35)
    assert prices_of(
        replace(plan, rungs=("a",), second=""), catalog, RequestPrices(a=1.0)
    ) == Prices(None, None)
