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
from router.serving.decider import Bounds, Decider, merge, with_shadow
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

    async def choose_early(self, state: RequestState) -> None:
        """Choose as if every plan were well, as mostly they are; run it beside a look-up.

        Only where the embedding is at hand: nothing is computed for who may have no quota left.
        """
        if state.embedding is None:
            state.embedding = self._embedder.cached(state.request.chat.prompt)
        if state.embedding is not None and state.plans:
            for _ in range(SENDING_TURNS):
                await asyncio.sleep(0)
            state.early_choice = self._decide(state, state.plans)

    def choose(self, state: RequestState) -> PlanRun:
        """Let the policy pick among the plans that are permitted and well.

        With every plan ill only spare arms are left: nothing was chosen, so nothing is learned.
        Raises Overloaded, NoEligiblePlan.
        """
        if not state.has_room:
            raise Overloaded("too many events wait to be learned: try again later")
        if not state.plans:
            raise NoEligiblePlan("the cost limit pays no arm: raise it or ask for less")
        plans = [plan for plan in state.plans if state.is_plan_healthy(self._catalog, plan)]
        rungs, gate_session = state.arms[:1], None
        if plans:
            all_well = len(plans) == len(state.plans)
            choice = (state.early_choice if all_well else None) or self._decide(state, plans)
            if choice is None:
                raise NoEligiblePlan("no plan is expected to keep the cost limit")
            plan = next(p for p in plans if p.name == choice.plan)
            state.choice, rungs = choice, plan.rungs
            gate_session = self._gate_session(state, plan, choice)
            self._observer.decision(plan.name, explored=choice.explored)
        state.run = self._plan_run(state, rungs, gate_session)
        return state.run

    def _decide(self, state: RequestState, plans: Sequence[Plan]) -> Choice | None:
        assert state.embedding is not None  # noqa: S101 - embedded before
        options, tenant = state.request.options, state.request.tenant.name
        with self._stopwatch.stage("decide"):
            context = self._decider.context(state.request.chat, state.embedding)
            bounds = Bounds(options.max_cost_usd, options.max_latency_ms)
            choice = self._decider.choose(context, plans, options.weights, bounds, tenant)
            shadow = [
                plan for plan in state.shadow_plans if state.is_plan_healthy(self._catalog, plan)
            ]
            if choice is None or not shadow:
                return choice
            unserved = self._decider.choose(context, shadow, options.weights, bounds, tenant)
            return choice if unserved is None else with_shadow(choice, unserved)

    def _gate_session(self, state: RequestState, plan: Plan, choice: Choice) -> GateSession | None:
        request, decider = state.request, self._decider
        weights = merge(decider.weights, request.options.weights)
        context = read_context(choice.context)
        return self._gate_sessions.open(
            request.chat,
            plan,
            decider.gates,
            context,
            weights,
            tenant=request.tenant.name,
            promises=decider.promises,
        )

    def _plan_run(
        self, state: RequestState, rungs: tuple[str, ...], gate_session: GateSession | None
    ) -> PlanRun:
        return PlanRun(
            chat=state.request.chat,
            needs=state.needs,
            rungs=rungs,
            spares=state.arms,
            live=state.mode is Mode.STREAM,
            deadline_s=state.deadline_s,
            max_cost_usd=state.request.options.max_cost_usd,
            health=state.health,
            gate_session=gate_session,
            tenant=state.request.tenant.name,
        )
