"""Runs plans offline on known answers, through the service's own cascade and gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from bandit.gates import Gate
from bandit.types import Context, Weights
from router.domain.catalog import Catalog, Plan
from router.domain.chat import ChatRequest
from router.domain.eligibility import Requirements
from router.domain.records import Choice, DecisionRecord, Mode
from router.gates.format_checks import FormatCheckSettings
from router.gates.gate_session import ArmPrices, Embed, GateSession, GateSessions, RiskBound
from router.ports import Clock
from router.ports.observer import Observer
from router.ports.state import Health
from router.ports.upstream import Provider
from router.runtime.background import Background
from router.serving.attempts import DeploymentCaller, PlanRun
from router.serving.cascade import Cascade, CascadeSettings


class PlanRunner:
    """Carries out one plan after the other; nothing leaves the process.

    catalog: only its first capable deployments are called. provider: knows the answers. clock: of
    latencies, advanced by the provider. embed: of open answers that a gate compares. weights,
    promises: what gates decide by.
    """

    def __init__(
        self,
        *,
        catalog: Catalog,
        provider: Provider,
        clock: Clock,
        embed: Embed,
        weights: Weights,
        promises: Mapping[str, RiskBound] = MappingProxyType({}),
        checks: FormatCheckSettings | None = None,
        observer: Observer | None = None,
    ) -> None:
        observer = observer or Observer()
        self._catalog = catalog
        self._weights = weights
        self._promises = promises
        self._background = Background(observer)
        self._gate_sessions = GateSessions(catalog=catalog, embed=embed, observer=observer)
        self._health = dict.fromkeys(catalog.names(), Health.CLOSED)
        caller = DeploymentCaller(
            providers=dict.fromkeys((d.provider for d in catalog.deployments()), provider),
            health=HealthyBoard(),
            background=self._background,
            observer=observer,
            clock=clock,
            gate=checks or FormatCheckSettings(),
        )
        self._cascade = Cascade(
            catalog=catalog, caller=caller, clock=clock, settings=CascadeSettings()
        )

    async def run(
        self,
        plan: Plan,
        chat: ChatRequest,
        choice: Choice,
        context: Context,
        gates: Mapping[str, Gate],
        *,
        decision_id: str = "",
        prices: ArmPrices | None = None,
    ) -> tuple[DecisionRecord, GateSession | None]:
        """Carry the plan out, judged by its gate among `gates`, if it has one.

        prices: of this request, None for those of a typical one.
        """
        session = self._gate_sessions.open(
            chat, plan, gates, context, self._weights, promises=self._promises, prices=prices
        )
        needs = Requirements.of(chat)
        run = PlanRun(chat, needs, plan.rungs, health=self._health, gate_session=session)
        async for _ in self._cascade.run(run):
            pass
        record = DecisionRecord(
            id=decision_id,
            tenant="",
            created_ms=0,
            mode=Mode.COMPLETE,
            choice=choice,
            attempts=tuple(run.attempts),
            arm=run.arm,
            deployment=run.deployment,
            model=self._catalog.model_of(run.deployment),
            judged=session.judged if session else None,
        )
        return record, session

    async def settle(self) -> None:
        """Wait for what runs in the background."""
        await self._background.drain()


class HealthyBoard:
    """Implements `router.ports.state.HealthBoard`: known answers come from healthy deployments."""

    async def states(self, deployments: Sequence[str]) -> Mapping[str, Health]:
        return dict.fromkeys(deployments, Health.CLOSED)

    async def admit(self, deployment: str) -> bool:
        return bool(deployment)

    async def succeeded(self, deployment: str) -> None:
        pass

    async def failed(self, deployment: str, retry_after_ms: int | None = None) -> None:
        pass

    async def give_back(self, deployment: str) -> None:
        pass
