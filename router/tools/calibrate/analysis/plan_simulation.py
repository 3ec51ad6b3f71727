"""Plans whose gate judges, carried out with the answers that calibrating has paid for."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from bandit.gates import Gate
from bandit.types import Context, Weights
from router.domain import MS_PER_S
from router.domain.catalog import Arm, Catalog, Deployment, Plan
from router.domain.chat import Answer, ChatRequest, Delta
from router.domain.eligibility import Requirements
from router.domain.errors import ProviderError, ProviderMalformed, ProviderTimeout
from router.domain.logged_context import log_context
from router.domain.records import Choice, DecisionRecord, Mode, WeightSet
from router.gates.format_checks import FormatCheckSettings
from router.gates.gate_session import Embed, GateSessions, RiskBound
from router.ports.observer import Observer
from router.ports.state import Health
from router.runtime.background import Background
from router.serving.attempts import DeploymentCaller, PlanRun
from router.serving.cascade import Cascade, CascadeSettings
from router.tools.calibrate.analysis.results import Result, arm_results
from router.tools.calibrate.collect.gathering import Case
from router.tools.calibrate.collect.ledger import Answered, Failed

_TOLD: Final = Observer()


@dataclass(frozen=True, slots=True)
class Terms:
    """What every prompt is tried under."""

    catalog: Catalog
    gate: FormatCheckSettings
    weights: Weights
    embed: Embed


class CaseTrial:
    """Implements `router.learning.cross_fit.Trial`."""

    def __init__(
        self,
        case: Case,
        context: Context,
        terms: Terms,
        promises: Mapping[str, RiskBound] = MappingProxyType({}),
    ) -> None:
        self._promises = promises
        self._case = case
        self._terms = terms
        self._context = context
        self._known = arm_results(case, terms.gate)
        self._catalog = _asked(case, terms.catalog)
        self._gate_sessions = GateSessions(catalog=self._catalog, embed=terms.embed, observer=_TOLD)

    def knows(self, plan: Plan) -> bool:
        return all(arm in self._known for arm in plan.arms)

    def quality(self, arm: str) -> float | None:
        return self._known[arm].quality if arm in self._known else None

    def result(self, record: DecisionRecord) -> Result:
        """Of a call, in the terms of single arms."""
        quality = self.quality(record.arm) if record.answered else 0.0
        failed = not record.answered
        return Result(quality, record.cost_usd, record.latency_ms, failed=failed, passed=not failed)

    async def call(self, plan: Plan, gates: Mapping[str, Gate]) -> DecisionRecord:
        chat, judging, weights = self._case.prompt.chat, self._gate_sessions, self._terms.weights
        gate_session = judging.open(
            chat, plan, gates, self._context, weights, promises=self._promises
        )
        health = dict.fromkeys(self._catalog.names(), Health.CLOSED)
        run = PlanRun(
            chat, Requirements.of(chat), plan.rungs, health=health, gate_session=gate_session
        )
        background = Background(_TOLD)
        async for _ in self._cascade(background).run(run):
            pass
        await background.drain()
        return DecisionRecord(
            id="",
            tenant="",
            created_ms=0,
            mode=Mode.COMPLETE,
            choice=self._choice(plan.name),
            attempts=tuple(run.attempts),
            arm=run.arm,
            deployment=run.deployment,
            judged=gate_session.judged if gate_session else None,
        )

    def _choice(self, plan: str) -> Choice:
        """Nothing was drawn: the propensity is 1."""
        w = self._terms.weights
        return Choice(
            plan=plan,
            propensity=1.0,
            explored=False,
            probabilities=((plan, 1.0),),
            policy="",
            policy_version=0,
            weights=WeightSet(w.quality, w.cost, w.latency, w.failure),
            context=log_context(self._context),
        )

    def _cascade(self, background: Background) -> Cascade:
        clock = _Clock()
        provider = _Known(self._case, self._catalog.arms, clock)
        caller = DeploymentCaller(
            providers=dict.fromkeys((d.provider for d in self._catalog.deployments()), provider),
            health=WellBoard(),
            background=background,
            observer=_TOLD,
            clock=clock,
            gate=self._terms.gate,
        )
        settings = CascadeSettings()
        return Cascade(catalog=self._catalog, caller=caller, clock=clock, settings=settings)


def _asked(case: Case, catalog: Catalog) -> Catalog:
    """Each arm with the one deployment whose answer is known."""
    arms = {name: _narrowed(arm, case) for name, arm in catalog.arms.items()}
    return replace(catalog, arms=arms)


def _narrowed(arm: Arm, case: Case) -> Arm:
    reply = case.replies.get(arm.name)
    named = reply.deployment if isinstance(reply, Answered | Failed) else ""
    kept = tuple(d for d in arm.deployments if d.name == named)
    return replace(arm, deployments=kept or arm.deployments[:1])


class _Clock:
    """Seconds that pass only while a model answers."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class _Known:
    """Implements `router.ports.upstream.Provider`; asked only for arms that the case knows."""

    def __init__(self, case: Case, arms: Mapping[str, Arm], clock: _Clock) -> None:
        self._arm_of = {d.name: name for name, arm in arms.items() for d in arm.deployments}
        self._replies = case.replies
        self._clock = clock

    async def complete(
        self, deployment: Deployment, request: ChatRequest, timeout_ms: float
    ) -> Answer:
        _ = request, timeout_ms
        reply = self._replies[self._arm_of[deployment.name]]
        assert isinstance(reply, Answered | Failed)  # noqa: S101 - else the arm is not known
        self._clock.now_s += reply.latency_ms / MS_PER_S
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


class WellBoard:
    """Implements `router.ports.state.HealthBoard`: whose answers are known is never ill."""

    async def states(self, deployments: Sequence[str]) -> Mapping[str, Health]:
        return dict.fromkeys(deployments, Health.CLOSED)

    async def admit(self, deployment: str) -> bool:
        return bool(deployment)

    async def succeeded(self, deployment: str) -> None:
        pass

    async def failed(self, deployment: str, retry_after_ms: int | None = None) -> None:
        pass
