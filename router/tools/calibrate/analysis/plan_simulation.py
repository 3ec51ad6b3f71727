"""Judged plans carried out with the collected answers, by gates that learned from other prompts."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TypeAlias

from bandit.gates import Gate
from bandit.types import Context, Weights
from router.domain import MS_PER_S
from router.domain.catalog import Arm, Catalog, Deployment, Plan
from router.domain.chat import Answer, ChatRequest, Delta
from router.domain.errors import ProviderError, ProviderMalformed, ProviderTimeout
from router.domain.logged_context import log_context
from router.domain.records import Choice, DecisionRecord, WeightSet
from router.gates.format_checks import FormatCheckSettings
from router.gates.gate_session import Embed, RiskBound
from router.learning.cross_fit import CrossFitted, GateCrossFit
from router.learning.learner_state import LearnerState
from router.learning.plan_results import CallResult
from router.ports.observer import Observer
from router.tools.calibrate.analysis.prices import PromptPrices
from router.tools.calibrate.analysis.results import arm_results
from router.tools.calibrate.collect.collector import CollectedPrompt
from router.tools.calibrate.collect.journal import Answered, Failed
from router.tools.plan_runner import PlanRunner

JudgedResults: TypeAlias = Mapping[str, CallResult]
"""Results by judged plan; absent where an answer that the plan may need is missing."""


@dataclass(frozen=True, slots=True)
class SimulationSettings:
    """Everything but the prompt and the gates that a simulated plan depends on.

    prices: of each prompt; None for those of a typical request.
    """

    catalog: Catalog
    checks: FormatCheckSettings
    weights: Weights
    embed: Embed
    prices: PromptPrices | None = None


class CollectedTrial:
    """Implements `router.learning.cross_fit.PromptTrial` with the collected answers."""

    def __init__(
        self,
        collected: CollectedPrompt,
        context: Context,
        settings: SimulationSettings,
        promises: Mapping[str, RiskBound] = MappingProxyType({}),
    ) -> None:
        self._chat = collected.prompt.chat
        self._context = context
        self._weights = settings.weights
        self._prices = settings.prices.list(self._chat) if settings.prices else None
        self._priced = settings.prices.of(self._chat) if settings.prices else ()
        self._results = arm_results(collected, settings.checks)
        catalog = _answered_catalog(settings.catalog, collected)
        self._answers = answers = _CollectedAnswers(collected, catalog.arms)
        self._runner = PlanRunner(
            catalog=catalog,
            provider=answers,
            clock=lambda: answers.now_s,
            embed=settings.embed,
            weights=settings.weights,
            promises=promises,
            checks=settings.checks,
        )

    def knows(self, plan: Plan) -> bool:
        return all(arm in self._results for arm in plan.arms)

    def quality(self, arm: str) -> float | None:
        return self._results[arm].quality if arm in self._results else None

    def result(self, record: DecisionRecord) -> CallResult:
        """Returns the result of a call in the terms of single arms."""
        quality = self.quality(record.arm) if record.answered else 0.0
        failed = not record.answered
        return CallResult(
            quality, record.cost_usd, record.latency_ms, failed=failed, passed=not failed
        )

    async def call(self, plan: Plan, gates: Mapping[str, Gate]) -> DecisionRecord:
        self._answers.now_s = 0.0
        choice = self._choice(plan.name)
        record, _ = await self._runner.run(
            plan, self._chat, choice, self._context, gates, prices=self._prices
        )
        await self._runner.settle()
        return record

    def _choice(self, plan: str) -> Choice:
        """Returns a choice without chance: the propensity is 1."""
        w = self._weights
        return Choice(
            plan=plan,
            propensity=1.0,
            explored=False,
            probabilities=((plan, 1.0),),
            policy="",
            policy_version=0,
            weights=WeightSet(w.quality, w.cost, w.latency, w.failure),
            context=log_context(self._context),
            prices=self._priced,
        )


async def simulated(
    prompts: Sequence[CollectedPrompt],
    contexts: Sequence[Context],
    state: LearnerState,
    settings: SimulationSettings,
    fresh: Callable[[], Mapping[str, Gate]],
) -> list[JudgedResults]:
    """Train the state's gates and promises, and simulate the judged plans.

    Returns the results of each prompt by gates that were not trained on it.

    contexts: one per prompt. fresh: makes untrained gates by plan.
    """
    plans = settings.catalog.plans
    judged = [plan for plan in plans.values() if plan.is_judged]
    if not judged:
        return [{}] * len(prompts)
    pairs = zip(prompts, contexts, strict=True)
    trials = [CollectedTrial(one, context, settings, state.promises) for one, context in pairs]
    cross_fit = GateCrossFit(plans, lambda _: fresh(), Observer())
    fitted = await cross_fit.fit(state.gates, trials)
    await cross_fit.fit_promises(state.promises, fitted)
    results = {id(one.trial): await _results(one, judged) for one in fitted}
    return [results[id(trial)] for trial in trials]


async def _results(one: CrossFitted[CollectedTrial], plans: Sequence[Plan]) -> JudgedResults:
    known = [plan for plan in plans if one.trial.knows(plan)]
    return {plan.name: one.trial.result(await one.trial.call(plan, one.gates)) for plan in known}


def _answered_catalog(catalog: Catalog, collected: CollectedPrompt) -> Catalog:
    """Returns the catalog, each arm with only the deployment whose reply is known."""
    arms = {name: _narrowed(arm, collected) for name, arm in catalog.arms.items()}
    return replace(catalog, arms=arms)


def _narrowed(arm: Arm, collected: CollectedPrompt) -> Arm:
    reply = collected.replies.get(arm.name)
    named = reply.deployment if isinstance(reply, Answered | Failed) else ""
    kept = tuple(d for d in arm.deployments if d.name == named)
    return replace(arm, deployments=kept or arm.deployments[:1])


class _CollectedAnswers:
    """Implements `router.ports.upstream.Provider`; called only for arms with a known reply.

    now_s: a clock that only runs while a model answers.
    """

    def __init__(self, collected: CollectedPrompt, arms: Mapping[str, Arm]) -> None:
        self._arm_of = {d.name: name for name, arm in arms.items() for d in arm.deployments}
        self._replies = collected.replies
        self.now_s = 0.0

    async def complete(
        self, deployment: Deployment, request: ChatRequest, timeout_ms: float
    ) -> Answer:
        _ = request, timeout_ms
        reply = self._replies[self._arm_of[deployment.name]]
        assert isinstance(reply, Answered | Failed)  # noqa: S101 - else the arm is not known
        self.now_s += reply.latency_ms / MS_PER_S
        if isinstance(reply, Answered):
            return reply.answer
        raise _error(reply)

    async def stream(
        self, deployment: Deployment, request: ChatRequest, timeout_ms: float
    ) -> AsyncGenerator[Delta | Answer]:
        yield await self.complete(deployment, request, timeout_ms)


def _error(reply: Failed) -> ProviderError:
    late = reply.why == ProviderTimeout.reason.lower()
    return ProviderTimeout("no answer in time") if late else ProviderMalformed("no answer")
