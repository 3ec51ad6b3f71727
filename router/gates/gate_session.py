"""One answer in front of its plan's gate: what is seen of it, and what is done next."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Protocol

import numpy as np

from bandit.errors import BanditError
from bandit.gates import Chosen, Gate, GateInput, Prices, Step
from bandit.types import Context, Vector, Weights
from router.domain.catalog import Catalog, Plan
from router.domain.chat import Answer, ChatRequest, Format
from router.domain.errors import RouterError
from router.domain.logged_context import rounded
from router.domain.records import Judge, Judged, StepTaken
from router.domain.tenants import promise_for
from router.gates.agreement import agreement, bounded_similarity, compare
from router.gates.closed_answers import ClosedAnswer, closed_answer
from router.gates.signals import SIGNALS_VERSION, reply_of, signals_of, traits_of
from router.ports.observer import Observer
from router.ports.upstream import Embedding


@dataclass(frozen=True, slots=True)
class AvailableSteps:
    """The steps that the request's deadline, attempts and cost limit leave."""

    ask: bool
    escalate: bool


class GuardedVerifier(Protocol):
    """A caller's verifier, as the stepper asks it."""

    @property
    def accept_at(self) -> float: ...

    async def verdict(
        self, chat: ChatRequest, tenant: str, arm: str, answer: Answer, within_ms: float
    ) -> float | None:
        """Quality in [0, 1]; None when it abstains, fails, is switched off or is not for this."""
        ...


class RiskBound(Protocol):
    """A promise: of what is accepted at such a score, few turn out bad."""

    def permits(self, score: float) -> bool: ...


def step_taken(chosen: Chosen) -> StepTaken:
    probabilities = tuple(chosen.probabilities.items())
    return StepTaken(chosen.step, chosen.propensity, probabilities, chosen.score)


def escalated_instead(taken: StepTaken) -> StepTaken:
    """Returns the step that takes an answer to the arm above in place of serving it."""
    probabilities = {Step.ESCALATE: 0.0}
    for step, probability in taken.probabilities:
        to = Step.ESCALATE if step in (Step.ACCEPT, Step.SECOND) else step
        probabilities[to] = probabilities.get(to, 0.0) + probability
    escalated = probabilities[Step.ESCALATE]
    shares = tuple(probabilities.items())
    return StepTaken(
        Step.ESCALATE, escalated, shares, taken.score, Judge.PROMISE, instead=taken.step
    )


MOST_COMPARED_CHARS = 2_000
"""Characters of each of two open texts: an embedding reads no more of them."""

Embed = Callable[[str], Awaitable[Embedding]]


class GateSession:
    """One request's way through its plan's gate; `judged` is what is written down of it."""

    def __init__(
        self,
        *,
        chat: ChatRequest,
        plan: Plan,
        gate: Gate,
        context: Context,
        weights: Weights,
        prices: Prices,
        embed: Embed,
        observer: Observer,
        verifier: GuardedVerifier | None = None,
        tenant: str = "",
        promise: RiskBound | None = None,
    ) -> None:
        self._tenant = tenant
        self._promise = promise
        self.second_arm = plan.second
        self._chat = chat
        wants_json = chat.response_format.kind is not Format.TEXT
        self._question = traits_of(chat.prompt, wants_json=wants_json)
        self.plan = plan
        self._gate = gate
        self._context = context
        self._weights = weights
        self._prices = prices
        self._embed = embed
        self._observer = observer
        self._verifier = verifier
        self._input: GateInput | None = None
        self._verified_quality: float | None = None
        self._steps: list[StepTaken] = []
        self._closed_answers: dict[str, ClosedAnswer | None] = {}

    async def judge_first(
        self, answer: Answer, available: AvailableSteps, within_ms: float
    ) -> Step:
        """Choose the step after a first answer that passed the certain checks."""
        arm = self.plan.rungs[0]
        if self._verifier is not None:
            self._verified_quality = await self._verifier.verdict(
                self._chat, self._tenant, arm, answer, within_ms
            )
        signals = self._signals(arm, answer, self._verified_quality)
        self._input = GateInput(self._context, signals, SIGNALS_VERSION)
        if self._verified_quality is not None:
            return self._follow_verifier(self._verified_quality, available)
        return self._choose(self._input, available)

    async def judge_second(
        self, answer: Answer, second: Answer | None, available: AvailableSteps
    ) -> Step:
        """Choose again with a second opinion in hand, or without it when none came."""
        assert self._input is not None  # noqa: S101 - asked after `first` only
        if second is not None:
            signals = self._signals(self.second_arm, second)
            known = await self._agreement(answer.text, second.text)
            self._input = replace(self._input, agreement=known, second=signals)
        return self._choose(self._input, replace(available, ask=False))

    def agrees(self, arm: str, served: Answer) -> bool | None:
        """True if an arm's closed answer equals the one that was served; None for open text."""
        closed = self._closed_answers.get(arm)
        other = closed_answer(served.text, self._question.asked) if closed else None
        known = agreement(closed, other) if other else None
        return None if known is None else known > 0

    def is_closed(self, arm: str) -> bool:
        """True if an arm's answer settled on something that can be compared exactly."""
        return self._closed_answers.get(arm) is not None

    def confirms(self, other: Answer) -> float | None:
        """1.0 or 0.0: whether another answer settles on the same as the first one."""
        agrees = self.agrees(self.plan.rungs[0], other)
        return None if agrees is None else float(agrees)

    def is_rejected(self, arm: str) -> bool:
        """True if the verifier said that the arm's answer, the first one, is bad."""
        quality = self._verified_quality
        if self._verifier is None or quality is None or arm != self.plan.rungs[0]:
            return False
        return quality < self._verifier.accept_at

    def _signals(self, arm: str, answer: Answer, verified: float | None = None) -> Vector:
        closed = closed_answer(answer.text, self._question.asked)
        self._closed_answers[arm] = closed
        return signals_of(self._question, reply_of(answer, verified, closed))

    @property
    def judged(self) -> Judged | None:
        """None while nothing was chosen."""
        if self._input is None or not self._steps:
            return None
        second = self._input.second
        return Judged(
            gate=self._gate.name,
            version=self._input.version,
            signals=rounded(self._input.signals),
            steps=tuple(self._steps),
            second_signals=() if second is None else rounded(second),
            agreement=self._input.agreement,
            second_usd=self._prices.second_usd,
            strong_usd=self._prices.strong_usd,
            strong_input_usd=self._prices.strong_input_usd,
            verified=self._verified_quality,
        )

    def _follow_verifier(self, quality: float, available: AvailableSteps) -> Step:
        """Whoever can tell decides; what nobody can do better is served."""
        assert self._verifier is not None  # noqa: S101 - it gave the quality
        weak = quality < self._verifier.accept_at and available.escalate
        step = Step.ESCALATE if weak else Step.ACCEPT
        return self._record(StepTaken(step, 1.0, ((step, 1.0),), quality, Judge.VERIFIER))

    def _choose(self, input_: GateInput, available: AvailableSteps) -> Step:
        try:
            chosen = self._gate.choose(input_, self._available_prices(available), self._weights)
        except BanditError:
            # Of another version than what was learned, say: the certain checks have passed.
            self._observer.degraded("gate")
            return Step.ACCEPT
        taken = step_taken(chosen)
        served = taken.step in (Step.ACCEPT, Step.SECOND)
        if served and available.escalate and not self._permits(taken.score):
            taken = escalated_instead(taken)
        return self._record(taken)

    def _permits(self, score: float) -> bool:
        return self._promise is None or self._promise.permits(score)

    def _record(self, taken: StepTaken) -> Step:
        self._steps.append(taken)
        self._observer.step(self.plan.name, taken.step)
        return taken.step

    def _available_prices(self, available: AvailableSteps) -> Prices:
        return replace(
            self._prices,
            second_usd=self._prices.second_usd if available.ask else None,
            strong_usd=self._prices.strong_usd if available.escalate else None,
        )

    async def _agreement(self, one: str, other: str) -> float | None:
        closed = compare(one, other, self._question.asked)
        if closed is not None or not (one.strip() and other.strip()):
            return closed
        try:
            vectors = [await self._embed(text[:MOST_COMPARED_CHARS]) for text in (one, other)]
        except RouterError:
            self._observer.degraded("agreement")
            return None
        return bounded_similarity(float(np.clip(vectors[0] @ vectors[1], 0, 1)), one, other)


class ArmPrices(Protocol):
    """Prices of one request."""

    def total_usd(self, arm: str) -> float | None:
        """None for an arm that can't serve it."""
        ...

    def input_usd(self, arm: str) -> float:
        """Returns the part that is known before the call, 0 for an arm that can't serve it."""
        ...


def prices_of(plan: Plan, catalog: Catalog, request: ArmPrices | None = None) -> Prices:
    """Price priors of the steps a plan has. request: None for a typical one."""

    def price(arm: str) -> float:
        known = request.total_usd(arm) if request else None
        return catalog.arms[arm].prior_cost_usd if known is None else known

    second = price(plan.second) if plan.second else None
    if len(plan.rungs) == 1:
        return Prices(second, None)
    strong = plan.rungs[1]
    return Prices(second, price(strong), request.input_usd(strong) if request else 0.0)


class GateSessions:
    """Makes the stepper of a request. gates: of the snapshot that serves now."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        embed: Embed,
        observer: Observer,
        verifier: GuardedVerifier | None = None,
    ) -> None:
        self._catalog = catalog
        self._embed = embed
        self._observer = observer
        self._verifier = verifier

    def open(
        self,
        chat: ChatRequest,
        plan: Plan,
        gates: Mapping[str, Gate],
        context: Context,
        weights: Weights,
        *,
        tenant: str = "",
        promises: Mapping[str, RiskBound] = MappingProxyType({}),
        prices: ArmPrices | None = None,
    ) -> GateSession | None:
        """None for a plan whose only gate are the certain checks."""
        gate = gates.get(plan.name)
        if gate is None:
            return None
        return GateSession(
            chat=chat,
            plan=plan,
            gate=gate,
            context=context,
            weights=weights,
            prices=prices_of(plan, self._catalog, prices),
            embed=self._embed,
            observer=self._observer,
            verifier=self._verifier,
            tenant=tenant,
            promise=promise_for(promises, plan.name, tenant),
        )
