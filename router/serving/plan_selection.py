"""Which plan a request gets, worked out while the store still answers where that is possible."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from router.domain.catalog import Catalog, Plan
from router.domain.errors import NoEligiblePlan, Overloaded
from router.domain.logged_context import read_context
from router.domain.records import Choice, Mode
from router.gates.gate_session import GateSession, GateSessions
from router.ports.observer import Observer, Stopwatch
from router.ports.upstream import Embedder
from router.serving.attempts import PlanRun
from router.serving.decider import Bounds, Decider, beside, merge
from router.serving.request_state import RequestState

SENDING_TURNS = 4
"""Turns of the event loop until commands to the store that were issued now are on their way."""


class PlanSelector:
    def __init__(
        self,
        *,
        catalog: Catalog,
        decider: Decider,
        gate_sessions: GateSessions,
        embedder: Embedder,
        observer: Observer,
        stopwatch: Stopwatch,
    ) -> None:
        self._catalog = catalog
        self._decider = decider
        self._gate_sessions = gate_sessions
        self._embedder = embedder
        self._observer = observer
        self._stopwatch = stopwatch

    async def foresee(self, work: RequestState) -> None:
        """Choose as if every plan were well, as mostly they are; run it beside a look-up.

        Only where the embedding is at hand: nothing is computed for who may have no quota left.
        """
        if work.embedding is None:
            work.embedding = self._embedder.known(work.call.chat.prompt)
        if work.embedding is not None and work.plans:
            for _ in range(SENDING_TURNS):
                await asyncio.sleep(0)
            work.foreseen = self._decide(work, work.plans)

    def choose(self, work: RequestState) -> PlanRun:
        """Let the policy pick among the plans that are permitted and well.

        With every plan ill only spare arms are left: nothing was chosen, so nothing is learned.
        Raises Overloaded, NoEligiblePlan.
        """
        if not work.has_room:
            raise Overloaded("too many events wait to be learned: try again later")
        if not work.plans:
            raise NoEligiblePlan("the cost limit pays no arm: raise it or ask for less")
        plans = [plan for plan in work.plans if work.well(self._catalog, plan)]
        rungs, gate_session = work.arms[:1], None
        if plans:
            all_well = len(plans) == len(work.plans)
            choice = (work.foreseen if all_well else None) or self._decide(work, plans)
            if choice is None:
                raise NoEligiblePlan("no plan is expected to keep the cost limit")
            plan = next(p for p in plans if p.name == choice.plan)
            work.choice, rungs = choice, plan.rungs
            gate_session = self._gate_session(work, plan, choice)
            self._observer.decision(plan.name, explored=choice.explored)
        work.run = self._plan_run(work, rungs, gate_session)
        return work.run

    def _decide(self, work: RequestState, plans: Sequence[Plan]) -> Choice | None:
        assert work.embedding is not None  # noqa: S101 - embedded before
        options, tenant = work.call.options, work.call.tenant.name
        with self._stopwatch.stage("decide"):
            context = self._decider.context(work.call.chat, work.embedding)
            bounds = Bounds(options.max_cost_usd, options.max_latency_ms)
            choice = self._decider.choose(context, plans, options.weights, bounds, tenant)
            watched = [plan for plan in work.watched if work.well(self._catalog, plan)]
            if choice is None or not watched:
                return choice
            would = self._decider.choose(context, watched, options.weights, bounds, tenant)
            return choice if would is None else beside(choice, would)

    def _gate_session(self, work: RequestState, plan: Plan, choice: Choice) -> GateSession | None:
        call, decider = work.call, self._decider
        weights = merge(decider.weights, call.options.weights)
        context = read_context(choice.context)
        return self._gate_sessions.open(
            call.chat,
            plan,
            decider.gates,
            context,
            weights,
            tenant=call.tenant.name,
            promises=decider.promises,
        )

    def _plan_run(
        self, work: RequestState, rungs: tuple[str, ...], gate_session: GateSession | None
    ) -> PlanRun:
        return PlanRun(
            chat=work.call.chat,
            needs=work.needs,
            rungs=rungs,
            spares=work.arms,
            live=work.mode is Mode.STREAM,
            deadline_s=work.deadline_s,
            max_cost_usd=work.call.options.max_cost_usd,
            health=work.health,
            gate_session=gate_session,
        )
